"""Learned degradation representations for image deblurring, in JAX and Flax."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msdi_jax.models import BUNDLED, Model, load
    from msdi_jax.networks.degradation import Degradation, DegradationEncoder, DegradationPyramid
    from msdi_jax.networks.discriminator import MultiscaleDiscriminator
    from msdi_jax.networks.msdi_net import MSDINet, MSDIOutput
    from msdi_jax.networks.reblur_deblur_net import JointOutput, ReblurDeblurNet

__version__ = "0.2.0"
__all__ = [
    "BUNDLED",
    "Degradation",
    "DegradationEncoder",
    "DegradationPyramid",
    "JointOutput",
    "MSDINet",
    "MSDIOutput",
    "Model",
    "MultiscaleDiscriminator",
    "ReblurDeblurNet",
    "load",
]
# Imported on first use: `msdi --help` need not load JAX.
_MODULES = ("models", *(f"networks.{name}" for name in (
    "degradation", "discriminator", "msdi_net", "reblur_deblur_net"
)))  # fmt: skip


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in _MODULES:
            members = vars(importlib.import_module(f"{__name__}.{module}"))
            if name in members:
                return members[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
