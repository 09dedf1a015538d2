"""Models: networks with their descriptions and weights, on disk and in memory."""

from msdi_jax.models.architecture import DEBLURRING, ESTIMATING, Architecture
from msdi_jax.models.averaging import average
from msdi_jax.models.description import Description
from msdi_jax.models.directory import (
    BUNDLED,
    DIRECTORIES,
    check_replaceable,
    find,
    load,
    load_unused,
    read_description,
    save,
)
from msdi_jax.models.model import Model

__all__ = [
    "BUNDLED",
    "DEBLURRING",
    "DIRECTORIES",
    "ESTIMATING",
    "Architecture",
    "Description",
    "Model",
    "average",
    "check_replaceable",
    "find",
    "load",
    "load_unused",
    "read_description",
    "save",
]
