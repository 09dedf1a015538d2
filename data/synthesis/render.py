"""Exposure of one sharp photograph to a blurry/sharp pair of frames.

All rendering is on a canvas of twice the frame's resolution, which is averaged down by area.

    shake = draw_shake(seed=7, height=384, width=384, domain="linear")
    blurry, sharp = render(photo, shake, layers=[another_photo] * len(shake.layers))

Frames so small that all points have the same motion take one convolution: `render_evenly`.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from msdi_jax.data.synthesis.camera_motion import (
    Layer,
    Shake,
    View,
    apply,
    homographies,
    margin,
    middle_path,
    square,
)

GAMMA = 2.2
SUPERSAMPLING = 2


def render(
    photo: UInt8[np.ndarray, "rows columns 3"],
    shake: Shake,
    layers: Sequence[UInt8[np.ndarray, "rows columns 3"]] = (),
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """Expose an RGB photograph along a shake; return (blurry, sharp), RGB, frame-sized.

    `layers` gives one RGB photograph for each of `shake.layers`; any may be `photo` itself. For the
    scale of photographs see `place`.

    Raises:
        ValueError: if a photograph is too small, or the shake has another number of layers.
    """
    if len(layers) != len(shake.layers):
        raise ValueError(
            f"the shake has {len(shake.layers)} foreground layers and {len(layers)} photographs "
            "were given for them: give one each, or draw the shake with max_layers=0"
        )
    rows, columns = (np.array(margin(shake)) * 2 + [shake.height, shake.width]).tolist()
    canvas = _to_linear(place(photo, rows, columns, shake.view), shake.highlight_gain)
    cutouts = [
        _cut_out(texture, layer, shake.highlight_gain)
        for texture, layer in zip(layers, shake.layers, strict=True)
    ]
    exposure, still = _expose(canvas, cutouts, shake)
    sharp = _area_average(still, shake)
    blurry = _add_noise(_area_average(exposure, shake), shake)
    return _to_uint8(blurry), _to_uint8(sharp)


def render_evenly(
    photo: UInt8[np.ndarray, "rows columns 3"], shake: Shake
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """Render frames whose points all move like the middle one; many times faster than `render`.

    In the gamma domain it encodes the canvas before the motion, `render` after it. Its blur is a
    little darker where neighbouring pixels differ much.

    Raises:
        ValueError: if the photograph is too small, or the shake has foreground layers.
    """
    if shake.layers:
        raise ValueError(f"{len(shake.layers)} foreground layers do not move like the middle")
    path = middle_path(shake)
    columns, rows = (np.ceil(np.abs(path).max(axis=0)).astype(int) + 1).tolist()
    frame = 2 * rows + shake.height, 2 * columns + shake.width
    canvas = _to_linear(place(photo, *frame, shake.view), shake.highlight_gain)
    if shake.domain == "gamma":
        canvas = _encode(canvas)
    # OpenCV correlates, hence the flip; the rounding of its Fourier transforms is clipped at 0.
    blur = kernel(SUPERSAMPLING * path)[::-1, ::-1].astype(np.float32)
    exposure = cv2.filter2D(canvas, -1, blur).clip(0)
    window = tuple(slice(SUPERSAMPLING * side, -SUPERSAMPLING * side) for side in (rows, columns))
    blurry, sharp = (_area_average(picture[window], shake) for picture in (exposure, canvas))
    return _to_uint8(_add_noise(blurry, shake)), _to_uint8(sharp)


def kernel(path: Float[np.ndarray, "time 2"]) -> Float[np.ndarray, "n n"]:
    """Return the blur kernel of a path (x, y) in px: the time spent in each pixel, summing to 1."""
    half = int(np.ceil(np.abs(path).max())) + 1
    x, y = half + path.T
    weights = np.zeros((2 * half + 1, 2 * half + 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (1 - np.abs(top + row - y)) * (1 - np.abs(left + column - x))
        np.add.at(weights, (top + row, left + column), share)
    return weights / weights.sum()


def place(photo: np.ndarray, rows: int, columns: int, view: View) -> np.ndarray:
    """Return the part of a photograph that fills `rows` × `columns` frame pixels, as a canvas.

    The scale (canvas px per photograph px) is between 1 and the one at which the whole photograph
    just covers the canvas, log-uniformly by `view.zoom`. A large photograph is thus used at its own
    resolution or reduced. A small one is enlarged as little as possible, up to a factor of 2, where
    a pixel of the frame is a pixel of the photograph: beyond, sharp frames would not be sharp.

    Raises:
        ValueError: if the photograph is too small.
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
    """Decode to light; values near white, where sensors clip, are raised above 1."""
    light = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
    lift = highlight_gain * np.clip((light - 0.9) / 0.1, 0, 1).astype(np.float32)
    return light[encoded] + lift[encoded.min(axis=-1)][..., None]


def _cut_out(photo: np.ndarray, layer: Layer, highlight_gain: float) -> np.ndarray:
    """Return a layer's canvas around its centre: light times opacity, and opacity."""
    side = 2 * int(np.ceil(layer.reach)) + 2
    light = _to_linear(place(photo, side, side, layer.view), highlight_gain)
    steps = (np.arange(side * SUPERSAMPLING) + 0.5) / SUPERSAMPLING - side / 2
    x, y = layer.center[0] + steps[None, :], layer.center[1] + steps[:, None]
    opacity = layer.opacity(x, y).astype(np.float32)[..., None]
    return np.concatenate([light * opacity, opacity], axis=-1)


def _pixels_to_frame(shape: tuple[int, ...], center: tuple[float, float]) -> np.ndarray:
    """Return the map from a canvas's pixel indices to frame coordinates."""
    offset = [c - (n - 1) / 2 / SUPERSAMPLING for c, n in zip(center, shape[1::-1], strict=True)]
    zoom = 1 / SUPERSAMPLING
    return np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]], [0, 0, 1]])


def _expose(
    canvas: np.ndarray, cutouts: Sequence[np.ndarray], shake: Shake
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over all instants, and the sharp frame: canvas-sized, in the domain."""
    shape = (shake.height * SUPERSAMPLING, shake.width * SUPERSAMPLING)
    to_pixels = np.linalg.inv(_pixels_to_frame(shape, (0, 0)))
    pairs = zip(shake.layers, cutouts, strict=True)
    # Image, map from its pixels to the sharp frame, and maps from there to each instant.
    stack = [(canvas, _pixels_to_frame(canvas.shape, (0, 0)), homographies(shake))]
    stack += [
        (cut, _pixels_to_frame(cut.shape, layer.center), homographies(shake, layer))
        for layer, cut in pairs
    ]

    def frame_at(instant: int | None) -> np.ndarray:
        placed = [
            (picture, to_pixels @ (at if instant is None else maps[instant] @ at))
            for picture, at, maps in stack
        ]
        frame = _compose(placed, shape)
        return _encode(frame) if shake.domain == "gamma" else frame

    total = np.zeros((*shape, 3), np.float32)
    for instant in range(len(shake.camera)):
        cv2.accumulate(frame_at(instant), total)
    return total / len(shake.camera), frame_at(None)


def _compose(pictures: Sequence[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int]):
    """Compose one instant: the background, and the cut-outs over it from back to front."""
    (canvas, to_frame), *cutouts = pictures
    frame = cv2.warpPerspective(canvas, to_frame, shape[::-1], flags=cv2.INTER_LINEAR)
    for cutout, to_frame in cutouts:
        corners = square((0, 0), 0.5) + 0.5
        corners = apply(to_frame[None], corners * cutout.shape[1::-1] - 0.5)[0]
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
    """Reduce a canvas-sized image in the shake's domain to frame-sized light in [0, 1]."""
    small = cv2.resize(picture, (shake.width, shake.height), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 1) if shake.domain == "linear" else cv2.pow(small, GAMMA)


def _add_noise(light: np.ndarray, shake: Shake) -> np.ndarray:
    """Add shot noise, of variance proportional to the light, and constant read noise."""
    rng = np.random.default_rng(np.random.SeedSequence([shake.seed, 1]))
    deviation = np.sqrt(shake.shot_noise * light + shake.read_noise**2)
    return light + deviation * rng.standard_normal(light.shape, dtype=np.float32)


def _to_uint8(light: np.ndarray) -> np.ndarray:
    return np.rint(255 * _encode(light)).astype(np.uint8)
