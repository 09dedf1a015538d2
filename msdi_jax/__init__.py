"""Learned degradation representations for image deblurring, in JAX and Flax."""

from msdi_jax.models import BUNDLED, Model, load
from msdi_jax.networks.degradation import Degradation, DegradationEncoder, DegradationPyramid
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.msdi_net import MSDINet, MSDIOutput
from msdi_jax.networks.reblur_deblur_net import JointOutput, ReblurDeblurNet

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
