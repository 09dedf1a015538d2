"""Whether mixing and moving representations does to images what it should.

    python -m benchmarks.representation --model MODEL [--data PREPARED_SET] [--images 10]

On test photographs of a `camera_shake` set, evenly spaced:

* interpolation: does gradient energy fall with every level from 0 to 1, and on to 1.5?
* transfer: the blur of A is put on the sharp B. What motion does the result show, as
  msdi_jax/motion.py measures it: one closer to A's true motion than to that which blurred B itself?
"""

import argparse

import numpy as np
from tqdm import tqdm

from data.camera_shake.camera_shake_dataset_builder import rebuild_shake
from data.shake import motion_field
from msdi_jax import explore, model, motion, pairs, probe
from msdi_jax.images import to_unit

ALPHAS = np.linspace(0, 1.5, 7)
QUANTITIES = {"length": lambda field: np.log2(1 + field.length), "direction": probe.directed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="joint model, or run of stage 1")
    parser.add_argument("--data", help="prepared set; default: the embedded one")
    parser.add_argument("--images", type=int, default=10)
    options = parser.parse_args()
    joint = model.load(model.find(options.model, model.DIRECTORIES["reblur"]))
    _, test = pairs.open_prepared("camera_shake", options.data, "test")
    chosen = np.linspace(0, len(test) - 1, options.images).astype(int)
    records = [test[int(index)] for index in chosen]
    print(interpolation(joint, records), flush=True)
    print(transfer(joint, records))


def interpolation(joint: model.Model, records) -> str:
    to_one, beyond = 0, 0
    for record in tqdm(records, "interpolate"):
        sharp, blurry = to_unit(record["sharp"]), to_unit(record["blurry"])
        levels = explore.interpolate(joint, sharp, blurry, ALPHAS)
        falls = np.diff([explore.gradient_energy(level) for level in levels]) < 0
        to_one += falls[ALPHAS[1:] <= 1].all()
        beyond += falls.all()
    return (
        f"gradient energy falls with every level up to 1 on {to_one} of {len(records)} images, "
        f"up to {ALPHAS[-1]:g} on {beyond}"
    )


def transfer(joint: model.Model, records) -> str:
    """Blur of each record on the sharp image of the next one of another photograph."""
    photographs = [pairs.text(record, "photograph") for record in records]
    told = {name: [] for name in QUANTITIES}
    for index, record in enumerate(tqdm(records, "transfer")):
        strangers = [k for k, name in enumerate(photographs) if name != photographs[index]]
        other = records[min(strangers, key=lambda k: (k - index) % len(records))]
        sharp = to_unit(other["sharp"])
        moved = explore.transfer(joint, [to_unit(record["blurry"])], [sharp])[0][0]
        found = motion.measure(sharp, np.asarray(moved, np.float32))
        fields = [motion_field(rebuild_shake(r), found.length.shape) for r in (record, other)]
        for name, quantity in QUANTITIES.items():
            told[name].append([quantity(field) for field in (found, *fields)])
    lines, total = [], 0
    for name, fields in told.items():
        # Photographs differ in size, so the cells of one image cannot be stacked on another's.
        spread = np.concatenate([of_a.ravel() for _, of_a, _ in fields]).std()
        distances = np.array(
            [[np.mean(((it - true) / spread) ** 2) for true in truths] for it, *truths in fields]
        )
        total = total + distances
        means = np.array([[field.mean() for field in of_pair] for of_pair in fields])
        like_a, like_b = np.corrcoef(means.T)[0, 1:]
        lines.append(
            f"by {name} on {_closer(distances)}, means correlate with A's by {like_a:.2f}, with "
            f"B's own by {like_b:.2f}"
        )
    lines.append(f"by both on {_closer(total)}")
    return (
        f"of {len(records)} transferred blurs, closer to A's motion than to that of B's own blur\n"
        + "\n".join(lines)
    )


def _closer(distances: np.ndarray) -> int:
    """Of pairs of distances, to A and to B."""
    return int((distances[:, 0] < distances[:, 1]).sum())


if __name__ == "__main__":
    main()
