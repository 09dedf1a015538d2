"""Learned degradation representations for image deblurring, in JAX and Flax."""

from msdi_jax.models.model import BOX, Model, load
from msdi_jax.networks.degradation import Degradation, DegradationEncoder, DegradationPyramid
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.msdi_net import Deblurred, MSDINet
from msdi_jax.networks.reblur_deblur_net import Joint, ReblurDeblurNet

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
