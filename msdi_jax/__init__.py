"""Learned degradation representations for image deblurring, in JAX and Flax."""

from msdi_jax.deblur_net import Deblurred, MSDINet
from msdi_jax.degradation import Degradation, DegradationEncoder, DegradationPyramid
from msdi_jax.discriminator import MultiscaleDiscriminator
from msdi_jax.joint_net import Joint, ReblurDeblurNet
from msdi_jax.model import BOX, Model, load

__all__ = [
    "BOX",
    "Deblurred",
    "Degradation",
    "DegradationEncoder",
    "DegradationPyramid",
    "Joint",
    "MSDINet",
    "Model",
    "MultiscaleDiscriminator",
    "ReblurDeblurNet",
    "load",
]
