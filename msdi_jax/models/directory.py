"""Model directories: the arrays of a network, and the `model.json` that describes it.

`load(path)` returns a callable model, both for trained and for converted weights.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from msdi_jax.models import bf16_archive
from msdi_jax.models.description import Description, read_model_json
from msdi_jax.models.model import Model
from msdi_jax.networks.functional import arrays_of
from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.checkpoint import check_place, load_arrays, save_arrays

# Stage → its model directory in a run directory.
DIRECTORIES = {"reblur": "model-reblur", "deblur": "model"}

# Run directory inside the package, see docs/model_card.md; commands call it "bundled".
BUNDLED = Path(__file__).parent / "bundled"


def save(
    path: Path | str,
    network: nnx.Module,
    description: Description,
    unused: Mapping[str, np.ndarray] | None = None,
    *,
    as_bfloat16: bool = False,
) -> None:
    """Write a model directory; it replaces an older one at `path` when it is complete.

    Args:
        path: the directory.
        network: with arrays of NumPy or jax.
        description: see `Description`.
        unused: arrays of a converted file that the network never uses; `export` needs them.
        as_bfloat16: round to bfloat16 and write one small file, see `bf16_archive`.

    Raises:
        ValueError: `path` exists and is no model directory.
    """
    path = Path(path)
    check_replaceable(path)
    with atomic_write(path) as temporary:
        temporary.mkdir(parents=True)
        if as_bfloat16:
            bf16_archive.write(temporary / "arrays.npz", arrays_of(network))
        else:
            save_arrays(temporary / "arrays", arrays_of(network))
        if unused:
            np.savez(temporary / "unused.npz", **unused)
        (temporary / "model.json").write_text(description.to_json())


def check_replaceable(path: Path) -> None:
    """Raise ValueError if `path` cannot be written, or holds anything but a model."""
    check_place(path)
    if path.exists() and not (path / "model.json").is_file() and not _empty(path):
        raise ValueError(f"{path} exists and is not a model directory: choose another name")


def _empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def load_unused(path: Path | str) -> dict[str, np.ndarray]:
    """Read the arrays that `save` wrote as `unused`, by their published keys.

    Raises:
        ValueError: the file is damaged.
    """
    file = find(path) / "unused.npz"
    if not file.exists():
        return {}
    try:
        with np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is damaged ({error}): convert the model again") from error


def find(path: Path | str, *names: str) -> Path:
    """Return the model directory at `path`, or the first of `names` in a run directory.

    Args:
        path: a model or run directory, or "bundled" for the models in the package.
        names: subfolders to look for; default: the deblurring network, then the joint one.
    """
    path = BUNDLED if str(path) == "bundled" else Path(path)
    names = names or tuple(DIRECTORIES.values())[::-1]
    return next((path / name for name in names if (path / name / "model.json").is_file()), path)


def read_description(path: Path | str) -> Description:
    """Read the `model.json` of a model; `path` as in `load`.

    Raises:
        ValueError: it is missing or damaged.
    """
    path = find(path)
    file = path / "model.json"
    if not file.is_file():
        raise ValueError(
            f"{path} is not a model directory (no model.json): give the `model` folder of a run, "
            "or the output of `msdi convert`"
        )
    return read_model_json(file)


def load(path: Path | str) -> Model:
    """Load a model directory.

    Args:
        path: a model directory; a run directory, for its deblurring network or else its joint
            network; or "bundled".

    Raises:
        ValueError: there is no model, or its arrays are missing or damaged.
    """
    description, path = read_description(path), find(path)
    graph, shapes = description.architecture.abstract()
    try:
        if (path / "arrays.npz").is_file():
            arrays = jax.tree.map(jnp.asarray, bf16_archive.read(path / "arrays.npz", shapes))
        else:
            arrays = load_arrays(path / "arrays", shapes)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"the arrays of {path} cannot be read ({error}): copy or convert the model again"
        ) from error
    return Model(nnx.merge(graph, arrays), description)
