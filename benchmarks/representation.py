"""Whether mixing and moving representations does to images what it should.

    python -m benchmarks.representation --model MODEL [--data PREPARED_SET] [--images 10]

On test photographs of a `camera_shake` set, evenly spaced:

* interpolation: does gradient energy fall with every level from 0 to 1, and on to 1.5?
* transfer: the blur of A is put on the sharp B. A motion probe, taught on the training photographs,
  reads the result's motion; is it closer to A's true motion than to that which blurred B itself?
"""

import argparse

import numpy as np
from tqdm import tqdm

from data.camera_shake.camera_shake_dataset_builder import rebuild_shake
from data.shake import motion_field
from msdi_jax import explore, model, pairs, probe
from msdi_jax.images import to_unit

ALPHAS = np.linspace(0, 1.5, 7)
TARGETS = ("path length", "path direction")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="joint model, or run of stage 1")
    parser.add_argument("--data", help="prepared set; default: the embedded one")
    parser.add_argument("--images", type=int, default=10)
    options = parser.parse_args()
    joint = model.load(model.find(options.model, model.DIRECTORIES["reblur"]))
    _, train = pairs.open_prepared("camera_shake", options.data, "train")
    _, test = pairs.open_prepared("camera_shake", options.data, "test")
    chosen = np.linspace(0, len(test) - 1, options.images).astype(int)
    records = [test[int(index)] for index in chosen]
    print(interpolation(joint, records))
    print(transfer(joint, train, records))


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


def transfer(joint: model.Model, train, records) -> str:
    """Blur of each record on the sharp image of the next one of another photograph."""
    encode = {"representation": lambda images: joint.degradation(images).representation}
    native = joint.description.native
    taught = probe.gather(train, encode, native=native)
    features = taught.features["representation"]
    probes = {name: probe.convolutional_probe(features, taught.targets[name]) for name in TARGETS}
    scales = {name: taught.targets[name].std() for name in TARGETS}
    distances = {name: [] for name in (*TARGETS, "both")}
    for index, record in enumerate(records):
        others = [
            k
            for k, r in enumerate(records)
            if pairs.text(r, "photograph") != pairs.text(record, "photograph")
        ]
        other = min(others, key=lambda k: (k - index) % len(records))
        moved = explore.transfer(
            joint, [to_unit(record["blurry"])], [to_unit(records[other]["sharp"])]
        )
        found = explore.representation(joint, moved[0][0])
        own, others_own = (_motion(r, found.shape[1:3]) for r in (record, records[other]))
        for name in TARGETS:
            read = probes[name](found)[0]
            distances[name].append(
                [np.mean((read - t[name]) ** 2) / scales[name] ** 2 for t in (own, others_own)]
            )
        distances["both"].append(sum(np.array(distances[name][-1]) for name in TARGETS))
    told = []
    for name, found in distances.items():
        to_a, to_b = np.array(found).T
        told.append(
            f"by {name} on {(to_a < to_b).sum()}, mean square distances "
            f"{to_a.mean():.2f} and {to_b.mean():.2f} variances"
        )
    return (
        f"of {len(records)} transferred blurs, closer to A's motion than to B's own "
        + "; ".join(told)
    )


def _motion(record, cells: tuple[int, int]) -> dict[str, np.ndarray]:
    field = motion_field(rebuild_shake(record), cells)
    return {
        "path length": np.log2(1 + field.length)[..., None],
        "path direction": probe.directed(field),
    }


if __name__ == "__main__":
    main()
