"""Translation of JAX functions to ONNX graphs, for the primitives of this package's networks.

Everything that depends on weights alone is computed during translation. A symbolic dimension (the
batch) stays variable: shapes in the graph have -1 there, or no entry.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

OPSET = 18
ELEMENTWISE = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "ge": "GreaterOrEqual",
    "logistic": "Sigmoid",
}
_END = np.iinfo(np.int64).max


class Value(NamedTuple):
    """An array whose values are known only when the graph runs."""

    name: str
    shape: tuple
    """Present sizes; 1 where a later node broadcasts."""


def translate(function: Callable, shape: tuple, names: tuple[str, str], doc: str) -> Any:
    """Translate `function`, from a float32 array to an array, to an `onnx.ModelProto`.

    Args:
        function: the function to trace.
        shape: of its input; the first dimension may be symbolic.
        names: of input and output.
        doc: documentation string of the file.

    Raises:
        NotImplementedError: a primitive has no translation here.
    """
    from onnx import TensorProto, helper

    traced = jax.jit(function).trace(jax.ShapeDtypeStruct(shape, np.float32)).jaxpr
    graph = _Graph()
    (result,) = _run(graph, traced.jaxpr, traced.consts, [Value(names[0], shape)])
    out_shape = traced.out_avals[0].shape
    graph.add("Identity", [graph.broadcast(result, out_shape).name], output=names[1])

    def described(name: str, shape: tuple):
        dims = [d if isinstance(d, int) else str(d) for d in shape]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)

    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "msdi_jax",
            [described(names[0], shape)],
            [described(names[1], out_shape)],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
        producer_name="msdi_jax",
        doc_string=doc,
    )


class _Graph:
    """Nodes in the order in which they run."""

    def __init__(self):
        self.nodes, self.initializers = [], []

    def add(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes) -> str:
        from onnx import helper

        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, array: Any) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def name(self, value: Any) -> str:
        return value.name if isinstance(value, Value) else self.constant(value)

    def reshape(self, value: Value, shape: tuple) -> Value:
        dims = np.array([d if isinstance(d, int) else -1 for d in shape], np.int64)
        return Value(self.add("Reshape", [value.name, self.constant(dims)]), shape)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        name = self.add("Transpose", [value.name], perm=list(order))
        return Value(name, tuple(value.shape[i] for i in order))

    def broadcast(self, value: Value, shape: tuple) -> Value:
        """Broadcast to `shape`; a symbolic dimension must already have its size."""
        if value.shape == shape:
            return value
        pairs = zip(value.shape, shape, strict=True)
        dims = np.array([1 if size == target else target for size, target in pairs], np.int64)
        return Value(self.add("Expand", [value.name, self.constant(dims)]), shape)


def _run(graph: _Graph, jaxpr, consts: Sequence, inputs: Sequence) -> list:
    """Return the outputs of `jaxpr`: arrays if they depend on no input, else `Value`s."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))
    for equation in jaxpr.eqns:
        values = [x.val if isinstance(x, core.Literal) else known[x] for x in equation.invars]
        inner = _called(equation)
        if inner is not None:
            results = _run(
                graph, inner.jaxpr, inner.consts, values[len(values) - len(inner.jaxpr.invars) :]
            )
        elif not any(isinstance(x, Value) for x in values) and _concrete(equation):
            results = equation.primitive.bind(*values, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        else:
            results = [_translated(graph, equation, values)]
        known |= dict(zip(equation.outvars, results, strict=True))
    return [x.val if isinstance(x, core.Literal) else known[x] for x in jaxpr.outvars]


def _called(equation):
    """Return the function that an equation calls with its last inputs, or None.

    If there is one per platform, return the default.
    """
    if platforms := equation.params.get("branches_platforms"):
        return equation.params["branches"][platforms.index(None)]
    return equation.params.get("jaxpr") or equation.params.get("call_jaxpr")


def _concrete(equation) -> bool:
    return all(isinstance(d, int) for out in equation.outvars for d in out.aval.shape)


def _translated(graph: _Graph, equation, inputs: list) -> Value:
    name, shape = equation.primitive.name, equation.outvars[0].aval.shape
    if 0 in shape:  # 0 has another meaning in ONNX; `_joined` leaves empty arrays out
        return Value("", shape)
    if name in ELEMENTWISE:
        return _elementwise(graph, ELEMENTWISE[name], inputs)
    if name not in _RULES:
        raise NotImplementedError(f"no translation of {name} to ONNX")
    if name not in _BROADCASTING:
        inputs = [
            graph.broadcast(x, v.aval.shape) if isinstance(x, Value) else x
            for x, v in zip(inputs, equation.invars, strict=True)
        ]
    return _RULES[name](graph, inputs, shape, **equation.params)


def _elementwise(graph: _Graph, op: str, inputs: list) -> Value:
    shapes = [x.shape for x in inputs]
    rank = max(map(len, shapes))
    dims = zip(*[(1,) * (rank - len(s)) + tuple(s) for s in shapes], strict=True)
    shape = tuple(next((d for d in sizes if d != 1), 1) for sizes in dims)
    return Value(graph.add(op, [graph.name(x) for x in inputs]), shape)


def _broadcast(graph, inputs, shape, /, *, broadcast_dimensions, **_) -> Value:
    """Put the dimensions in place; later nodes broadcast them if necessary."""
    (x, *_) = inputs
    places = dict(zip(broadcast_dimensions, x.shape, strict=True))
    narrow = tuple(places.get(i, 1) for i in range(len(shape)))
    if isinstance(x, Value):
        return x if narrow == x.shape else graph.reshape(x, narrow)
    return Value(graph.constant(np.reshape(x, narrow)), narrow)


def _convolution(graph, inputs, shape, /, *, window_strides, padding, dimension_numbers, **params):
    x, kernel = inputs
    plain = set(params["lhs_dilation"]) | {params["feature_group_count"]} == {1}
    if not plain or dimension_numbers.lhs_spec != (0, 3, 1, 2):
        raise NotImplementedError("no translation to ONNX of dilated, grouped or NCHW convolutions")
    y = graph.add(
        "Conv",
        [
            graph.transpose(x, (0, 3, 1, 2)).name,
            graph.constant(np.transpose(kernel, dimension_numbers.rhs_spec)),
        ],
        strides=list(window_strides),
        dilations=list(params["rhs_dilation"]),
        pads=[int(side) for ends in zip(*padding, strict=True) for side in ends],
    )
    return Value(graph.add("Transpose", [y], perm=[0, 2, 3, 1]), shape)


def _product(graph, inputs, shape, /, *, dimension_numbers, **_) -> Value:
    """Translate the product of an array and a constant, over one axis of each."""
    contracted, batched = dimension_numbers
    x, constant = inputs
    (axis,), (other,) = contracted
    turned = isinstance(constant, Value)
    if turned:
        x, constant, axis, other = constant, x, other, axis
    if any(batched) or isinstance(constant, Value):
        raise NotImplementedError("no translation to ONNX of a product of two variables")
    if axis != len(x.shape) - 1:
        x = graph.transpose(x, (*(i for i in range(len(x.shape)) if i != axis), axis))
    constant = np.moveaxis(np.asarray(constant), other, 0)
    rest = constant.shape[1:]
    matrix = graph.constant(constant.reshape(len(constant), -1))
    y = graph.reshape(Value(graph.add("MatMul", [x.name, matrix]), ()), (*x.shape[:-1], *rest))
    if turned:
        kept = len(x.shape) - 1
        y = graph.transpose(y, (*range(kept, kept + len(rest)), *range(kept)))
    return y


def _cut(graph, inputs, shape, /, *, start_indices, limit_indices, strides, **_) -> Value:
    (x,) = inputs
    steps = strides or (1,) * len(shape)
    axes = [i for i, d in enumerate(x.shape) if isinstance(d, int) and d != shape[i]]
    return _slice(
        graph,
        x,
        shape,
        [(start_indices[i], limit_indices[i], steps[i], i) for i in axes],
    )


def _slice(graph, x, shape, cuts) -> Value:
    if not cuts:
        return x
    fields = [graph.constant(np.array(field, np.int64)) for field in zip(*cuts, strict=True)]
    starts, ends, steps, axes = fields
    return Value(graph.add("Slice", [x.name, starts, ends, axes, steps]), shape)


def _turn(graph, inputs, shape, /, *, dimensions, **_) -> Value:
    return _slice(graph, inputs[0], shape, [(-1, -_END, -1, i) for i in dimensions])


def _padded(graph, inputs, shape, /, *, padding_config, **_) -> Value:
    x, value = inputs
    before, after, inner = zip(*padding_config, strict=True)
    if any(inner):
        raise NotImplementedError("no translation of padding between elements to ONNX")
    pads = graph.constant(np.array([*before, *after], np.int64))
    return Value(graph.add("Pad", [x.name, pads, graph.name(np.asarray(value))]), shape)


def _gathered(graph, inputs, shape, /, *, dimension_numbers, slice_sizes, **_) -> Value:
    """Translate a gather at known places: a window, or entries of one axis."""
    x, indices = inputs
    mapped, indices = dimension_numbers.start_index_map, np.asarray(indices, np.int64)
    if indices.ndim == 1:
        starts = dict(zip(mapped, indices, strict=True))
        cuts = [(start, start + slice_sizes[i], 1, i) for i, start in starts.items()]
        return graph.reshape(_slice(graph, x, slice_sizes, cuts), shape)
    places = tuple(i for i in range(len(shape)) if i not in mapped)
    if dimension_numbers.collapsed_slice_dims != mapped or dimension_numbers.offset_dims != places:
        raise NotImplementedError("no translation to ONNX of a gather along several axes")
    chosen = graph.constant(indices.reshape(-1))
    return Value(graph.add("Gather", [x.name, chosen], axis=mapped[0]), shape)


def _joined(graph, inputs, shape, /, *, dimension, **_) -> Value:
    names = [graph.name(x) for x in inputs if 0 not in x.shape]
    return Value(graph.add("Concat", names, axis=dimension), shape)


def _stacked(graph, inputs, shape, /, *, axis, **_) -> Value:
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    return _joined(graph, [graph.reshape(x, one) for x in inputs], shape, dimension=axis)


def _summed(graph, inputs, shape, /, *, axes, **_) -> Value:
    chosen = graph.constant(np.array(axes, np.int64))
    return Value(graph.add("ReduceSum", [inputs[0].name, chosen], keepdims=0), shape)


def _window_sum(
    graph, inputs, shape, /, *, window_dimensions, window_strides, padding, **_
) -> Value:
    x = graph.transpose(inputs[0], (0, 3, 1, 2))
    y = graph.add(
        "AveragePool",
        [x.name],
        kernel_shape=list(window_dimensions[1:3]),
        strides=list(window_strides[1:3]),
        pads=[int(side) for ends in zip(*padding[1:3], strict=True) for side in ends],
        count_include_pad=1,
    )
    y = graph.add("Transpose", [y], perm=[0, 2, 3, 1])
    return _elementwise(graph, "Mul", [Value(y, shape), np.float32(np.prod(window_dimensions))])


def _chosen(graph, inputs, shape, /, **_) -> Value:
    condition, if_not, if_so = inputs
    return _elementwise(graph, "Where", [condition, if_so, if_not])


def _converted(graph, inputs, shape, /, *, new_dtype, **_) -> Value:
    if new_dtype != np.float32:
        raise NotImplementedError(f"no translation of variables of {new_dtype} to ONNX")
    return inputs[0]


def _square(graph, inputs, shape, /, **_) -> Value:
    return _elementwise(graph, "Mul", inputs * 2)


def _reciprocal_root(graph, inputs, shape, /, **_) -> Value:
    (x,) = inputs
    return Value(graph.add("Reciprocal", [graph.add("Sqrt", [x.name])]), x.shape)


def _reshaped(graph, inputs, shape, /, **_) -> Value:
    return graph.reshape(inputs[0], shape)


def _transposed(graph, inputs, shape, /, *, permutation) -> Value:
    return graph.transpose(inputs[0], permutation)


_RULES = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _joined,
    "conv_general_dilated": _convolution,
    "convert_element_type": _converted,
    "dot_general": _product,
    "gather": _gathered,
    "pad": _padded,
    "reduce_sum": _summed,
    "reduce_window_sum": _window_sum,
    "reshape": _reshaped,
    "rev": _turn,
    "rsqrt": _reciprocal_root,
    "select_n": _chosen,
    "slice": _cut,
    "square": _square,
    "squeeze": _reshaped,
    "stack": _stacked,
    "transpose": _transposed,
}
# Primitives whose inputs need not be broadcast first.
_BROADCASTING = {"broadcast_in_dim", "convert_element_type", "rsqrt", "select_n", "square"}
