"""Check that interpolated and transferred representations blur images as expected.

    python -m benchmarks.representation --model MODEL [--data PREPARED_SET] [--images 10]

On test photographs of a `camera_shake` set, evenly spaced:

* interpolation: does gradient energy fall with every level from 0 to 1, and on to 1.5?
* transfer: the blur of A is put on the sharp B, of another photograph. What motion does the result
  show, as msdi_jax/research/motion.py measures it: one closer to A's true motion than to that which
  blurred B itself? Without any transfer the answer is yes half of the time.

On crops of the test photographs, blurred on the spot:

* exchange: a sharp crop is reblurred with three representations: that of its blurry crop, that of
  its partner, another photograph with the same blur, and that of a crop with another blur. How
  close is the result to the blurry crop?
"""

import argparse

import numpy as np
from tqdm import tqdm

from msdi_jax import models
from msdi_jax.cli.paths import path
from msdi_jax.data.camera_shake.camera_shake_dataset_builder import Settings, rebuild_shake
from msdi_jax.data.photographs import find_photographs
from msdi_jax.data.synthesis.camera_motion import motion_field
from msdi_jax.data.synthesis.shared_blur import SharedBlurPairs, motion_target
from msdi_jax.evaluation import test_sets
from msdi_jax.evaluation.metrics import psnr
from msdi_jax.research import motion, transfer
from msdi_jax.restoration.image_io import to_uint8, to_unit

# Side of the crops that are blurred on the spot, px.
CROP = 192
ALPHAS = np.linspace(0, 1.5, 7)
# The direction apart from the length, or the longest paths would decide about it.
QUANTITIES = {
    "length": lambda field: motion_target(field)[..., :1],
    "direction": lambda f: motion_target(f)[..., 1:],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=path, required=True, help="joint model, or run of stage 1")
    parser.add_argument("--data", type=path, help="prepared set; default: the embedded one")
    parser.add_argument("--photographs", type=path, help="their folder; default: the embedded ones")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--targets", type=int, default=1, help="sharp images per blur")
    options = parser.parse_args()
    joint = models.load(models.find(options.model, models.DIRECTORIES["reblur"]))
    _, test = test_sets.open_prepared("camera_shake", options.data, "test")
    if not 2 <= options.images <= len(test):
        parser.error(f"--images must be 2 … {len(test)}, of which the set has as many")
    chosen = np.linspace(0, len(test) - 1, options.images).astype(int)
    records = [test[int(index)] for index in chosen]
    names = [test_sets.text(record, "photograph") for record in records]
    strangers = len(names) - max(map(names.count, names))
    if not 1 <= options.targets <= strangers:
        parser.error(f"--targets must be 1 … {strangers}, the images of other photographs")
    print(interpolation(joint, records), flush=True)
    print(transfers(joint, records, options.targets), flush=True)
    print(exchange(joint, find_photographs(options.photographs).test, options.images))


def interpolation(joint: models.Model, records) -> str:
    to_one, beyond = 0, 0
    for record in tqdm(records, "interpolate"):
        sharp, blurry = to_unit(record["sharp"]), to_unit(record["blurry"])
        levels = transfer.interpolate(joint, sharp, blurry, ALPHAS)
        falls = np.diff([transfer.gradient_energy(level) for level in levels]) < 0
        to_one += falls[ALPHAS[1:] <= 1].all()
        beyond += falls.all()
    return (
        f"gradient energy falls with every level up to 1 on {to_one} of {len(records)} images, "
        f"up to {ALPHAS[-1]:g} on {beyond}"
    )


def transfers(joint: models.Model, records, targets: int) -> str:
    """The blur of each record on the sharp images of `targets` records of other photographs."""
    chosen = pairings([test_sets.text(record, "photograph") for record in records], targets)
    blurry, sharp = ([to_unit(record[key]) for record in records] for key in ("blurry", "sharp"))
    own = [motion.measure(*pair) for pair in zip(sharp, blurry, strict=True)]
    compared = []
    for a, b in tqdm(chosen, "transfer"):
        moved = transfer.transfer(joint, [blurry[a]], [sharp[b]])[0][0]
        found = motion.measure(sharp[b], np.asarray(moved, np.float32))
        shakes = (rebuild_shake(records[index]) for index in (a, b))
        truths = [motion_field(shake, found.length.shape) for shake in shakes]
        compared.append((found, own[b], *truths))
    blurs, totals, lines = [a for a, _ in chosen], 0, []
    for name, quantity in QUANTITIES.items():
        fields = [[quantity(field) for field in of_pair] for of_pair in compared]
        # Photographs differ in size, so the cells of one image cannot be stacked on another's.
        spread = np.concatenate([of_a.ravel() for _, _, of_a, _ in fields]).std()
        distances = np.array(
            [
                [[np.mean(((it - true) / spread) ** 2) for true in truths] for it in measured]
                for *measured, truths in ((found, left, (a, b)) for found, left, a, b in fields)
            ]
        )
        totals = totals + distances
        means = np.array([[field.mean(axis=(0, 1)) for field in of_pair] for of_pair in fields])
        like = np.corrcoef(means.swapaxes(0, 1).reshape(4, -1))[0]
        lines.append(
            f"by {name} {_closer(distances, blurs)}; means correlate with A's by {like[2]:.2f}, "
            f"with B's own by {like[3]:.2f}"
        )
    lines.append(f"by both {_closer(totals, blurs)}")
    return (
        f"{len(chosen)} transfers of {len(records)} blurs; closer to A's motion than to that of "
        "B's own blur (in brackets: B's own blurry image closer to its own than to A's)\n"
        + "\n".join(lines)
    )


def pairings(photographs: list[str], targets: int) -> list[tuple[int, int]]:
    """(A, B) for each A, with B's of other photographs, every record about equally often a B."""
    chosen = []
    for index, name in enumerate(photographs):
        strangers = [k for k, other in enumerate(photographs) if other != name]
        step = max(1, len(strangers) // targets)
        places = [(index + step * turn) % len(strangers) for turn in range(targets)]
        chosen += [(index, strangers[place]) for place in places]
    return chosen


def exchange(joint: models.Model, photographs, count: int) -> str:
    source = SharedBlurPairs(photographs, Settings(domain="both", seed=1), CROP, windows=3)
    rows = []
    for index in tqdm(range(0, 2 * count, 2), "exchange"):
        own, partner, other = (source[k] for k in (index, index + 1, index + 3))
        blurs = [to_unit(record["blurry"]) for record in (own, partner, other)]
        reblurred = [row[0] for row in transfer.transfer(joint, blurs, [to_unit(own["sharp"])])]
        candidates = [own["sharp"], *map(to_uint8, reblurred)]
        rows.append([psnr(candidate, own["blurry"]) for candidate in candidates])
    values = np.array(rows)
    sharp, own, partner, other = values.mean(axis=0)
    gain = values[:, 2] - values[:, 3]
    low, high = _interval(gain)
    return (
        f"PSNR to the blurry crop, reblurred with its own representation: {own:.2f} dB, with its "
        f"partner's: {partner:.2f} dB, with another blur's: {other:.2f} dB (sharp crop: "
        f"{sharp:.2f} dB)\nthe partner's is better by {gain.mean():.2f} dB ({low:.2f} … "
        f"{high:.2f}), on {(gain > 0).sum()} of {count}"
    )


def _closer(distances: np.ndarray, blurs: list[int]) -> str:
    """Share of pairs, with its 95 % interval over the blurs, and what measuring allows at best.

    Distances of (transferred, B's own blurry image) to the motion of (A, B).
    """
    moved, own = distances[:, 0], distances[:, 1]
    closer = moved[:, 0] < moved[:, 1]
    of_blur = np.bincount(blurs, closer) / np.bincount(blurs)
    low, high = _interval(of_blur)
    return f"{closer.mean():.2f} ({low:.2f} … {high:.2f}) [{(own[:, 1] < own[:, 0]).mean():.2f}]"


def _interval(values: np.ndarray) -> np.ndarray:
    """95 %, of the mean, by bootstrap."""
    drawn = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    return np.quantile(drawn, [0.025, 0.975])


if __name__ == "__main__":
    main()
