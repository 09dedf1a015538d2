import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.networks.functional import arrays_of
from tests.models.samples import ARCHITECTURE, DESCRIPTION, filled


def test_average_takes_the_mean_of_weights(tmp_path, saved, network):
    other = filled(ARCHITECTURE.build, seed=1)
    models.save(tmp_path / "other", other, dataclasses.replace(DESCRIPTION, window=32))
    main(["average", str(saved), str(tmp_path / "other"), str(tmp_path / "mean")])
    mean = models.load(tmp_path / "mean")
    halves = jax.tree.map(lambda a, b: (a + b) / 2, arrays_of(network), arrays_of(other))
    vectors = 0
    arrays = jax.tree.leaves_with_path(arrays_of(mean.network))
    for (path, array), half in zip(arrays, jax.tree.leaves(halves), strict=True):
        if path[-1].key in ("u", "v"):
            half /= jnp.linalg.norm(half)
            vectors += 1
        np.testing.assert_allclose(array, half, rtol=1e-6, atol=1e-7, err_msg=str(path))
    assert vectors
    assert mean.description.provenance == {"average_of": [DESCRIPTION.provenance] * 2}
    assert mean.description.licence == DESCRIPTION.licence
    assert mean.description.window is None


def test_average_never_replaces_a_model(tmp_path, saved):
    """If the destination is forgotten, the last model is not overwritten."""
    shutil.copytree(saved, tmp_path / "copy")
    with pytest.raises(SystemExit, match="copy exists: name a new directory at the end"):
        main(["average", str(saved), str(tmp_path / "copy")])
    with pytest.raises(SystemExit, match="model alone is itself: give two models"):
        main(["average", str(saved), str(tmp_path / "mean")])
    assert not (tmp_path / "mean").exists()
    assert models.load(tmp_path / "copy").description == models.read_description(saved)


def test_models_of_different_architectures_have_no_average(loaded):
    wider = models.Architecture("reblur_deblur_net", 4, depth=2, hidden=6)
    description = dataclasses.replace(DESCRIPTION, architecture=wider, licence="another")
    other = models.Model(loaded.network, description)
    with pytest.raises(ValueError, match=r"^cannot average models that differ in width, hidden$"):
        models.average([loaded, loaded, other])
