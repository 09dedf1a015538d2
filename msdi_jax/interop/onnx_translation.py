"""Translation of JAX functions to ONNX, for the primitives of this package's networks.

Everything that depends on weights alone is computed during translation. Sizes may be symbolic:
those of the input are read from it when the graph runs, and all others computed from them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from msdi_jax.interop.onnx_graph import OPSET, Graph, Value, identity, shape_of
from msdi_jax.interop.onnx_rules import CALLS, ELEMENTWISE, RULES, TAKES_NARROW, elementwise


def translate(function: Callable, shape: tuple, names: tuple[str, str], doc: str) -> Any:
    """Translate `function`, from a float32 array to an array, to an `onnx.ModelProto`.

    Args:
        function: the function to trace.
        shape: of its input; dimensions may be symbolic: a letter, or a multiple of one.
        names: of input and output.
        doc: documentation string of the file.

    Raises:
        NotImplementedError: a primitive has no translation here.
    """
    from onnx import TensorProto, helper

    traced = jax.jit(function).trace(jax.ShapeDtypeStruct(shape, np.float32)).jaxpr
    graph = Graph()
    inputs = [_sized_input(graph, names[0], shape)]
    (result,) = _run(graph, traced.jaxpr, traced.consts, inputs)
    out_shape = traced.out_avals[0].shape
    graph.add("Identity", [graph.plain(graph.broadcast(result, out_shape))], output=names[1])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [_described(d) for d in dims])
        for name, dims in zip(names, (shape, out_shape), strict=True)
    ]
    nodes, constants = graph.finish(names[1])
    return helper.make_model(
        helper.make_graph(nodes, "msdi_jax", ends[:1], ends[1:], constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
        producer_name="msdi_jax",
        doc_string=doc,
    )


def _described(dim: Any) -> int | str:
    """Return the size, or its name without spaces and operators, for readers of the file."""
    return dim if isinstance(dim, int) else str(dim).replace("*", "_").replace(" ", "")


def _sized_input(graph: Graph, name: str, shape: tuple) -> Value:
    """Compute the letter of each symbolic dimension, and return the input.

    Inputs whose sizes are not the multiples that `shape` asks for fail in a node "Reshape".
    """
    sizes = graph.add("Shape", [name])
    symbolic = {axis: str(dim) for axis, dim in enumerate(shape) if not isinstance(dim, int)}
    for axis, text in symbolic.items():
        multiple, _, letter = text.rpartition("*")
        size = graph.add("Gather", [sizes, graph.constant(np.int64(axis))])
        divisor = graph.constant(np.int64(multiple or 1))
        graph.add("Div", [size, divisor], output=f"size_{letter}")
    if any("*" in text for text in symbolic.values()):
        name = graph.add("Reshape", [name, graph.integers(shape)])
    return identity(name, shape)


def _run(graph: Graph, jaxpr, consts: Sequence, inputs: Sequence) -> list:
    """Return the outputs of `jaxpr`: arrays if they depend on no input, else `Value`s."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))
    for equation in jaxpr.eqns:
        values = [_read(x, known) for x in equation.invars]
        inner, call = _called(equation), CALLS.get(equation.params.get("name"))
        variable = any(isinstance(x, Value) for x in values)
        if call and variable:
            results = [call(graph, values, equation.outvars[0].aval.shape)]
        elif inner is not None:
            last = values[len(values) - len(inner.jaxpr.invars) :]
            results = _run(graph, inner.jaxpr, inner.consts, last)
        elif not variable and _concrete(equation):
            results = equation.primitive.bind(*values, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        else:
            results = _translated(graph, equation, values)
        known |= dict(zip(equation.outvars, results, strict=True))
    return [_read(x, known) for x in jaxpr.outvars]


def _read(x, known: dict) -> Any:
    return np.asarray(x.val, x.aval.dtype) if isinstance(x, core.Literal) else known[x]


def _called(equation):
    """Return the function that an equation calls with its last inputs, or None.

    If there is one per platform, return the default.
    """
    if platforms := equation.params.get("branches_platforms"):
        return equation.params["branches"][platforms.index(None)]
    return equation.params.get("jaxpr") or equation.params.get("call_jaxpr")


def _concrete(equation) -> bool:
    shapes = [out.aval.shape for out in equation.outvars]
    return equation.primitive.name != "dim_as_value" and all(
        isinstance(d, int) for shape in shapes for d in shape
    )


def _translated(graph: Graph, equation, inputs: list) -> list:
    name, shapes = equation.primitive.name, [v.aval.shape for v in equation.outvars]
    if 0 in shapes[0]:  # 0 has another meaning in ONNX; concatenations leave empty arrays out
        return [identity("", shapes[0])]
    if name in ELEMENTWISE:
        return [elementwise(graph, ELEMENTWISE[name], inputs)]
    if name not in RULES:
        raise NotImplementedError(f"no translation of {name} to ONNX")
    if name not in TAKES_NARROW:
        inputs = [
            _widened(graph, x, v.aval.shape) for x, v in zip(inputs, equation.invars, strict=True)
        ]
    params = equation.params
    if name == "convert_element_type":
        params = params | {"old_dtype": equation.invars[0].aval.dtype}
    if equation.primitive.multiple_results:
        return RULES[name](graph, inputs, shapes, **params)
    return [RULES[name](graph, inputs, shapes[0], **params)]


def _widened(graph: Graph, x: Any, shape: tuple) -> Any:
    """Broadcast an array, or a constant of symbolic size."""
    if shape_of(x) == shape:
        return x
    return graph.broadcast(x if isinstance(x, Value) else identity(graph.plain(x), x.shape), shape)
