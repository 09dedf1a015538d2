"""Photographs of any size, restored within a bound on memory.

A photograph that fits is restored in one piece; a larger one in equal tiles, so that one program
does them all, blended where they overlap. Every tile is given the degradation of the whole
photograph, cut to its window, since the encoder means its maps to span the picture; a native
encoder estimates tile by tile. The instance norms still see the tile alone: that is what remains of
the difference to one piece. It was measured on a briefly trained network of width 8 and a
photograph of 1037×700 pixels, in tiles of 448×432: at most 6 of 255 levels, and the mean step
across any tile's border 0.1 levels.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from msdi_jax.models import DEBLURRING, ESTIMATING, Model
from msdi_jax.models.self_ensemble import Images, ensemble
from msdi_jax.networks.degradation import ENCODER_SIZE, Degradation
from msdi_jax.networks.resize import resize_bilinear
from msdi_jax.networks.unet import MULTIPLE
from msdi_jax.restoration.restore import pad_to_multiple
from msdi_jax.runtime.compilation import compile_for_memory, precise

# Bytes for photographs of at most `PIXELS`; a larger one adds its own copies.
MEMORY, PIXELS = 2 * 10**9, 12 * 10**6
# Of that, measured: 0.3 GB are Python and its libraries, 0.5 GB a compiler takes.
PROCESS = 800 * 10**6
OVERLAP = 128
_ENCODED = (ENCODER_SIZE, ENCODER_SIZE)
# The outermost pixels of a tile see the zeros that convolutions pad with: they get no weight.
MARGIN = 16
SMALLEST = 2 * OVERLAP
# Programs of longer tiles hold matrices of window statistics that grow with the square of a side.
LONGEST = 4096
# Side of the program that the cost per pixel is read from.
PROBE = 512
# A float32 RGB image.
BYTES_PER_PIXEL = 12
# The photograph as read, as numbers, padded, and the sum of its tiles.
COPIES = 3 + 3 * BYTES_PER_PIXEL


class Span(NamedTuple):
    """A tile's place along one axis, and its weights there; the weights of all tiles sum to 1."""

    start: int
    weights: Float[np.ndarray, " tile"]


def spans(side: int, tile: int, overlap: int = OVERLAP) -> list[Span]:
    """Tiles of equal length at multiples of 16, the last flush, blended by raised cosines."""
    if tile >= side:
        return [Span(0, np.ones(side, np.float32))]
    count = -(-(side - overlap) // (tile - overlap))
    last = side - tile
    starts = [last * i // (count - 1) // MULTIPLE * MULTIPLE for i in range(count)]
    ramps = [_ramps(tile, overlap, start > 0, start < last) for start in starts]
    total = np.zeros(side)
    for start, ramp in zip(starts, ramps, strict=True):
        total[start : start + tile] += ramp
    return [
        Span(start, (ramp / total[start : start + tile]).astype(np.float32))
        for start, ramp in zip(starts, ramps, strict=True)
    ]


def _ramps(tile: int, overlap: int, before: bool, after: bool) -> np.ndarray:
    length = overlap - 2 * MARGIN
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
    ramp = np.concatenate([np.zeros(MARGIN), rise, np.ones(tile - MARGIN - length)])
    weights = np.ones(tile)
    if before:
        weights *= ramp
    if after:
        weights *= ramp[::-1]
    return weights


def tile_shape(height: int, width: int, pixels: float) -> tuple[int, int] | None:
    """Sides of the tiles for a photograph whose sides are multiples of 16.

    The photograph itself if it has at most `pixels` and no side above `LONGEST`; else as square as
    possible, and no larger than their number asks for. None when `pixels` are too few for a tile of
    `SMALLEST` or a short side.
    """
    if height * width <= pixels and max(height, width) <= LONGEST:
        return height, width
    short, long = sorted((height, width))
    first = min(short, LONGEST, _multiple_below(math.sqrt(pixels)))
    second = min(long, LONGEST, _multiple_below(pixels / max(first, 1)))
    if first < min(short, SMALLEST) or second < min(long, SMALLEST):
        return None
    sides = _even(short, first), _even(long, second)
    return sides if height <= width else sides[::-1]


def _multiple_below(side: float) -> int:
    return int(side) // MULTIPLE * MULTIPLE


def _even(side: int, tile: int) -> int:
    """The least length with which the number of tiles that `tile` needs still suffices."""
    if tile >= side:
        return side
    count = -(-(side - OVERLAP) // (tile - OVERLAP))
    # One multiple of slack, since starts are rounded down to multiples.
    least = -(-(side - OVERLAP) // count) + OVERLAP + MULTIPLE
    return min(tile, -(-least // MULTIPLE) * MULTIPLE)


def check_room(height: int, width: int, memory: int | None) -> None:
    """Raise ValueError if `memory` bytes are too few for a photograph by itself."""
    least = PROCESS + COPIES * height * width
    if memory is not None and least > memory:
        raise ValueError(
            f"memory of {memory / 1e6:.0f} MB is too little for a photograph of {height}×{width} "
            f"pixels: allow more than {math.ceil(least / 1e6)} MB"
        )


class BoundedRestorer:
    """Restores images of any size, un-clamped, in passes that `memory` has room for.

    Args:
        model: a deblurring one; in the number of orientations of its description.
        memory: bytes for all that a process holds that does nothing else: libraries, programs,
            weights, copies of the photograph, a forward pass. If None, `MEMORY`, the weights, and
            what a photograph of more than `PIXELS` takes by itself.

    Raises:
        ValueError: for a model without a deblurring branch; when called, if not even the smallest
            tile fits.
    """

    def __init__(self, model: Model, memory: int | None = None):
        if model.architecture.kind not in DEBLURRING:
            raise ValueError(
                f"a {model.architecture.kind} model does not deblur: give one of "
                f"{', '.join(DEBLURRING)}"
            )
        self._orientations = model.description.orientations
        # A self-ensemble holds the sum and a turned copy.
        self._copies = COPIES + (2 if self._orientations > 1 else 0) * BYTES_PER_PIXEL
        self._graph, self._arrays = nnx.split(model.network)
        # A native encoder works tile by tile; networks without an encoder need no maps.
        whole = model.architecture.kind in ESTIMATING and not model.architecture.native
        estimation = self._lower(_maps, _image(*_ENCODED)) if whole else None
        self._estimation = estimation
        self._maps = estimation.out_info if estimation else ()
        held = jax.tree.leaves((self._arrays, self._maps))
        self._fixed = sum(math.prod(x.shape) * x.dtype.itemsize for x in held)
        self.memory = memory
        self._per_pixel: dict[tuple[int, int], float] = {}
        # A photograph upright and turned, and a few sizes of photographs.
        self.program = functools.lru_cache(maxsize=4)(self._compile)

    def __call__(self, images: Images) -> Images:
        return ensemble(self._all, self._orientations)(images)

    def _all(self, images: Images) -> Images:
        if len(images) == 1:
            return self._restore(images[0])[None]
        return np.stack([self._restore(image) for image in images])

    def _restore(self, image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
        padded = pad_to_multiple(image)
        height, width, _ = padded.shape
        with tqdm(desc="compiling", unit="tile", leave=False) as progress:
            # First, since it is computed while the programs of tiles are traced.
            maps = self._degradation(padded)
            tile = self.tile(height, width)
            program = self.program(tile)
            total = np.zeros_like(padded)
            places = list(itertools.product(spans(height, tile[0]), spans(width, tile[1])))
            progress.reset(len(places))
            progress.set_description(f"{height}×{width} px")
            for row, column in places:
                top, left = row.start, column.start
                window = np.s_[top : top + tile[0], left : left + tile[1]]
                place = jnp.array([top, left, height, width], jnp.int32)
                restored = np.asarray(program(self._arrays, padded[window][None], maps, place))[0]
                total[window] += restored * np.outer(row.weights, column.weights)[..., None]
                progress.update()
        return total[: image.shape[0], : image.shape[1]]

    def _degradation(self, image: Float[np.ndarray, "h w 3"]) -> tuple[Array, ...]:
        """The maps that all tiles share."""
        if self._estimation is None:
            return ()
        return self._estimate(self._arrays, resize_bilinear(jnp.asarray(image[None]), *_ENCODED))

    @functools.cached_property
    def _estimate(self) -> jax.stages.Compiled:
        return compile_for_memory(self._estimation)

    def bound(self, height: int, width: int) -> int:
        """Bytes allowed for an image of these sides."""
        if self.memory is not None:
            return self.memory
        return MEMORY + self._fixed + self._copies * max(0, height * width - PIXELS)

    def tile(self, height: int, width: int) -> tuple[int, int]:
        """Sides of the tiles for an image whose sides are multiples of 16."""
        per_pixel = self._cost(min(height, PROBE), min(width, PROBE))
        room = self.bound(height, width) - self._besides(height, width)
        while True:
            tile = tile_shape(height, width, max(room, 0) / per_pixel)
            if tile is None:
                raise ValueError(self._too_little(height, width, per_pixel))
            cost = self._cost(*tile)
            if cost * tile[0] * tile[1] <= room:
                return tile
            # The smaller a program, the more its constant part weighs on every pixel.
            per_pixel = 1.02 * max(cost, per_pixel)

    def _besides(self, height: int, width: int) -> int:
        """Bytes that no choice of a tile changes."""
        return PROCESS + self._copies * height * width + self._fixed

    def _too_little(self, height: int, width: int, per_pixel: float) -> str:
        pixels = min(height, SMALLEST) * min(width, SMALLEST)
        least = (self._besides(height, width) + 1.05 * per_pixel * pixels) / 1e6
        return (
            f"memory of {self.bound(height, width) / 1e6:.0f} MB is too little for any tile of a "
            f"photograph of {height}×{width} pixels: allow at least {math.ceil(least)} MB"
        )

    def _cost(self, height: int, width: int) -> float:
        """Bytes per pixel, beyond the weights and maps, that the compiled program reports."""
        shape = height, width
        if shape not in self._per_pixel:
            sizes = self.program(shape).memory_analysis()
            # Not its arguments: weights that a program leaves unused, it does not count.
            taken = sizes.temp_size_in_bytes + sizes.output_size_in_bytes
            self._per_pixel[shape] = taken / (height * width) + BYTES_PER_PIXEL
        return self._per_pixel[shape]

    def _compile(self, tile: tuple[int, int]):
        def restore(network, image: Array, maps: tuple[Array, ...], place: Array) -> Array:
            if not hasattr(network, "degradation"):
                return network(image).deblurred
            windows = crop_maps(maps, tile, place) if maps else _maps(network, image)
            if hasattr(network, "deblur"):
                return network.deblur(image, windows)
            return network(image, Degradation(None, windows)).deblurred

        place = jax.ShapeDtypeStruct((4,), jnp.int32)
        return compile_for_memory(self._lower(restore, _image(*tile), self._maps, place))

    def _lower(self, function: Callable, *arguments) -> jax.stages.Lowered:
        """`function` of the network and of `arguments`, which need only have shapes."""

        def call(arrays, *arguments):
            return function(nnx.merge(self._graph, arrays), *arguments)

        return jax.jit(precise(call)).lower(self._arrays, *arguments)


def _maps(network: nnx.Module, image: Array) -> tuple[Array, ...]:
    return network.degradation(image).maps


def crop_maps(
    maps: tuple[Float[Array, "b p q c"], ...], tile: tuple[int, int], place: Int[Array, "4"]
) -> tuple[Array, ...]:
    """The maps of a tile at the size of its features, as the whole image's nearest resize has them.

    Args:
        maps: of the whole image, finest first.
        tile: height and width.
        place: top, left, and the height and width of the whole image; multiples of 16.
    """

    def indices(axis: int, level: int, length: int) -> Array:
        here = place[axis] // 2**level + jnp.arange(tile[axis] // 2**level)
        return here * length // (place[axis + 2] // 2**level)

    return tuple(
        m[:, indices(0, level, m.shape[1])][:, :, indices(1, level, m.shape[2])]
        for level, m in enumerate(maps)
    )


def _image(height: int, width: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
