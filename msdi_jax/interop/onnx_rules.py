"""Translations of JAX primitives, and of a few named functions, to nodes of ONNX."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from msdi_jax.interop.onnx_graph import Graph, Value, identity, shape_of

ELEMENTWISE = {
    "add": "Add",
    "and": "And",
    "div": "Div",
    "eq": "Equal",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "sign": "Sign",
    "sub": "Sub",
}
NCHW = (0, 3, 1, 2)
_END = np.iinfo(np.int64).max


def elementwise(graph: Graph, op: str, inputs: Sequence, **attributes) -> Value:
    """Add a node that stores the axes in the order of its largest input."""
    rank = max(len(shape_of(x)) for x in inputs)
    dims = zip(*[(1,) * (rank - len(shape_of(x))) + shape_of(x) for x in inputs], strict=True)
    shape = tuple(next((d for d in sizes if not _is_one(d)), 1) for sizes in dims)
    values = [x for x in inputs if isinstance(x, Value) and len(x.shape) == rank]
    wide = max(values, key=lambda x: sum(not _is_one(d) for d in x.shape), default=None)
    order = wide.order if wide else tuple(range(rank))
    names = [graph.stored(x, order if shape_of(x) else ()) for x in inputs]
    return Value(graph.add(op, names, **attributes), shape, order)


def _is_one(dim: Any) -> bool:
    return isinstance(dim, int) and dim == 1


def _broadcast(graph, inputs, shape, /, *, broadcast_dimensions, **_):
    """Put the dimensions in place; later nodes broadcast them if necessary."""
    (x, *_) = inputs
    places = dict(zip(broadcast_dimensions, shape_of(x), strict=True))
    narrow = tuple(places.get(i, 1) for i in range(len(shape)))
    if not isinstance(x, Value):
        return np.reshape(x, narrow)
    new = [i for i in range(len(shape)) if i not in places]
    return graph.unsqueeze(x, new, narrow) if new else x


def _convolution(graph, inputs, shape, /, *, window_strides, padding, dimension_numbers, **params):
    x, kernel = inputs
    if set(params["lhs_dilation"]) != {1} or isinstance(kernel, Value):
        raise NotImplementedError("no translation to ONNX of dilated convolutions")
    numbers = dimension_numbers
    y = graph.add(
        "Conv",
        [
            graph.stored(x, numbers.lhs_spec),
            graph.constant(np.transpose(kernel, numbers.rhs_spec)),
        ],
        strides=list(window_strides),
        dilations=list(params["rhs_dilation"]),
        pads=[int(side) for ends in zip(*padding, strict=True) for side in ends],
        group=params["feature_group_count"],
    )
    return Value(y, shape, numbers.out_spec)


def _product(graph, inputs, shape, /, *, dimension_numbers, **_) -> Value:
    """Translate the product of an array and a matrix, over one axis of each."""
    contracted, batched = dimension_numbers
    (x, matrix), (axes, others) = inputs, contracted
    turned = len(shape_of(x)) == 2 and not (isinstance(x, Value) and len(shape_of(matrix)) == 2)
    if turned:
        x, matrix, axes, others = matrix, x, others, axes
    if any(batched) or len(axes) != 1 or len(shape_of(matrix)) != 2:
        raise NotImplementedError("no translation to ONNX of this product")
    (axis,), (inner,) = axes, others
    order = x.order if isinstance(x, Value) else tuple(range(len(shape_of(x))))
    if axis not in order[-2:]:
        order = (*(i for i in order if i != axis), axis)
    x_name, sides = graph.stored(x, order), (inner, 1 - inner)
    if order[-1] == axis:
        y = graph.add("MatMul", [x_name, graph.stored(matrix, sides)])
    else:
        y = graph.add("MatMul", [graph.stored(matrix, sides[::-1]), x_name])
    kept = [i for i in range(len(order)) if i != axis]
    places = {i: n + turned for n, i in enumerate(kept)} | {axis: 0 if turned else len(kept)}
    return Value(y, shape, tuple(places[i] for i in order))


def _cut(graph, inputs, shape, /, *, start_indices, limit_indices, strides, **_) -> Value:
    (x,) = inputs
    steps = strides or (1,) * len(shape)
    axes = [i for i, size in enumerate(x.shape) if size != shape[i]]
    cuts = [(start_indices[i], limit_indices[i], steps[i], i) for i in axes]
    return _slice(graph, x, shape, cuts)


def _slice(graph, x, shape, cuts) -> Value:
    if not cuts:
        return x
    starts, ends, steps, axes = zip(*cuts, strict=True)
    axes = [x.order.index(axis) for axis in axes]
    fields = [graph.integers(field) for field in (starts, ends, axes, steps)]
    return Value(graph.add("Slice", [x.name, *fields]), shape, x.order)


def _turn(graph, inputs, shape, /, *, dimensions, **_) -> Value:
    return _slice(graph, inputs[0], shape, [(-1, -_END, -1, i) for i in dimensions])


def _padded(graph, inputs, shape, /, *, padding_config, **_) -> Value:
    x, value = inputs
    before, after, inner = zip(*(padding_config[i] for i in x.order), strict=True)
    if any(inner):
        raise NotImplementedError("no translation of padding between elements to ONNX")
    pads = graph.integers([*before, *after])
    return Value(graph.add("Pad", [x.name, pads, graph.stored(value, ())]), shape, x.order)


def _gathered(graph, inputs, shape, /, *, dimension_numbers, slice_sizes, **_) -> Value:
    """Translate a gather of a window at a known place, or of entries of one axis."""
    x, indices = inputs
    mapped = dimension_numbers.start_index_map
    if len(shape_of(indices)) == 1 and not isinstance(indices, Value):
        starts = dict(zip(mapped, indices.tolist(), strict=True))
        cuts = [(start, start + slice_sizes[i], 1, i) for i, start in starts.items()]
        return graph.reshape(_slice(graph, x, slice_sizes, cuts), shape)
    places = tuple(i for i in range(len(shape)) if i not in mapped)
    if dimension_numbers.collapsed_slice_dims != mapped or dimension_numbers.offset_dims != places:
        raise NotImplementedError("no translation to ONNX of a gather along several axes")
    (axis,), count = mapped, shape_of(indices)[:1]
    if isinstance(indices, Value):
        indices = graph.reshape(indices, count)
    else:
        indices = np.asarray(indices, np.int64).reshape(-1)
    axis = x.order.index(axis)
    return Value(graph.add("Gather", [x.name, graph.plain(indices)], axis=axis), shape, x.order)


def _split(graph, inputs, shapes, /, *, axis, **_) -> list[Value]:
    parts, start = [], 0
    for shape in shapes:
        end = start + shape[axis]
        parts.append(_slice(graph, inputs[0], shape, [(start, end, 1, axis)]))
        start = end
    return parts


def _accumulated(graph, inputs, shape, /, *, axis, reverse) -> Value:
    (x,) = inputs
    chosen = graph.constant(np.int64(x.order.index(axis)))
    return Value(graph.add("CumSum", [x.name, chosen], reverse=int(reverse)), shape, x.order)


def _joined(graph, inputs, shape, /, *, dimension, **_) -> Value:
    parts = [x for x in inputs if 0 not in shape_of(x)]
    values = [x for x in parts if isinstance(x, Value)]
    order = values[0].order if values else tuple(range(len(shape)))
    names = [graph.stored(x, order) for x in parts]
    return Value(graph.add("Concat", names, axis=order.index(dimension)), shape, order)


def _stacked(graph, inputs, shape, /, *, axis, **_) -> Value:
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    return _joined(graph, [graph.reshape(x, one) for x in inputs], shape, dimension=axis)


def _summed(graph, inputs, shape, /, *, axes, **_) -> Value:
    (x,) = inputs
    kept = [i for i in range(len(x.shape)) if i not in axes]
    chosen = graph.integers([x.order.index(axis) for axis in axes])
    name = graph.add("ReduceSum", [x.name, chosen], keepdims=0)
    return Value(name, shape, tuple(kept.index(i) for i in x.order if i in kept))


def _window_sum(
    graph, inputs, shape, /, *, window_dimensions, window_strides, padding, **_
) -> Value:
    y = graph.add(
        "AveragePool",
        [graph.stored(inputs[0], NCHW)],
        kernel_shape=list(window_dimensions[1:3]),
        strides=list(window_strides[1:3]),
        pads=[int(side) for ends in zip(*padding[1:3], strict=True) for side in ends],
        count_include_pad=1,
    )
    return elementwise(
        graph, "Mul", [Value(y, shape, NCHW), np.float32(math.prod(window_dimensions))]
    )


def _chosen(graph, inputs, shape, /, **_) -> Value:
    condition, if_not, if_so = inputs
    return elementwise(graph, "Where", [condition, if_so, if_not])


def _converted(graph, inputs, shape, /, *, new_dtype, old_dtype, **_) -> Any:
    """Integers of all types are int64 in the graph."""
    from onnx import TensorProto

    (x,) = inputs
    if np.dtype(new_dtype).kind == np.dtype(old_dtype).kind:
        return x
    target = {"f": TensorProto.FLOAT, "i": TensorProto.INT64}.get(np.dtype(new_dtype).kind)
    if target is None:
        raise NotImplementedError(f"no translation of variables of {new_dtype} to ONNX")
    return Value(graph.add("Cast", [x.name], to=target), x.shape, x.order)


def _counted(graph, inputs, shape, /, *, dimension, dtype, **_) -> Value:
    ends = [graph.constant(np.int64(0)), graph.dimension(shape[dimension])]
    name = graph.add("Range", [*ends, graph.constant(np.int64(1))])
    x = identity(name, (shape[dimension],))
    x = _converted(graph, [x], x.shape, new_dtype=dtype, old_dtype=np.int64)
    return _broadcast(graph, [x], shape, broadcast_dimensions=(dimension,))


def _size(graph, inputs, shape, /, *, dim) -> Value:
    return identity(graph.dimension(dim), ())


def _square(graph, inputs, shape, /, **_) -> Value:
    return elementwise(graph, "Mul", inputs * 2)


def _remainder(graph, inputs, shape, /, **_) -> Value:
    # With the sign of the first input, as in C.
    return elementwise(graph, "Mod", inputs, fmod=1)


def _differ(graph, inputs, shape, /, **_) -> Value:
    return elementwise(graph, "Not", [elementwise(graph, "Equal", inputs)])


def _reciprocal_root(graph, inputs, shape, /, **_) -> Value:
    (x,) = inputs
    return Value(graph.add("Reciprocal", [graph.add("Sqrt", [x.name])]), x.shape, x.order)


def _reshaped(graph, inputs, shape, /, **_) -> Value:
    return graph.reshape(inputs[0], shape)


def _transposed(graph, inputs, shape, /, *, permutation) -> Value:
    (x,) = inputs
    return Value(x.name, shape, tuple(permutation.index(i) for i in x.order))


RULES = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _joined,
    "conv_general_dilated": _convolution,
    "convert_element_type": _converted,
    "cumsum": _accumulated,
    "dim_as_value": _size,
    "dot_general": _product,
    "gather": _gathered,
    "iota": _counted,
    "ne": _differ,
    "pad": _padded,
    "reduce_sum": _summed,
    "reduce_window_sum": _window_sum,
    "rem": _remainder,
    "reshape": _reshaped,
    "rev": _turn,
    "rsqrt": _reciprocal_root,
    "select_n": _chosen,
    "slice": _cut,
    "split": _split,
    "square": _square,
    "squeeze": _reshaped,
    "stack": _stacked,
    "transpose": _transposed,
}
# Primitives whose inputs need not be broadcast first.
TAKES_NARROW = {
    "broadcast_in_dim",
    "convert_element_type",
    "rsqrt",
    "select_n",
    "square",
    "rem",
    "ne",
}


def _leaky_relu(graph, inputs, shape) -> Value:
    x, slope = inputs
    return Value(graph.add("LeakyRelu", [x.name], alpha=float(slope)), x.shape, x.order)


def _rearranged(op: str, **attributes):
    def rule(graph, inputs, shape) -> Value:
        (x,) = inputs
        side = math.isqrt(max(x.shape[3], shape[3]) // min(x.shape[3], shape[3]))
        name = graph.add(op, [graph.stored(x, NCHW)], blocksize=side, **attributes)
        return Value(name, shape, NCHW)

    return rule


def _extended(mode: str):
    def rule(graph, inputs, shape) -> Value:
        (x,) = inputs
        name, size = graph.stored(x, NCHW), (shape[1] - x.shape[1]) // 2
        # A single pixel has nothing to reflect: its edge is repeated, as in NumPy.
        modes = ["edge" if _is_one(side) else mode for side in x.shape[1:3]]
        for chosen in dict.fromkeys(modes):
            pads = graph.integers([0, 0, *(size * (m == chosen) for m in modes)] * 2)
            name = graph.add("Pad", [name, pads], mode=chosen)
        return Value(name, shape, NCHW)

    return rule


def _averaged(graph, inputs, shape) -> Value:
    return Value(graph.add("GlobalAveragePool", [graph.stored(inputs[0], NCHW)]), shape, NCHW)


def _doubled(graph, inputs, shape) -> Value:
    scales = graph.constant(np.float32([1, 1, 2, 2]))
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    name = graph.add("Resize", [graph.stored(inputs[0], NCHW), "", scales], **options)
    return Value(name, shape, NCHW)


# Functions of the plain target, see `networks.rewrites.plain`, and of jax.
CALLS = {
    "leaky_relu": _leaky_relu,
    "depth_to_space": _rearranged("DepthToSpace", mode="DCR"),
    "pixel_shuffle": _rearranged("DepthToSpace", mode="CRD"),
    "space_to_depth": _rearranged("SpaceToDepth"),
    "reflect_pad": _extended("reflect"),
    "edge_pad": _extended("edge"),
    "double": _doubled,
    "spatial_mean": _averaged,
}
