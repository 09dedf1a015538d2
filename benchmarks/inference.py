"""Deblurring 256² crops, against every form of the PyTorch network, or a 720×1280 photograph.

python -m benchmarks.inference [--network nafnet] [--width 64] [--pairs 5] [--forms eager ...]
    [--photographs]
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import timing
from benchmarks.torch_baseline import FORMS, MSDINet, fold, forms, load_published
from benchmarks.torch_nafnet import NAFNet
from msdi_jax import models
from msdi_jax.restoration import restore

NETWORKS = {"msdi_net": lambda width: MSDINet(width, 2), "nafnet": NAFNet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="msdi_net")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--photographs", action="store_true", help="720×1280 instead of crops")
    parser.add_argument("--quick", action="store_true", help="width 4, one form, small images")
    options = parser.parse_args()
    if options.quick:
        options.width, options.pairs = 4, 1
    architecture = models.Architecture(options.network, options.width)
    network, weights = timing.stand_in_weights(architecture)
    ours = models.Model(network, models.Description(architecture, {}, "")).deblur
    theirs = fold(load_published(NETWORKS[options.network](options.width), weights))
    del network, weights
    size = 64 if options.quick else 256
    if not options.photographs:
        _crops(options, ours, theirs, size)
    if options.photographs or options.quick:
        _photographs(options, ours, theirs, (96, 112) if options.quick else (720, 1280))


def _crops(options: argparse.Namespace, ours: Callable, theirs: torch.nn.Module, size: int) -> None:
    images = timing.photograph(size, size, options.batch)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    for name, form in forms(theirs, timing.torch_device()):
        if name not in options.forms:
            continue
        try:
            difference = _difference(ours(images), form(tensor))
        except Exception as error:  # a form that this machine cannot run is reported, not fatal
            first = str(error).splitlines()[0] if str(error) else ""
            print(f"{name}: not available here: {type(error).__name__}: {first}")
            continue
        calls = {"ours": _finished(ours, images), name: lambda f=form: f(tensor).cpu()}
        what = f"{_named(options)}, {options.batch}×{size}²"
        note = f"largest difference {difference:.1e}"
        timing.show(timing.row(what, timing.paired(calls, options.pairs), note=note))
        if options.quick:
            return


def _photographs(options: argparse.Namespace, ours, theirs, size: tuple[int, int]) -> None:
    theirs = theirs.to(timing.torch_device(), memory_format=torch.contiguous_format)

    def eager(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            tensor = torch.from_numpy(images).permute(0, 3, 1, 2).to(timing.torch_device())
            return theirs(tensor)[0].permute(0, 2, 3, 1).cpu().numpy()

    image = timing.photograph(*size)[0]
    for mode, protocol in restore.MODES.items():
        calls = {
            "ours": lambda p=protocol: p(ours, image),
            "eager": lambda p=protocol: p(eager, image),
        }
        what = f"{_named(options)}, {size[0]}×{size[1]}, {mode}"
        timing.show(timing.row(what, timing.paired(calls, options.pairs)))


def _named(options: argparse.Namespace) -> str:
    name = "" if options.network == "msdi_net" else f"{options.network}, "
    return f"inference, {name}width {options.width}"


def _finished(call: Callable, images: np.ndarray) -> Callable:
    return lambda: np.asarray(call(images))


def _difference(found, expected: torch.Tensor) -> float:
    expected = expected.float().permute(0, 2, 3, 1).cpu().numpy()
    return float(np.abs(np.asarray(found) - expected).max())


if __name__ == "__main__":
    main()
