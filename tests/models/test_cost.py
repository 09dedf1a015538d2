import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop.torch_keys import count_never_used
from msdi_jax.models import Architecture, cost
from msdi_jax.networks.functional import abstract
from msdi_jax.networks.layers import Conv, UpConv

NETWORKS = {
    "msdi_net": Architecture("msdi_net", version=1),
    "msdi2_net": Architecture("msdi_net"),
    "joint": Architecture("reblur_deblur_net"),
    "discriminator": Architecture("discriminator"),
}


# Published MACs of convolutions; parameters are the sums over the keys and shapes of the files.
@pytest.mark.parametrize(
    ("network", "gmacs", "total", "trained"),
    [
        ("msdi_net", 332.8, 246.864134, 135.429766),
        ("msdi2_net", 338.9, 330.616070, 135.429766),
        ("joint", None, 284.184198, 284.184198),
        ("discriminator", None, 5.533826, 5.533826),
    ],
)
def test_counts_match_the_published_ones(network, gmacs, total, trained):
    counted = cost.count(NETWORKS[network])
    never_used = count_never_used(nnx.merge(*NETWORKS[network].abstract()))
    assert (counted.parameters + never_used) / 1e6 == pytest.approx(total, abs=5e-7)
    assert total - counted.frozen / 1e6 == pytest.approx(trained, abs=5e-7)
    if gmacs:
        assert counted.macs / 1e9 == pytest.approx(gmacs, abs=0.05)


def test_macs_of_the_discriminator_by_hand():
    """Sides 64 → 33 → 17 → 9 → 10 → 11, and 32 → 17 → 9 → 5 → 6 → 7; 4×4 kernels."""
    channels = [6 * 1, 1 * 2, 2 * 4, 4 * 8, 8 * 1]
    sides = [(33, 17, 9, 10, 11), (17, 9, 5, 6, 7)]
    expected = 16 * sum(c * n * n for s in sides for c, n in zip(channels, s, strict=True))
    assert cost.count(Architecture("discriminator", 1), 64).macs == expected


def test_macs_of_parts_by_hand():
    parts = {
        part.name: part for part in cost.count(Architecture("msdi_net", 2, version=1), 32).parts
    }
    assert parts["last"].macs == 32 * 32 * 9 * 2 * 3
    assert parts["merge"].macs == 32 * 32 * 4 * 2
    # The encoder sees 256×256 whatever the image: layers 1, 7×7, 2, 3, 4, 5, 6, res, res, out.
    expected = 128**2 * (27 * 2 + 49 * 4) + 9 * (
        64**2 * 8 + 32**2 * 32 + 16**2 * 128 + 8**2 * 256 * 2 + 6 * 8**2 * 256
        + 4 * 4**2 * 256 + 4**2 * 128
    )  # fmt: skip
    assert parts["degradation.encoder"].macs == expected
    assert [name for name, part in parts.items() if part.frozen] == [
        "degradation.encoder",
        "degradation.pyramid",
    ]


def test_counting_does_not_change_the_layers():
    before = Conv.__call__, UpConv.__call__
    cost.count(Architecture("pyramid", 1, version=1))
    with pytest.raises(ValueError, match="multiples of 16"):
        cost.count(Architecture("msdi_net", 1, version=1), 40)
    assert (Conv.__call__, UpConv.__call__) == before


@pytest.fixture
def directory(tmp_path):
    description = models.Description(Architecture("pyramid", 2), {}, "")
    graph, state = nnx.split(abstract(description.architecture.build))
    arrays = nnx.to_pure_dict(state)
    filled = nnx.merge(graph, _fill(arrays))
    models.save(tmp_path / "model", filled, description)
    return tmp_path / "model"


def _fill(arrays):
    if isinstance(arrays, dict):
        return {key: _fill(value) for key, value in arrays.items()}
    return np.full(arrays.shape, 0.1, np.float32)


def test_summary_command(directory, capsys):
    main(["summary", str(directory)])
    printed = capsys.readouterr().out
    assert "pyramid, version 2, width 2, 256×256 pixels" in printed
    assert "paper" not in printed
    with pytest.raises(SystemExit, match="is not a model directory"):
        main(["summary", str(directory / "arrays")])


def test_table_compares_with_the_papers_figure():
    published = NETWORKS["msdi_net"]
    never_used = count_never_used(nnx.merge(*published.abstract()))
    text = cost.format_table(published, never_used=never_used)
    assert "246.9 M, trained 135.4 M" in text
    assert "The paper's 336.43 G is 3.6 G (1.1 %) more" in text
    assert len(cost._paper(published, 256, cost.Cost([]))) == 2
    assert len(cost._paper(published, 128, cost.Cost([]))) == 1


def test_forward_statistics_have_a_line_per_output(directory):
    lines = cost.forward_statistics(models.load(directory)).splitlines()
    # A version 2 pyramid gives four maps, finest first.
    assert [line.split()[1] for line in lines[1:]] == [
        "1×256×256×2", "1×128×128×4", "1×64×64×8", "1×32×32×16",
    ]  # fmt: skip
