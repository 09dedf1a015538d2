"""Run directories belong to one configuration, but for places; more steps are a new run."""

import pytest

from msdi_jax.configs import quickstart
from msdi_jax.models import DIRECTORIES
from msdi_jax.training import run_directory
from msdi_jax.training.run_directory import MoreStepsError


def test_a_run_with_a_changed_field_is_refused(tmp_path):
    config = quickstart.get_config()
    run_directory.claim(config, "a_1", tmp_path)
    run_directory.check_configuration(config, tmp_path)
    config.augmentation.defocus = 0.5
    with pytest.raises(ValueError, match=r"augmentation\.defocus: 0\.0 there, 0\.5 here"):
        run_directory.check_configuration(config, tmp_path)


def test_a_run_resumes_when_its_data_have_moved(tmp_path):
    config = quickstart.get_config()
    run_directory.claim(config, "a_1", tmp_path)
    config.dataset.directory = "/elsewhere"
    run_directory.check_configuration(config, tmp_path)


@pytest.fixture
def refusal(tmp_path):
    """Fields of a changed configuration, finished stages → the error of a run of quickstart."""

    def refuse(changes, *finished):
        workdir = tmp_path / "mine"
        for stage in finished:
            (workdir / DIRECTORIES[stage]).mkdir(parents=True)
        workdir.mkdir(exist_ok=True)
        config = quickstart.get_config()
        run_directory.claim(config, "a_1", workdir)
        config.update_from_flattened_dict(changes)
        with pytest.raises(ValueError, match="mine") as error:
            run_directory.check_configuration(config, workdir)
        return error.value

    return refuse


def steps_of(stage):
    return quickstart.get_config()[stage].steps


def test_more_steps_of_a_finished_run_are_a_new_run(refusal, tmp_path):
    old = steps_of("deblur")
    error = refusal({"deblur.steps": old + 7}, "reblur", "deblur")
    (new,) = error.runs
    assert new.workdir == tmp_path / f"mine-{old + 7}"
    assert new.fields == {
        "stages": "deblur",
        "deblur.start_from": str(tmp_path / "mine"),
        "deblur.steps": 7,
        "deblur.schedule_steps": 7,
    }
    assert f"is a run of {old} steps of deblur, for which" in str(error)
    assert "train the 7 steps more in a new run that starts from its model; optimizer" in str(error)


def test_more_steps_of_stage_1_train_stage_2_again(refusal, tmp_path):
    old = steps_of("reblur")
    error = refusal({"reblur.steps": old + 5, "reblur.schedule_steps": old + 5}, "reblur", "deblur")
    (new,) = error.runs
    assert "stages" not in new.fields
    assert new.fields["reblur.start_from"] == str(tmp_path / "mine")
    assert new.fields["reblur.steps"] == 5
    assert "stage 2 is trained from its start" in new.purpose


def test_a_run_in_progress_is_finished_first(refusal, tmp_path):
    error = refusal({"deblur.steps": steps_of("deblur") + 7}, "reblur")
    finish, new = error.runs
    assert finish.purpose == "finish it first"
    assert finish.workdir == tmp_path / "mine"
    assert finish.fields == {"deblur.steps": steps_of("deblur")}
    assert new.fields["deblur.steps"] == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"deblur.steps": 1},
        {"deblur.schedule_steps": 10**6},
        {"deblur.steps": 10**6, "seed": 1},
        {"deblur.steps": 10**6, "reblur.steps": 1},
    ],
)
def test_other_changes_are_another_configuration(refusal, changes):
    error = refusal(changes, "reblur", "deblur")
    assert not isinstance(error, MoreStepsError)
    assert "belongs to a run of another configuration" in str(error)
