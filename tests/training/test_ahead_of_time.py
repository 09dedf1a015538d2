"""Programs of abstract weights, traced here for the devices of this machine."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from msdi_jax.configs import base, gopro_deblur
from msdi_jax.networks.degradation import DegradationEstimator
from msdi_jax.networks.functional import arrays_of
from msdi_jax.runtime import target
from msdi_jax.runtime.hlo_account import Program, Traffic
from msdi_jax.runtime.mesh import make_mesh
from msdi_jax.runtime.topology import Accelerator
from msdi_jax.training import ahead_of_time
from msdi_jax.training.loop import abstract_state, jitted_step, stepping
from msdi_jax.training.stage2_deblur import DeblurStage

DEVICE = Accelerator("imagined", "tpu", memory_bytes=10**6, peak_flops=1e6, clock_hz=100.0)


def small(**deblur):
    config = gopro_deblur.get_config()
    config.width, config.reblur.depth = 2, 2
    config.reblur.update({"crop": 32, "batch_size": 2})
    config.deblur.update({"depth": 2, "crop": 32, "batch_size": 2, **deblur})
    return config


def text_for(name, config, stage="deblur"):
    with target.tracing_for(name):
        return ahead_of_time.lower_step(config, stage, make_mesh()).as_text()


def test_the_program_is_the_one_that_training_compiles():
    config, mesh = small(), make_mesh()
    degradation = arrays_of(DegradationEstimator(2, rngs=nnx.Rngs(0)))
    stage = DeblurStage(config, degradation, degradation["encoder"]["shallow"])
    like = abstract_state(stage.init, config, mesh)
    image = jnp.zeros((2, 32, 32, 3), jnp.uint8)
    with stepping(config, mesh):
        step = jitted_step(stage, like, mesh)
        trained = step.lower(like, {"blurry": image, "sharp": image}, jnp.zeros(1, bool))
    ahead = ahead_of_time.lower_step(config, "deblur", mesh)
    assert jax.tree.map(str, ahead.in_avals) == jax.tree.map(str, trained.in_avals)
    assert ahead.out_info == trained.out_info
    # The step donates its state, here as there.
    donated = [x.donated for x in jax.tree.leaves(ahead.args_info)]
    assert donated == [x.donated for x in jax.tree.leaves(trained.args_info)]
    assert sum(donated) == len(jax.tree.leaves(like))
    # Operations are equal; arrays without a mesh have other annotations than those with one.
    counts = [x.as_text().count(" = stablehlo.") for x in (ahead, trained)]
    assert counts[0] == counts[1] > 1000


@pytest.mark.parametrize(
    "deblur",
    [
        {"network": "nafnet", "feature_weight": 0.0, "blocks": (1, 1, 1), "degradation_from": ""},
        {"network": "modulated_nafnet", "blocks": (1, 1, 1)},
        {"network": "hinet", "features_from": "nowhere", "degradation_from": ""},
        {"train_encoder": True, "start_from": "nowhere"},
    ],
    ids=["nafnet", "modulated_nafnet", "hinet with features", "trained encoder"],
)
def test_networks_need_no_weights(deblur):
    config = small(**deblur)
    ahead_of_time.check(config, "deblur", make_mesh())
    state, batch, _ = ahead_of_time.lower_step(config, "deblur", make_mesh()).in_avals[0]
    assert batch["blurry"].shape == (2, 32, 32, 3)
    frozen = set(state.frozen)
    assert ("degradation" in state.params) == bool(deblur.get("train_encoder"))
    encoder = "network" not in deblur or deblur["network"] == "modulated_nafnet"
    expected = {"features"} if encoder or "features_from" in deblur else set()
    assert frozen - {"degradation"} == expected
    assert ("degradation" in frozen) == (encoder and not deblur.get("train_encoder"))


def test_crops_are_reblurred_by_a_network_without_weights():
    config = small(network="nafnet", blocks=(1, 1, 1), feature_weight=0.0, degradation_from="")
    config.augmentation.reblurred, config.deblur.reblurred_by = 0.5, "nowhere"
    ahead_of_time.check(config, "deblur", make_mesh())
    state, *_ = ahead_of_time.lower_step(config, "deblur", make_mesh()).in_avals[0]
    assert set(state.frozen) == {"joint"}


def test_stage_1_takes_vgg_and_motion():
    config = base.get_config()
    config.width, config.reblur.depth, config.native = 2, 2, True
    config.reblur.update({"crop": 32, "batch_size": 2, "shared_blur": True, "motion_weight": 1.0})
    config.reblur.vgg_weights = "nowhere.pth"
    ahead_of_time.check(config, "reblur", make_mesh())
    state, batch, _ = ahead_of_time.lower_step(config, "reblur", make_mesh()).in_avals[0]
    assert batch["motion"].shape == (2, 3)
    assert set(state.frozen) == {"vgg"}


def test_a_program_for_an_accelerator_holds_no_form_of_the_cpu(monkeypatch):
    """Winograd's products, which narrow registers use from 32 channels on, and column pairs."""
    monkeypatch.setattr(target, "_host_has_narrow_registers", lambda: True)
    config = small(network="hinet", feature_weight=0.0, degradation_from="")
    config.width = 8
    texts = {name: text_for(name, config) for name in ("cpu", "tpu", "cuda")}
    assert [name for name, text in texts.items() if "winograd" in text] == ["cpu"]
    # A pair of columns has two taps, and twice the 8 channels. TPUs are faster with it, too.
    paired = [name for name, text in texts.items() if "tensor<3x2x16x16xf32>" in text]
    assert paired == ["cpu", "tpu"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 3, "accumulate": 2}, "batch_size=3 must be a multiple of the 1 devices"),
        ({"network": "resnet"}, "network='resnet' must be one of"),
        ({"crop": 40}, "crop=40 must be a multiple of 16"),
    ],
    ids=str,
)
def test_unusable_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ahead_of_time.check(small(**fields), "deblur", make_mesh())


@pytest.mark.parametrize("size", [(0, 64), (64, 0), (-16, 64)])
def test_sizes_that_no_image_has_are_refused(size):
    with pytest.raises(ValueError, match=f"--size {size[0]}x{size[1]}: the sides must be above 0"):
        ahead_of_time.check_evaluation(small(), size, make_mesh())


def test_an_evaluation_pads_images_and_uses_windows():
    config = small(network="nafnet", blocks=(1, 1, 1), degradation_from="", feature_weight=0.0)
    lowered = ahead_of_time.lower_evaluation(config, 2, (30, 47), make_mesh())
    (_, image), _ = lowered.in_avals
    assert image.shape == (2, 32, 48, 3)
    config.evaluation.window = 16
    windows = ahead_of_time.lower_evaluation(config, 2, (30, 47), make_mesh())
    assert windows.as_text() != lowered.as_text()


ENTRY = """\
ENTRY %main (x: f32[8,8]) -> f32[8,8] {
  %x = f32[8,8]{1,0} parameter(0)
  ROOT %sum = f32[8,8]{1,0} all-reduce(%x), backend_config={"estimated_cycles":"256"}
}
"""


def test_the_account_of_a_product():
    x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    compiled = jax.jit(jnp.dot).lower(x, x).compile()
    account = ahead_of_time.account(DEVICE, compiled, Program(ENTRY), 3.0)
    assert account.flops == 2 * 8**3
    assert account.argument_bytes == 2 * 8 * 8 * 4
    assert account.total_bytes == 3 * 8 * 8 * 4 + account.temporary_bytes
    assert account.fits
    assert (account.estimated_cycles, account.estimated_seconds) == (256, 2.56)
    assert account.share_of_peak == pytest.approx(1024 / (2.56 * 1e6))
    assert account.collectives == {"all-reduce": Traffic(1, 256)}
    assert account.kernels is None


def test_results_in_the_place_of_arguments_take_no_memory():
    x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    compiled = jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile()
    device = Accelerator("small", "cuda", memory_bytes=255, peak_flops=1e6)
    account = ahead_of_time.account(device, compiled, Program(ENTRY), 3.0)
    assert account.total_bytes == 256 + account.temporary_bytes
    assert not account.fits
    assert account.estimated_cycles is account.share_of_peak is None
    assert account.kernels == 1


class Refused:
    def __init__(self, message):
        self.message = message

    def compile(self, compiler_options):
        raise jax.errors.JaxRuntimeError(self.message)


def test_a_program_that_the_compiler_refuses_for_memory_does_not_fit():
    lowered = Refused("RESOURCE_EXHAUSTED: Ran out of memory: 20G of 15G.\nmore")
    account, text = ahead_of_time.compile_for(DEVICE, lowered)
    assert text is None
    assert not account.fits
    assert account.refusal == "Ran out of memory: 20G of 15G."
    assert account.flops is account.total_bytes is account.collectives is None
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        ahead_of_time.compile_for(DEVICE, Refused("INTERNAL: a fault"))
