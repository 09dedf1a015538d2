"""Synthetic camera shake: rotation and translation of a hand-held camera during the exposure.

`draw_shake` draws such a motion from a seed, `motion_field` returns the true blur, and `render` of
data/synthesis/render.py exposes a photograph along it. The blur varies over the frame because of
rotation about the lens axis, parallax of objects at other depths, and moving objects.

Lengths are pixels of the frame unless said otherwise, with the origin in the middle of the frame,
x to the right and y down. Time runs over the exposure, from -1/2 to 1/2. The sharp frame is seen
from the mean pose, in which the blur is centred, or from the pose at t = 0; see `draw_shake`.
"""

import dataclasses
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

Domain = Literal["linear", "gamma"]
DOMAINS = ("linear", "gamma")
Anchor = Literal["mean", "middle"]
ANCHORS = ("mean", "middle")

# Motions are drawn at this many instants; slow ones keep every 24th, fast ones every 2nd. Each
# stride divides half their number, so that t = 0 is always kept.
_INSTANTS = 193
_STRIDES = (24, 12, 8, 6, 4, 3, 2)
_LONGEST_STEP = 1.0


class View(NamedTuple):
    """Visible part of a photograph: three numbers in [0, 1), see data/synthesis/render.py."""

    zoom: float
    top: float
    left: float


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A foreground object: a piece of another photograph inside a soft closed outline.

    The outline is the circle of `radius` about `center` (x, y), its radius modulated by the
    harmonics 2, 3, … of the polar angle. `motion` holds x, y (px) and roll (rad) per instant,
    `inverse_depth` is relative to the background's.
    """

    inverse_depth: float
    center: tuple[float, float]
    radius: float
    softness: float
    harmonics: Float[np.ndarray, "order 2"]
    motion: Float[np.ndarray, "time 3"]
    view: View

    @property
    def reach(self) -> float:
        """Half the side of the square around the centre that contains the outline, px."""
        return float(self.radius * (1 + np.abs(self.harmonics).sum()) + self.softness)

    def opacity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the opacity in [0, 1] at coordinates of the sharp frame."""
        x, y = x - self.center[0], y - self.center[1]
        angle = np.arctan2(y, x)
        edge = np.ones_like(angle)
        for order, (cosine, sine) in enumerate(self.harmonics, start=2):
            edge += cosine * np.cos(order * angle) + sine * np.sin(order * angle)
        inside = (self.radius * edge - np.hypot(x, y)) / self.softness
        return np.clip(0.5 + 0.5 * inside, 0, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Shake:
    """One exposure of a shaken camera; see `draw_shake`.

    `camera` holds pitch, yaw, roll (rad) and x, y, z translation (in background depths) per
    instant, all zero for the sharp frame. Layers are sorted from the farthest to the nearest.
    """

    seed: int
    height: int
    width: int
    domain: Domain
    focal: float
    camera: Float[np.ndarray, "time 6"]
    layers: tuple[Layer, ...]
    view: View
    highlight_gain: float
    shot_noise: float
    read_noise: float


class MotionField(NamedTuple):
    """True motion at grid points of the sharp frame, see `motion_field`."""

    x: Float[np.ndarray, "rows columns"]
    y: Float[np.ndarray, "rows columns"]
    length: Float[np.ndarray, "rows columns"]
    direction: Float[np.ndarray, "rows columns"]
    layer: np.ndarray


# ---------------------------------------------------------------------------- drawing


def draw_shake(
    seed: int,
    height: int,
    width: int,
    *,
    domain: Domain = "linear",
    anchor: Anchor = "mean",
    strength: float = 8.0,
    reach: float = 64.0,
    max_layers: int = 3,
) -> Shake:
    """Draw a shake for frames of `height` × `width` px; equal arguments give equal shakes.

    Args:
        seed: non-negative integer that determines all randomness of the pair.
        height: of the frame, px.
        width: of the frame, px.
        domain: what the exposure averages: "linear" light, as sensors do, or "gamma"-encoded
            values, as when the 8-bit frames of a fast camera are averaged.
        anchor: the pose that the sharp frame is seen from. "mean" is the mean pose of the exposure,
            as in pairs aligned by the blur's centroid (RealBlur). "middle" is the pose at t = 0, as
            in pairs whose sharp frame is the middle one of those averaged (GoPro); a blurry
            photograph does not determine it, so no method can restore that shift.
        strength: median size of the motion, px. The sizes are log-normally distributed, over a
            factor of two in both directions, and clipped to [0.5, 25] px.
        reach: the farthest, in px, that the background may enter from outside the frame. A
            stronger motion is scaled down to it, so that `reach` bounds `margin`.
        max_layers: largest number of foreground objects.

    Raises:
        ValueError: for an unknown domain or anchor, or impossible sizes.
    """
    for kind, name, known in (("domain", domain, DOMAINS), ("anchor", anchor, ANCHORS)):
        if name not in known:
            raise ValueError(f"{kind} {name!r} is unknown: choose one of {', '.join(known)}")
    if min(height, width) < 8 or reach <= 0 or strength <= 0:
        raise ValueError(
            f"a frame of {height}×{width} px, reach {reach:g} px, strength {strength:g} px cannot "
            "be shaken: sides of at least 8 px, positive reach and strength are needed"
        )
    # Separate generators: more draws from one must not change the others.
    path, objects, scene, sensor = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    size = float(np.clip(path.lognormal(np.log(strength), 0.75), 0.5, 25))
    focal = path.uniform(0.7, 1.5) * width
    shake = Shake(
        seed=seed,
        height=height,
        width=width,
        domain=domain,
        focal=focal,
        camera=_draw_camera(path, size, focal, max(height, width)),
        layers=_draw_layers(objects, size, height, width, max_layers),
        view=View(*scene.random(3)),
        highlight_gain=scene.uniform(0.25, 1.75),
        shot_noise=1.8e-4 * sensor.uniform(0.5, 1.5),
        read_noise=1e-3 * sensor.uniform(0.5, 1.5),
    )
    shake = _thin_out(_limit(shake, reach))
    return shake if anchor == "middle" else _limit(_centred(shake), reach)


def _draw_camera(rng: np.random.Generator, size: float, focal: float, longest: int) -> np.ndarray:
    turn = size / focal
    # Up to 0.12 degrees per px of size on frames of 1280 px; the same shift in px on smaller ones.
    roll = np.deg2rad(rng.uniform(0, 0.12) * size) * 1280 / longest
    shift = rng.uniform(0, 0.6) * size / focal
    return _draw_paths(rng, 6) * [turn, turn, roll, shift, shift, shift]


def _draw_paths(rng: np.random.Generator, channels: int) -> np.ndarray:
    """Draw smooth paths of unit size through 0 at t = 0: Gaussian processes with linear drift."""
    time = np.linspace(-0.5, 0.5, _INSTANTS)
    paths = np.empty((_INSTANTS, channels))
    for channel in range(channels):
        process = _draw_matern(rng, time, scale=rng.uniform(0.25, 1.5))
        paths[:, channel] = process - process[_INSTANTS // 2] + rng.standard_normal() * time
    return paths


def _draw_matern(rng: np.random.Generator, time: np.ndarray, scale: float) -> np.ndarray:
    """Sample the Gaussian process with Matérn-5/2 covariance and unit variance.

    It is sampled from its spectrum, Student's t with 5 degrees of freedom. A Cholesky root of the
    covariance would start BLAS's threads, which costs more time than the rest of the pair.
    """
    waves = 256
    frequency = rng.standard_t(5, waves) / scale
    phase = rng.uniform(0, 2 * np.pi, waves)
    return np.sqrt(2 / waves) * np.cos(time[:, None] * frequency + phase).sum(axis=1)


def _draw_layers(
    rng: np.random.Generator, size: float, height: int, width: int, max_layers: int
) -> tuple[Layer, ...]:
    count = min(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1]), max_layers)
    layers = [_draw_layer(rng, size, height, width) for _ in range(count)]
    return tuple(sorted(layers, key=lambda layer: layer.inverse_depth))


def _draw_layer(rng: np.random.Generator, size: float, height: int, width: int) -> Layer:
    own_motion = rng.uniform(0, 0.8) * size
    return Layer(
        inverse_depth=rng.uniform(1.2, 3),
        center=(rng.uniform(-0.55, 0.55) * width, rng.uniform(-0.55, 0.55) * height),
        radius=rng.uniform(0.08, 0.24) * min(height, width),
        softness=rng.uniform(0.75, 3),
        harmonics=rng.uniform(-0.15, 0.15, (4, 2)) / np.arange(1, 5)[:, None],
        motion=_draw_paths(rng, 3) * [own_motion, own_motion, np.deg2rad(0.1 * own_motion)],
        view=View(*rng.random(3)),
    )


def _limit(shake: Shake, reach: float) -> Shake:
    """Scale the camera's path down until nothing beyond `reach` enters the frame."""
    # The excess is linear in the path to first order only, so this repeats.
    while (excess := _excess(shake).max()) > reach:
        shake = dataclasses.replace(shake, camera=shake.camera * (0.99 * reach / excess))
    return shake


def _thin_out(shake: Shake) -> Shake:
    """Keep the fewest instants, 9 to 97, with steps of at most one pixel; keep t = 0."""
    outlines = [square(layer.center, layer.reach) for layer in shake.layers]
    tracks = [_track(shake, None, _frame_corners(shake))]
    tracks += [_track(shake, *pair) for pair in zip(shake.layers, outlines, strict=True)]
    fastest = max(np.linalg.norm(np.diff(track, axis=0), axis=-1).max() for track in tracks)
    fine = (stride for stride in _STRIDES if fastest * stride <= _LONGEST_STEP)
    stride = next(fine, _STRIDES[-1])
    layers = tuple(dataclasses.replace(o, motion=o.motion[::stride]) for o in shake.layers)
    return dataclasses.replace(shake, camera=shake.camera[::stride], layers=layers)


def _centred(shake: Shake) -> Shake:
    """Return the same motion, seen from the mean pose."""
    layers = tuple(
        dataclasses.replace(layer, motion=layer.motion - layer.motion.mean(axis=0))
        for layer in shake.layers
    )
    return dataclasses.replace(
        shake, camera=shake.camera - shake.camera.mean(axis=0), layers=layers
    )


# ---------------------------------------------------------------------------- geometry


def homographies(shake: Shake, layer: Layer | None = None) -> Float[np.ndarray, "time 3 3"]:
    """Return the maps from the sharp frame to each instant, of the background or of a layer."""
    lens = np.diag([shake.focal, shake.focal, 1.0])
    from_lens = np.linalg.inv(lens)
    depth = 1.0 if layer is None else layer.inverse_depth
    maps = np.empty((len(shake.camera), 3, 3))
    for instant, pose in enumerate(shake.camera):
        motion = cv2.Rodrigues(pose[:3].reshape(3, 1))[0]
        motion[:, 2] += depth * pose[3:]
        maps[instant] = lens @ motion @ from_lens
    return maps if layer is None else maps @ _own_motion(layer)


def _own_motion(layer: Layer) -> np.ndarray:
    """Return the maps of the roll about the layer's centre, followed by its shift."""
    maps = np.tile(np.eye(3), (len(layer.motion), 1, 1))
    cosine, sine = np.cos(layer.motion[:, 2]), np.sin(layer.motion[:, 2])
    maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 0], maps[:, 1, 1] = cosine, -sine, sine, cosine
    center = np.asarray(layer.center)
    maps[:, :2, 2] = center - maps[:, :2, :2] @ center + layer.motion[:, :2]
    return maps


def apply(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply homographies (time, 3, 3) to points (n, 2); returns (time, n, 2)."""
    images = np.einsum("tij,nj->tni", maps, np.column_stack([points, np.ones(len(points))]))
    return images[..., :2] / images[..., 2:]


def _track(shake: Shake, layer: Layer | None, points: np.ndarray) -> np.ndarray:
    return apply(homographies(shake, layer), points)


def square(center: tuple[float, float], half: float) -> np.ndarray:
    return np.asarray(center) + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def _frame_corners(shake: Shake) -> np.ndarray:
    return square((0, 0), 1) * [shake.width / 2, shake.height / 2]


def _excess(shake: Shake) -> np.ndarray:
    """Return how far, in (rows, columns), the visible background reaches outside the frame."""
    # A homography keeps lines straight, so the images of the corners bound the whole frame.
    corners = _frame_corners(shake)
    seen = apply(np.linalg.inv(homographies(shake)), corners)
    return (np.abs(seen).max(axis=(0, 1)) - corners.max(axis=0))[::-1].clip(0)


def margin(shake: Shake) -> tuple[int, int]:
    """Return the rows and columns of photograph that are needed on every side of the frame."""
    # One more for the neighbour in linear interpolation.
    rows, columns = np.ceil(_excess(shake)).astype(int) + 1
    return int(rows), int(columns)


def motion_field(
    shake: Shake, grid: tuple[int, int], window: tuple[int, int] | None = None
) -> MotionField:
    """Return the true motion at the centres of `grid` (rows, columns) equal cells of the frame.

    With `window` (height, width), the cells divide that middle part of the frame instead.

    Every point belongs to the nearest layer that is at least half opaque there in the sharp frame;
    `layer` is that layer's index, -1 for the background. `length` is the length of the path in px.
    `direction` is the angle of its principal axis in [0, π), from x towards y, since an exposure
    does not show which end of a path came first.
    """
    rows, columns = grid
    height, width = window or (shake.height, shake.width)
    y, x = np.meshgrid(
        ((np.arange(rows) + 0.5) / rows - 0.5) * height,
        ((np.arange(columns) + 0.5) / columns - 0.5) * width,
        indexing="ij",
    )
    points = np.column_stack([x.ravel(), y.ravel()])
    owner = np.full(len(points), -1)
    tracks = _track(shake, None, points)
    for index, layer in enumerate(shake.layers):
        inside = layer.opacity(points[:, 0], points[:, 1]) >= 0.5
        owner[inside] = index
        tracks[:, inside] = _track(shake, layer, points[inside])
    length = np.linalg.norm(np.diff(tracks, axis=0), axis=-1).sum(axis=0)
    return MotionField(
        x, y, length.reshape(grid), _principal_axis(tracks).reshape(grid), owner.reshape(grid)
    )


def middle_path(shake: Shake) -> Float[np.ndarray, "time 2"]:
    """Return the path (x, y), px, of the background point in the middle of the frame."""
    return _track(shake, None, np.zeros((1, 2)))[:, 0]


def _principal_axis(tracks: np.ndarray) -> np.ndarray:
    x, y = np.moveaxis(tracks - tracks.mean(axis=0), -1, 0)
    return 0.5 * np.arctan2(2 * (x * y).sum(axis=0), (x**2 - y**2).sum(axis=0)) % np.pi
