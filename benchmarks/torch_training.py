"""The two training steps in PyTorch, with the losses and the optimiser of the published recipe."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from benchmarks.torch_baseline import Discriminator, JointNet, MSDINet

CLIP = 0.01
Step = Callable[[Tensor, Tensor], dict[str, float]]


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    trained = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.Adam(trained, lr=rate, betas=(0.9, 0.99))


def _move(optimiser: torch.optim.Adam) -> Tensor:
    """Clips, steps, and returns the gradient's norm before clipping."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = clip_grad_norm_(parameters, CLIP)
    optimiser.step()
    return norm


def _psnr_loss(restored: Tensor, sharp: Tensor) -> Tensor:
    mse = (restored - sharp).square().mean((1, 2, 3))
    return 10 / math.log(10) * (mse + 1e-8).log().mean()


def deblur_step(network: MSDINet, features: nn.Module, rate: float = 3e-4) -> Step:
    """Stage 2; `features` is the encoder whose first layers compare images.

    The returned function takes (blurry, sharp), NCHW in [0, 1].
    """
    for part in (network.net_prior, network.prior_upsampling, features):
        part.requires_grad_(False).eval()
    optimiser = _adam(network, rate)
    # `network.train()` would also move the frozen spectral vectors.
    for name, part in network.named_children():
        part.train(name not in ("net_prior", "prior_upsampling"))

    def step(blurry: Tensor, sharp: Tensor) -> dict[str, float]:
        optimiser.zero_grad()
        with torch.no_grad():
            maps, wanted = network.maps(blurry), features.shallow(sharp)
        outputs = network(blurry, maps)
        psnr = sum(0.5 * _psnr_loss(image, sharp) for image in outputs)
        extracted = features.shallow(outputs[0])
        distance = sum(functional.l1_loss(a, b) for a, b in zip(extracted, wanted, strict=True))
        (psnr + distance).backward()
        norm = _move(optimiser)
        return {
            "psnr_loss": psnr.item(),
            "feature_loss": distance.item(),
            "gradient_norm": norm.item(),
        }

    return step


def reblur_step(network: JointNet, discriminator: Discriminator, rate: float = 2e-4) -> Step:
    """Stage 1 without the perceptual term.

    The returned function takes (blurry, sharp), NCHW in [0, 1].
    """
    network.train()
    discriminator.train()
    optimisers = {"generator": _adam(network, rate), "discriminator": _adam(discriminator, rate)}

    def verdicts(sharp: Tensor, fake: Tensor, real: Tensor):
        scales = discriminator(
            torch.cat([torch.cat([sharp, fake], 1), torch.cat([sharp, real], 1)])
        )
        count = len(sharp)
        halves = [[(x[:count], x[count:]) for x in features] for features in scales]
        return [[[pair[i] for pair in features] for features in halves] for i in (0, 1)]

    def generator_loss(blurry: Tensor, sharp: Tensor) -> dict[str, Tensor]:
        deblurred, reblurred = network(blurry, sharp)
        fake, real = verdicts(sharp, reblurred, blurry)
        matching = sum(
            functional.l1_loss(a, b.detach())
            for f, r in zip(fake, real, strict=True)
            for a, b in zip(f[:-1], r[:-1], strict=True)
        )
        return {
            "hinge_generator": -sum(f[-1].mean() for f in fake) / 2,
            "feature_matching": 5 * matching,
            "l1": 10 * functional.l1_loss(deblurred, sharp),
        }

    def discriminator_loss(blurry: Tensor, sharp: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            reblurred = network(blurry, sharp)[1]
        fake, real = verdicts(sharp, reblurred, blurry)
        return {
            "hinge_fake": sum((1 + f[-1]).relu().mean() for f in fake) / 2,
            "hinge_real": sum((1 - r[-1]).relu().mean() for r in real) / 2,
        }

    def step(blurry: Tensor, sharp: Tensor) -> dict[str, float]:
        scalars = {}
        for name, loss in (("generator", generator_loss), ("discriminator", discriminator_loss)):
            # The generator's gradient passes through the discriminator and must not stay there.
            optimisers[name].zero_grad()
            discriminator.requires_grad_(name == "discriminator")
            terms = loss(blurry, sharp)
            sum(terms.values()).backward()
            scalars |= {key: value.item() for key, value in terms.items()}
            scalars[f"gradient_norm_{name}"] = _move(optimisers[name]).item()
        return scalars

    return step
