"""Batches of a stage."""

from msdi_jax.configs import quickstart
from msdi_jax.data.photographs import find_photographs
from msdi_jax.data.validation import val_photographs
from msdi_jax.runtime.mesh import make_mesh
from msdi_jax.training import batches
from tests.data import miniatures


def test_shared_blur_pairs_use_no_val_photograph(tmp_path):
    config = quickstart.get_config()
    config.dataset.photographs = str(miniatures.photographs(tmp_path))
    config.dataset.longest_side = 256
    config.val = 3
    names = [photo.name for photo in find_photographs(tmp_path).train]
    pairs = batches.shared_blur_pairs(config, 32)
    assert len(pairs.photographs) == 1
    assert pairs.photographs[0].name not in val_photographs(names, 3)
    config.val = 0
    assert [photo.name for photo in batches.shared_blur_pairs(config, 32).photographs] == names


def test_without_val_records_there_is_no_val_batch():
    assert batches.val_batch([], quickstart.get_config().deblur, make_mesh()) is None
