"""A model next to methods without training: unsharp masking and Richardson–Lucy deconvolution.

    python -m benchmarks.floors --model MODEL [--data PREPARED_SET] [--output floors.json]

All restore the test photographs of a `camera_shake` set, whole. Unsharp masking takes the radius
and amount that do best on 24 training pairs. Richardson–Lucy is given more than any user has: the
true path of the frame's middle as its kernel, and the number of iterations that does best on those
pairs. It knows nothing of how the blur varies over the frame.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from skimage.filters import unsharp_mask
from skimage.restoration import richardson_lucy
from tqdm import tqdm

from msdi_jax import models
from msdi_jax.data.camera_shake.camera_shake_dataset_builder import rebuild_shake
from msdi_jax.data.synthesis.camera_motion import middle_path
from msdi_jax.data.synthesis.render import kernel
from msdi_jax.evaluation import metrics, test_sets
from msdi_jax.restoration import restore
from msdi_jax.restoration.image_io import to_uint8, to_unit

TUNED_ON = 24
RADII, AMOUNTS = (0.7, 1.0, 1.5, 2.0), (0.25, 0.5, 1.0, 1.5)
ITERATIONS = (2, 5, 10, 20)
Method = Callable[[Mapping], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="model or run directory")
    parser.add_argument("--data", help="prepared set; default: the embedded one")
    parser.add_argument("--output", type=Path, help="file for the figures of every pair")
    options = parser.parse_args()
    _, train = test_sets.open_prepared("camera_shake", options.data, "train")
    _, test = test_sets.open_prepared("camera_shake", options.data, "test")
    chosen = np.linspace(0, len(train) - 1, TUNED_ON).astype(int)
    tuning = [train[int(index)] for index in chosen]
    deblur = models.load(options.model).deblur
    methods: dict[str, Method] = {
        "blurry": lambda record: to_unit(record["blurry"]),
        "unsharp masking": best(
            [unsharp(*choice) for choice in itertools.product(RADII, AMOUNTS)], tuning
        ),
        "Richardson–Lucy": best([lucy(count) for count in ITERATIONS], tuning),
        "model": lambda record: restore.whole(deblur, to_unit(record["blurry"])),
    }
    rows = [
        {"name": test_sets.text(record, "name"), "photograph": test_sets.text(record, "photograph")}
        | {name: measure(method, record) for name, method in methods.items()}
        for record in tqdm(test, "floors")
    ]
    if options.output:
        options.output.write_text(json.dumps(rows, indent=2) + "\n")
    print(describe(rows, list(methods)))


def unsharp(radius: float, amount: float) -> Method:
    def method(record: Mapping) -> np.ndarray:
        # scikit-image 0.26 darkens the image when the axis is given as -1.
        return unsharp_mask(to_unit(record["blurry"]), radius, amount, channel_axis=2)

    return method


def lucy(iterations: int) -> Method:
    def method(record: Mapping) -> np.ndarray:
        kernel, image = middle_kernel(record), to_unit(record["blurry"])
        border = kernel.shape[0] // 2 + 8
        padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="reflect")
        channels = [
            richardson_lucy(padded[..., i], kernel, iterations, filter_epsilon=1e-6)
            for i in range(3)
        ]
        return np.stack(channels, axis=-1)[border:-border, border:-border]

    return method


def middle_kernel(record: Mapping) -> np.ndarray:
    """Return the time that the frame's centre spent on each pixel: odd sides, sum 1.

    The sharp frame is what is seen where the path is at its origin.
    """
    return kernel(middle_path(rebuild_shake(record)))


def best(methods: list[Method], records: list[Mapping]) -> Method:
    means = [np.mean([measure(method, record)[0] for record in records]) for method in methods]
    return methods[int(np.argmax(means))]


def measure(method: Method, record: Mapping) -> tuple[float, float]:
    """PSNR (dB) and `ssim_3d` of the 8-bit result."""
    result, sharp = to_uint8(method(record)), np.asarray(record["sharp"])
    return float(metrics.psnr(result, sharp)), float(metrics.ssim_3d(result, sharp))


def describe(rows: list[dict], methods: list[str]) -> str:
    """Means over all pairs, and by decile of how blurry the input was."""
    psnr = np.array([[row[name][0] for name in methods] for row in rows])
    ssim = np.array([[row[name][1] for name in methods] for row in rows])
    parts = np.array_split(np.argsort(psnr[:, 0]), 10)
    head = ["", *methods]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines.append(_line("PSNR, dB", psnr.mean(0), 2))
    lines.append(_line("ssim_3d", ssim.mean(0), 4))
    for number, part in enumerate(parts, start=1):
        lines.append(_line(f"PSNR, dB, decile {number}", psnr[part].mean(0), 2))
    return "\n".join(lines)


def _line(label: str, values: np.ndarray, digits: int) -> str:
    return f"| {label} | {' | '.join(f'{value:.{digits}f}' for value in values)} |"


if __name__ == "__main__":
    main()
