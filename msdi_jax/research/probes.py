"""Probes: how much of the blur and of the content a representation holds.

Probes, linear and small convolutional ones, are trained on the training photographs of a
`camera_shake` set and scored on the test photographs. They see, for each of r × r cells of an
image, one of

    representation   the trained encoder's
    random encoder   the same encoder's before any training
    pixels           the blurry image itself, reduced to 8 × 8 pixels per cell

and predict the motion that truly blurred the cell and for the sharp image's content there. A
representation of the degradation alone would predict the first and not the second.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.models import Model
from msdi_jax.networks.degradation import ENCODER_SIZE, DegradationEncoder
from msdi_jax.runtime.compilation import precise

# Pixels per cell and axis that content is asked in, and that the pixels are given in.
CONTENT, PIXELS = 4, 8
RIDGES = tuple(10.0**power for power in range(-4, 3))
# Of the training records, the last share chooses among `RIDGES` and steps.
CHOICE_SHARE = 0.2
HIDDEN, STEPS, BATCH, RATE, DECAY = 64, 800, 64, 1e-3, 1e-2
LOOK_EVERY = 10
RESAMPLES = 1000

Grid = Float[np.ndarray, "n r r c"]
Probe = Callable[[Grid], Grid]


@dataclasses.dataclass(frozen=True)
class Split:
    """Records of one split: inputs and targets of the probes, by name."""

    features: dict[str, Grid]
    targets: dict[str, Grid]


@dataclasses.dataclass(frozen=True)
class Score:
    """Test R², pooled over cells and channels, and its 95 % interval over test images."""

    r2: float
    low: float
    high: float


def random_encoder(model: Model, seed: int = 0) -> Callable[[Array], Array]:
    """The model's encoder as it was before training, up to the seed."""
    encoder = DegradationEncoder(**model.architecture.encoder, rngs=nnx.Rngs(seed))
    if model.architecture.native:
        # It has seen no images whose statistics its norms could remember.
        encoder.train()
    graph, arrays = nnx.split(encoder)
    encode = jax.jit(lambda arrays, images: nnx.merge(graph, arrays)(images))
    return functools.partial(encode, arrays)


def gather(
    source: Sequence[Mapping],
    encoders: Mapping[str, Callable],
    *,
    native: bool = False,
    batch: int = 16,
) -> Split:
    """Features and targets of all records of a split.

    Args:
        source: records of `camera_shake`.
        encoders: name → images (b, 256, 256, 3) → (b, r, r, c).
        native: whether the encoders take images as they are: then they are given the middle
            256×256 pixels of each, and otherwise all of it at that size.
        batch: images per call.
    """
    # Here, since only training and the commands load the data package.
    from msdi_jax.data.camera_shake.camera_shake_dataset_builder import rebuild_shake
    from msdi_jax.data.synthesis.camera_motion import motion_field

    window = (ENCODER_SIZE, ENCODER_SIZE) if native else None
    parts = []
    for start in range(0, len(source), batch):
        records = [source[i] for i in range(start, min(start + batch, len(source)))]
        blurry, sharp = (
            [_middle(record[key], window) for record in records] for key in ("blurry", "sharp")
        )
        images = np.stack([_reduced(image, ENCODER_SIZE) for image in blurry])
        features = {name: np.asarray(precise(f)(images)) for name, f in encoders.items()}
        cells = next(iter(features.values())).shape[1]
        features["pixels"] = _cells(blurry, cells, PIXELS)
        shakes = [motion_field(rebuild_shake(record), (cells, cells), window) for record in records]
        targets = {
            "path length": np.stack([np.log2(1 + shake.length) for shake in shakes])[..., None],
            "path direction": np.stack([directed(shake) for shake in shakes]),
            "content": _cells(sharp, cells, CONTENT),
        }
        parts.append((features, targets))
    features, targets = (
        {key: np.concatenate([part[i][key] for part in parts]) for key in parts[0][i]}
        for i in (0, 1)
    )
    return Split(features, targets)


def directed(field) -> np.ndarray:
    """Twice the angle: which end of a path came first, an exposure does not show."""
    angle = 2 * field.direction
    return np.stack([field.length * np.cos(angle), field.length * np.sin(angle)], axis=-1)


def _middle(image: np.ndarray, window: tuple[int, int] | None) -> np.ndarray:
    height, width = window or image.shape[:2]
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    if min(top, left) < 0:
        raise ValueError(
            f"an image of {image.shape[0]}×{image.shape[1]} px has no middle {height}×{width}: "
            "prepare a set of larger images"
        )
    return image[top : top + height, left : left + width]


def _reduced(image: np.ndarray, side: int) -> np.ndarray:
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _cells(images: Sequence[np.ndarray], cells: int, pixels: int) -> Grid:
    """Images as cells × cells vectors of pixels × pixels × 3 values."""
    small = np.stack([_reduced(image, cells * pixels) for image in images])
    grid = small.reshape(-1, cells, pixels, cells, pixels, 3).swapaxes(2, 3)
    return grid.reshape(-1, cells, cells, pixels * pixels * 3)


def _training_count(records: int) -> int:
    """Return the number of records, the first ones, that train a probe while it is chosen."""
    return records - max(1, round(CHOICE_SHARE * records))


def linear_probe(features: Grid, target: Grid) -> Probe:
    """Ridge regression cell by cell; its strength is chosen on the last training records."""
    count = _training_count(len(features))
    errors = [
        np.mean((solve(features[count:]) - target[count:]) ** 2)
        for solve in (_ridge(features[:count], target[:count], ridge) for ridge in RIDGES)
    ]
    return _ridge(features, target, RIDGES[int(np.argmin(errors))])


def _ridge(features: Grid, target: Grid, strength: float) -> Probe:
    standard = _standardiser(features)
    x = standard(features).reshape(-1, features.shape[-1]).astype(np.float64)
    y = target.reshape(-1, target.shape[-1]).astype(np.float64)
    mean = y.mean(0)
    gram = x.T @ x + strength * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - mean))
    return lambda features: standard(features) @ weights + mean


def convolutional_probe(features: Grid, target: Grid, seed: int = 0) -> Probe:
    """Three convolutions over the cells, trained by AdamW.

    It starts from the mean and is taken where it did best on the last training records: it learns a
    few photographs by heart in less than `STEPS`.
    """
    standard, scale = _standardiser(features), target.std() + 1e-12
    mean = target.mean((0, 1, 2))
    network = _Probe(features.shape[-1], target.shape[-1], rngs=nnx.Rngs(seed))
    graph, params = nnx.split(network)
    optimiser = optax.adamw(optax.cosine_decay_schedule(RATE, STEPS), weight_decay=DECAY)
    x, y = jnp.asarray(standard(features)), jnp.asarray((target - mean) / scale)
    count = _training_count(len(x))

    def loss(params, x, y):
        return jnp.mean((nnx.merge(graph, params)(x) - y) ** 2)

    @jax.jit
    def step(params, moments, key):
        index = jax.random.choice(key, count, (min(BATCH, count),))
        change, moments = optimiser.update(
            jax.grad(loss)(params, x[index], y[index]), moments, params
        )
        return optax.apply_updates(params, change), moments

    error = jax.jit(lambda params: loss(params, x[count:], y[count:]))
    moments = optimiser.init(params)
    best, least = params, error(params)
    for number, key in enumerate(jax.random.split(jax.random.key(seed), STEPS), start=1):
        params, moments = step(params, moments, key)
        if number % LOOK_EVERY == 0 and (current := error(params)) < least:
            best, least = params, current
    predict = jax.jit(lambda features: nnx.merge(graph, best)(features))
    return lambda features: np.asarray(predict(standard(features))) * scale + mean


class _Probe(nnx.Module):
    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.first = nnx.Conv(inputs, HIDDEN, (1, 1), rngs=rngs)
        self.second = nnx.Conv(HIDDEN, HIDDEN, (3, 3), rngs=rngs)
        self.third = nnx.Conv(
            HIDDEN, outputs, (3, 3), kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, x: Array) -> Array:
        return self.third(nnx.gelu(self.second(nnx.gelu(self.first(x)))))


def _standardiser(features: Grid) -> Callable[[Grid], Grid]:
    mean, spread = features.mean((0, 1, 2)), features.std((0, 1, 2)) + 1e-6
    return lambda features: (features - mean) / spread


PROBES = {"linear": linear_probe, "convolutional": convolutional_probe}


def score(predicted: Grid, target: Grid, baseline: np.ndarray, seed: int = 0) -> Score:
    """R² against the training mean `baseline`; the interval resamples images."""
    wrong = np.sum((predicted - target) ** 2, axis=(1, 2, 3))
    spread = np.sum((baseline - target) ** 2, axis=(1, 2, 3))
    drawn = np.random.default_rng(seed).integers(len(target), size=(RESAMPLES, len(target)))
    resampled = 1 - wrong[drawn].sum(1) / spread[drawn].sum(1)
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Score(float(1 - wrong.sum() / spread.sum()), float(low), float(high))


def table(train: Split, test: Split) -> dict[tuple[str, str, str], Score]:
    """(features, probe, target) → test score."""
    scores = {}
    for features in train.features:
        for target, expected in train.targets.items():
            for name, teach in PROBES.items():
                probe = teach(train.features[features], expected)
                scores[features, name, target] = score(
                    probe(test.features[features]), test.targets[target], expected.mean((0, 1, 2))
                )
    return scores


def adaptivity(train: Split, test: Split) -> np.ndarray:
    """Per test image: correlation over its cells of the true path length with the one read off.

    Images whose path is as long everywhere have none and are left out; where it is read as equally
    long everywhere, nothing was read: 0.
    """
    probe = convolutional_probe(train.features["representation"], train.targets["path length"])
    read, true = probe(test.features["representation"]), test.targets["path length"]
    pairs = zip(read.reshape(len(read), -1), true.reshape(len(true), -1), strict=True)
    return np.array(
        [np.corrcoef(a, b)[0, 1] if a.std() else 0.0 for a, b in pairs if b.std() > 0.05]
    )
