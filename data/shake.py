"""Camera shake, synthesised: one sharp photograph becomes a blurry/sharp pair of frames.

A hand-held camera turns and drifts while the shutter is open. `draw_shake` draws such a motion
from a seed, `render` exposes a photograph along it, `motion_field` tells what the true blur is.
The blur varies over the frame: rotation about the lens axis, translation before objects at
other depths, and objects that move by themselves.

Lengths are pixels of the frame unless said otherwise, with the origin in the middle of the frame,
x to the right and y down. Time runs over the exposure, from -1/2 to 1/2; the sharp frame is t = 0.
Everything is rendered on a canvas of twice the frame's resolution and averaged down by area.

    shake = draw_shake(seed=7, height=384, width=384, domain="linear")
    blurry, sharp = render(photo, shake, layers=[another_photo] * len(shake.layers))
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

GAMMA = 2.2
SUPERSAMPLING = 2
Domain = Literal["linear", "gamma"]
DOMAINS = ("linear", "gamma")

# Motions are drawn at this many instants; slow ones keep every 24th of them only, fast ones every
# 2nd. Each stride divides the half, so that t = 0 is always kept.
_INSTANTS = 193
_STRIDES = (24, 12, 8, 6, 4, 3, 2)
_LONGEST_STEP = 1.0


class View(NamedTuple):
    """Which part of a photograph is used: three numbers in [0, 1), see `_place`."""

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
        """Half the side of the square about the centre that holds the whole outline."""
        return float(self.radius * (1 + np.abs(self.harmonics).sum()) + self.softness)

    def opacity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Opacity in [0, 1] at frame coordinates, at t = 0."""
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
    instant, all zero at t = 0. Layers are sorted from the farthest to the nearest.
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
    """The true motion at grid points: what blurred the pixel that is there at t = 0."""

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
    strength: float = 8.0,
    reach: float = 64.0,
    max_layers: int = 3,
) -> Shake:
    """Draws a shake for frames of `height` × `width`, the same one for the same arguments.

    Args:
        seed: non-negative integer; all randomness of the pair follows from it.
        domain: what the exposure averages: "linear" is light, as sensors do; "gamma" is encoded
            values, as when the 8-bit frames of a fast camera are averaged.
        strength: median size of the motion in px; the shakes of one setting spread log-normally
            about it, over a factor of two either way, and never beyond [0.5, 25] px.
        reach: the farthest, in px, that the background may enter from outside the frame. A
            stronger motion is scaled down to it, so that `reach` bounds `margin`.
        max_layers: foreground objects at most.

    Raises:
        ValueError: for an unknown domain or sizes that no frame has.
    """
    if domain not in DOMAINS:
        raise ValueError(f"domain {domain!r} is unknown: choose one of {', '.join(DOMAINS)}")
    if min(height, width) < 8 or reach <= 0 or strength <= 0:
        raise ValueError(
            f"a frame of {height}×{width} px, reach {reach:g} px, strength {strength:g} px cannot "
            "be shaken: sides of at least 8 px, positive reach and strength are needed"
        )
    # Separate streams: a longer draw in one must not change the others.
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
    return _thin_out(_limit(shake, reach))


def _draw_camera(rng: np.random.Generator, size: float, focal: float, longest: int) -> np.ndarray:
    turn = size / focal
    # Up to 0.12 degrees per px of size on frames of 1280 px, and as many px on smaller ones.
    roll = np.deg2rad(rng.uniform(0, 0.12) * size) * 1280 / longest
    shift = rng.uniform(0, 0.6) * size / focal
    return _draw_paths(rng, 6) * [turn, turn, roll, shift, shift, shift]


def _draw_paths(rng: np.random.Generator, channels: int) -> np.ndarray:
    """Smooth paths of unit size through zero at t = 0: Gaussian processes plus a steady drift."""
    time = np.linspace(-0.5, 0.5, _INSTANTS)
    paths = np.empty((_INSTANTS, channels))
    for channel in range(channels):
        process = _draw_matern(rng, time, scale=rng.uniform(0.25, 1.5))
        paths[:, channel] = process - process[_INSTANTS // 2] + rng.standard_normal() * time
    return paths


def _draw_matern(rng: np.random.Generator, time: np.ndarray, scale: float) -> np.ndarray:
    """A sample of the Gaussian process with Matérn-5/2 covariance, unit variance.

    It is drawn from its spectrum, which is Student's t with 5 degrees of freedom. (A Cholesky root
    of the covariance would set BLAS's threads spinning, which costs more than the whole pair.)
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
    """Scales the camera's path down until nothing beyond `reach` enters the frame."""
    # The excess is linear in the path to first order only, hence the repetition.
    while (excess := _excess(shake).max()) > reach:
        shake = dataclasses.replace(shake, camera=shake.camera * (0.99 * reach / excess))
    return shake


def _thin_out(shake: Shake) -> Shake:
    """Keeps as few instants, 9 to 97, as steps of at most one pixel allow, t = 0 among them."""
    outlines = [_square(layer.center, layer.reach) for layer in shake.layers]
    tracks = [_track(shake, None, _frame_corners(shake))]
    tracks += [_track(shake, *pair) for pair in zip(shake.layers, outlines, strict=True)]
    fastest = max(np.linalg.norm(np.diff(track, axis=0), axis=-1).max() for track in tracks)
    fine = (stride for stride in _STRIDES if fastest * stride <= _LONGEST_STEP)
    stride = next(fine, _STRIDES[-1])
    layers = tuple(dataclasses.replace(o, motion=o.motion[::stride]) for o in shake.layers)
    return dataclasses.replace(shake, camera=shake.camera[::stride], layers=layers)


# ---------------------------------------------------------------------------- geometry


def homographies(shake: Shake, layer: Layer | None = None) -> Float[np.ndarray, "time 3 3"]:
    """Maps of frame coordinates at t = 0 to those at each instant, of a layer or the background."""
    lens = np.diag([shake.focal, shake.focal, 1.0])
    depth = 1.0 if layer is None else layer.inverse_depth
    maps = np.empty((len(shake.camera), 3, 3))
    for instant, pose in enumerate(shake.camera):
        motion = cv2.Rodrigues(pose[:3].reshape(3, 1))[0]
        motion[:, 2] += depth * pose[3:]
        maps[instant] = lens @ motion @ np.linalg.inv(lens)
    return maps if layer is None else maps @ _own_motion(layer)


def _own_motion(layer: Layer) -> np.ndarray:
    """Roll about the layer's centre, then its shift."""
    maps = np.tile(np.eye(3), (len(layer.motion), 1, 1))
    cosine, sine = np.cos(layer.motion[:, 2]), np.sin(layer.motion[:, 2])
    maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 0], maps[:, 1, 1] = cosine, -sine, sine, cosine
    center = np.asarray(layer.center)
    maps[:, :2, 2] = center - maps[:, :2, :2] @ center + layer.motion[:, :2]
    return maps


def _apply(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Homographies (time, 3, 3) of points (n, 2), as (time, n, 2)."""
    images = np.einsum("tij,nj->tni", maps, np.column_stack([points, np.ones(len(points))]))
    return images[..., :2] / images[..., 2:]


def _track(shake: Shake, layer: Layer | None, points: np.ndarray) -> np.ndarray:
    return _apply(homographies(shake, layer), points)


def _square(center: tuple[float, float], half: float) -> np.ndarray:
    return np.asarray(center) + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def _frame_corners(shake: Shake) -> np.ndarray:
    return _square((0, 0), 1) * [shake.width / 2, shake.height / 2]


def _excess(shake: Shake) -> np.ndarray:
    """How far (rows, columns) the background seen during the exposure lies outside the frame."""
    # A homography keeps lines straight: where the corners come from bounds the whole frame.
    corners = _frame_corners(shake)
    seen = _apply(np.linalg.inv(homographies(shake)), corners)
    return (np.abs(seen).max(axis=(0, 1)) - corners.max(axis=0))[::-1].clip(0)


def margin(shake: Shake) -> tuple[int, int]:
    """Rows and columns of photograph needed on every side of the frame."""
    # One more for the neighbour that linear interpolation reads.
    rows, columns = np.ceil(_excess(shake)).astype(int) + 1
    return int(rows), int(columns)


def motion_field(shake: Shake, grid: tuple[int, int]) -> MotionField:
    """True motion at the centres of `grid` (rows, columns) equal cells of the frame.

    Every point belongs to the nearest layer that is at least half opaque there at t = 0; `layer`
    is that layer's index, -1 for the background. `length` is the length of the path in px,
    `direction` the angle of its principal axis in [0, π), from x towards y: an exposure does not
    show which end of a path came first.
    """
    rows, columns = grid
    y, x = np.meshgrid(
        ((np.arange(rows) + 0.5) / rows - 0.5) * shake.height,
        ((np.arange(columns) + 0.5) / columns - 0.5) * shake.width,
        indexing="ij",
    )
    points = np.column_stack([x.ravel(), y.ravel()])
    owner = np.full(len(points), -1)
    tracks = _track(shake, None, points)
    for index, layer in enumerate(shake.layers):
        mine = layer.opacity(points[:, 0], points[:, 1]) >= 0.5
        owner[mine] = index
        tracks[:, mine] = _track(shake, layer, points[mine])
    length = np.linalg.norm(np.diff(tracks, axis=0), axis=-1).sum(axis=0)
    return MotionField(
        x, y, length.reshape(grid), _principal_axis(tracks).reshape(grid), owner.reshape(grid)
    )


def _principal_axis(tracks: np.ndarray) -> np.ndarray:
    x, y = np.moveaxis(tracks - tracks.mean(axis=0), -1, 0)
    return 0.5 * np.arctan2(2 * (x * y).sum(axis=0), (x**2 - y**2).sum(axis=0)) % np.pi


# ---------------------------------------------------------------------------- rendering


def render(
    photo: UInt8[np.ndarray, "rows columns 3"],
    shake: Shake,
    layers: Sequence[UInt8[np.ndarray, "rows columns 3"]] = (),
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """Exposes an RGB photograph along a shake and returns (blurry, sharp), RGB, frame-sized.

    `layers` gives one RGB photograph for each of `shake.layers`; any may be `photo` itself.
    Photograph and canvas differ in scale by one rule, whatever the photograph's size: see `_place`.

    Raises:
        ValueError: when a photograph is too small, or `layers` are not as many as the shake's.
    """
    if len(layers) != len(shake.layers):
        raise ValueError(
            f"the shake has {len(shake.layers)} foreground layers and {len(layers)} photographs "
            "were given for them: give one each, or draw the shake with max_layers=0"
        )
    rows, columns = (np.array(margin(shake)) * 2 + [shake.height, shake.width]).tolist()
    canvas = _to_linear(_place(photo, rows, columns, shake.view), shake.highlight_gain)
    cutouts = [
        _cut_out(texture, layer, shake.highlight_gain)
        for texture, layer in zip(layers, shake.layers, strict=True)
    ]
    exposure, still = _expose(canvas, cutouts, shake)
    sharp = _area_average(still, shake)
    blurry = _add_noise(_area_average(exposure, shake), shake)
    return _to_uint8(blurry), _to_uint8(sharp)


def _place(photo: np.ndarray, rows: int, columns: int, view: View) -> np.ndarray:
    """The part of a photograph that fills `rows` × `columns` frame pixels, as a canvas.

    The scale (canvas px per photograph px) lies between the one at which the whole photograph just
    covers the canvas and 1, log-uniformly by `view.zoom`. So a large photograph is used at its own
    pixels or reduced, and a small one is enlarged no more than it must: up to 2, where a pixel
    of the frame is a pixel of the photograph. Beyond, sharp frames would not be sharp.
    """
    height, width = rows * SUPERSAMPLING, columns * SUPERSAMPLING
    covering = max(height / photo.shape[0], width / photo.shape[1])
    if covering > SUPERSAMPLING:
        raise ValueError(
            f"a photograph of {photo.shape[0]}×{photo.shape[1]} px is too small for the "
            f"{rows}×{columns} px that a frame and its motion need: use a larger photograph, a "
            "smaller frame, or a smaller `reach` in draw_shake"
        )
    scale = covering**view.zoom if covering < 1 else covering
    part = [min(photo.shape[0], round(height / scale)), min(photo.shape[1], round(width / scale))]
    top = int(view.top * (photo.shape[0] - part[0] + 1))
    left = int(view.left * (photo.shape[1] - part[1] + 1))
    piece = photo[top : top + part[0], left : left + part[1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(piece, (width, height), interpolation=method)


def _to_linear(encoded: np.ndarray, highlight_gain: float) -> np.ndarray:
    """Light of encoded values; near white, where sensors have clipped, it is raised above 1."""
    light = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
    lift = highlight_gain * np.clip((light - 0.9) / 0.1, 0, 1).astype(np.float32)
    return light[encoded] + lift[encoded.min(axis=-1)][..., None]


def _cut_out(photo: np.ndarray, layer: Layer, highlight_gain: float) -> np.ndarray:
    """A layer's own canvas: light times opacity, and opacity, about the layer's centre."""
    side = 2 * int(np.ceil(layer.reach)) + 2
    light = _to_linear(_place(photo, side, side, layer.view), highlight_gain)
    steps = (np.arange(side * SUPERSAMPLING) + 0.5) / SUPERSAMPLING - side / 2
    x, y = layer.center[0] + steps[None, :], layer.center[1] + steps[:, None]
    opacity = layer.opacity(x, y).astype(np.float32)[..., None]
    return np.concatenate([light * opacity, opacity], axis=-1)


def _pixels_to_frame(shape: tuple[int, ...], center: tuple[float, float]) -> np.ndarray:
    """Maps pixel indices of a canvas to frame coordinates; pixel centres are at whole indices."""
    offset = [c - (n - 1) / 2 / SUPERSAMPLING for c, n in zip(center, shape[1::-1], strict=True)]
    zoom = 1 / SUPERSAMPLING
    return np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]], [0, 0, 1]])


def _expose(
    canvas: np.ndarray, cutouts: Sequence[np.ndarray], shake: Shake
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the instants, and the one at t = 0: canvas-sized, in the shake's domain."""
    shape = (shake.height * SUPERSAMPLING, shake.width * SUPERSAMPLING)
    to_pixels = np.linalg.inv(_pixels_to_frame(shape, (0, 0)))
    pairs = zip(shake.layers, cutouts, strict=True)
    stack = [(canvas, to_pixels @ homographies(shake) @ _pixels_to_frame(canvas.shape, (0, 0)))]
    stack += [
        (cut, to_pixels @ homographies(shake, layer) @ _pixels_to_frame(cut.shape, layer.center))
        for layer, cut in pairs
    ]
    total = np.zeros((*shape, 3), np.float32)
    for instant in range(len(shake.camera)):
        frame = _compose([(picture, maps[instant]) for picture, maps in stack], shape)
        if shake.domain == "gamma":
            frame = _encode(frame)
        cv2.accumulate(frame, total)
        if instant == len(shake.camera) // 2:
            still = frame
    return total / len(shake.camera), still


def _compose(pictures: Sequence[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int]):
    """The scene at one instant: the background, then the cut-outs over it, back to front."""
    (canvas, to_frame), *cutouts = pictures
    frame = cv2.warpPerspective(canvas, to_frame, shape[::-1], flags=cv2.INTER_LINEAR)
    for cutout, to_frame in cutouts:
        corners = _square((0, 0), 0.5) + 0.5
        corners = _apply(to_frame[None], corners * cutout.shape[1::-1] - 0.5)[0]
        low = np.clip(np.floor(corners.min(axis=0)), 0, shape[::-1]).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, shape[::-1]).astype(int)
        if (high <= low).any():
            continue
        shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
        size = (high - low).tolist()
        piece = cv2.warpPerspective(cutout, shift @ to_frame, size, flags=cv2.INTER_LINEAR)
        window = frame[low[1] : high[1], low[0] : high[0]]
        window *= 1 - piece[..., 3:]
        window += piece[..., :3]
    return frame


def _encode(light: np.ndarray) -> np.ndarray:
    return cv2.pow(np.clip(light, 0, 1), 1 / GAMMA)


def _area_average(picture: np.ndarray, shake: Shake) -> np.ndarray:
    """Frame-sized light in [0, 1] of a canvas-sized picture in the shake's domain."""
    small = cv2.resize(picture, (shake.width, shake.height), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 1) if shake.domain == "linear" else cv2.pow(small, GAMMA)


def _add_noise(light: np.ndarray, shake: Shake) -> np.ndarray:
    """Photons (variance in proportion to the light) and electronics (constant)."""
    rng = np.random.default_rng(np.random.SeedSequence([shake.seed, 1]))
    deviation = np.sqrt(shake.shot_noise * light + shake.read_noise**2)
    return light + deviation * rng.standard_normal(light.shape, dtype=np.float32)


def _to_uint8(light: np.ndarray) -> np.ndarray:
    return np.rint(255 * _encode(light)).astype(np.uint8)
