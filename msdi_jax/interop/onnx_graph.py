"""ONNX graphs under construction: nodes, constants, and values with their layout in memory.

Our arrays are NHWC, ONNX's convolutions take NCHW. Each value records the order in which its axes
are stored, so that a transpose costs nothing until an operation needs another order.
"""

import ast
import collections
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

OPSET = 18
# Operations of the text of symbolic dimensions, such as "max(1, floordiv(8*h - 3, 16))".
_OPERATIONS = {"Add": "Add", "Sub": "Sub", "Mult": "Mul", "max": "Max", "min": "Min", "mod": "Mod"}


class Value(NamedTuple):
    """An array whose values are known only when the graph runs."""

    name: str
    shape: tuple
    """Present sizes; 1 where a later node broadcasts."""
    order: tuple[int, ...]
    """Stored axis i is axis `order[i]`."""


class Graph:
    """Nodes in the order in which they run."""

    def __init__(self):
        self.nodes, self.initializers, self._names = [], [], {}

    def add(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes) -> str:
        """Add a node, unless an equal one exists; return the name of its output."""
        from onnx import helper

        identity = (op, *inputs, repr(sorted(attributes.items())))
        if output is None and identity in self._names:
            return self._names[identity]
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        self._names[identity] = output
        return output

    def constant(self, array: Any) -> str:
        from onnx import numpy_helper

        array = np.array(array, order="C")
        # Integers of all types are int64 in the graph.
        array = array.astype(np.int64) if array.dtype.kind in "iu" else array
        identity = (array.dtype.str, array.shape, array.tobytes())
        if identity not in self._names:
            self._names[identity] = f"c{len(self.initializers)}"
            self.initializers.append(numpy_helper.from_array(array, self._names[identity]))
        return self._names[identity]

    def finish(self, output: str) -> tuple[list, list]:
        """Return the nodes and constants on which `output` depends, with biases in convolutions."""
        nodes = self._fold_biases(_leading_to(self.nodes, output))
        used = {name for node in nodes for name in node.input}
        return nodes, [x for x in self.initializers if x.name in used]

    def _fold_biases(self, nodes: list) -> list:
        from onnx import numpy_helper

        uses = collections.Counter(name for node in nodes for name in node.input)
        convs = {node.output[0]: node for node in nodes if node.op_type == "Conv"}
        constants = {x.name: x for x in self.initializers if len(x.dims) == 4}
        kept = []
        for node in nodes:
            conv, bias = convs.get(node.input[0]), constants.get(node.input[-1])
            foldable = node.op_type == "Add" and conv is not None and len(conv.input) == 2
            if foldable and bias is not None and uses[node.input[0]] == 1 and _is_vector(bias):
                conv.input.append(self.constant(numpy_helper.to_array(bias).ravel()))
                conv.output[0] = node.output[0]
            else:
                kept.append(node)
        return kept

    def integers(self, values: Sequence) -> str:
        """Return a vector of dimensions, some of which may be symbolic."""
        if all(isinstance(x, int | np.integer) for x in values):
            return self.constant(np.array(values, np.int64))
        parts = [self.add("Unsqueeze", [self.dimension(x), self.constant([0])]) for x in values]
        return self.add("Concat", parts, axis=0) if len(parts) > 1 else parts[0]

    def dimension(self, dim: Any) -> str:
        """Return a scalar of type int64: an expression of the symbolic sizes of the input."""
        return _scalar(self, ast.parse(str(dim).replace("^", "**"), mode="eval").body)

    def stored(self, value: Any, order: Sequence[int]) -> str:
        """Return the name of a value, or of a constant, with its axes in `order`."""
        if not isinstance(value, Value):
            return self.constant(np.transpose(value, order) if np.ndim(value) else value)
        if value.order == tuple(order):
            return value.name
        perm = [value.order.index(axis) for axis in order]
        return self.add("Transpose", [value.name], perm=perm)

    def plain(self, value: Any) -> str:
        """Return the name of a value whose axes are stored in their own order."""
        return self.stored(value, range(len(shape_of(value))))

    def reshape(self, value: Value, shape: tuple) -> Value:
        if value.shape == shape:
            return value
        if added := _added(value.shape, shape):
            return self.unsqueeze(value, added, shape)
        if removed := _added(shape, value.shape):
            return self.squeeze(value, removed, shape)
        unknown = [i for i, d in enumerate(shape) if not isinstance(d, int)]
        dims = [-1 if [i] == unknown else d for i, d in enumerate(shape)]
        return identity(self.add("Reshape", [self.plain(value), self.integers(dims)]), shape)

    def unsqueeze(self, value: Value, axes: Sequence[int], shape: tuple) -> Value:
        """Insert axes of size 1; they are stored last."""
        kept = [i for i in range(len(shape)) if i not in axes]
        last = range(len(kept), len(shape))
        name = self.add("Unsqueeze", [value.name, self.constant(np.array(last, np.int64))])
        return Value(name, shape, (*(kept[i] for i in value.order), *axes))

    def squeeze(self, value: Value, axes: Sequence[int], shape: tuple) -> Value:
        kept = [i for i in range(len(value.shape)) if i not in axes]
        stored = sorted(value.order.index(axis) for axis in axes)
        name = self.add("Squeeze", [value.name, self.constant(np.array(stored, np.int64))])
        return Value(name, shape, tuple(kept.index(i) for i in value.order if i in kept))

    def broadcast(self, value: Value, shape: tuple) -> Value:
        if value.shape == shape:
            return value
        dims = [1 if a == b else b for a, b in zip(value.shape, shape, strict=True)]
        dims = self.integers([dims[i] for i in value.order])
        return Value(self.add("Expand", [value.name, dims]), shape, value.order)


def _leading_to(nodes: list, output: str) -> list:
    used, leading = {output}, []
    for node in reversed(nodes):
        if used & set(node.output):
            used |= set(node.input)
            leading.append(node)
    return leading[::-1]


def _is_vector(constant) -> bool:
    """Return whether a constant varies along the channels alone."""
    return constant.dims[0] == constant.dims[2] == constant.dims[3] == 1


def shape_of(value: Any) -> tuple:
    return value.shape if isinstance(value, Value) else np.shape(value)


def identity(name: str, shape: tuple) -> Value:
    return Value(name, shape, tuple(range(len(shape))))


def _added(small: tuple, large: tuple) -> list[int]:
    """Return the axes of size 1 that turn shape `small` into `large`, or []."""
    axes, rest = [], list(small)
    for axis, size in enumerate(large):
        if rest and rest[0] == size:
            rest.pop(0)
        elif isinstance(size, int) and size == 1:
            axes.append(axis)
        else:
            return []
    return [] if rest else axes


def _scalar(graph: Graph, node: ast.AST) -> str:
    """Return the name of a scalar of type int64, given the syntax tree of a dimension."""
    if isinstance(node, ast.Constant):
        return graph.constant(np.int64(node.value))
    if isinstance(node, ast.Name):
        return f"size_{node.id}"
    if isinstance(node, ast.UnaryOp):
        zero = graph.constant(np.int64(0))
        return graph.add("Sub", [zero, _scalar(graph, node.operand)])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _power(graph, _scalar(graph, node.left), node.right.value)
    binary = isinstance(node, ast.BinOp)
    arguments = (node.left, node.right) if binary else node.args
    first, second = (_scalar(graph, argument) for argument in arguments)
    name = type(node.op).__name__ if binary else node.func.id
    if name == "floordiv":
        # Div rounds towards zero, Mod has the sign of the divisor.
        remainder = graph.add("Mod", [first, second])
        return graph.add("Div", [graph.add("Sub", [first, remainder]), second])
    return graph.add(_OPERATIONS[name], [first, second])


def _power(graph: Graph, base: str, exponent: int) -> str:
    return base if exponent == 1 else graph.add("Mul", [base, _power(graph, base, exponent - 1)])
