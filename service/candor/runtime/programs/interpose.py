"""Putting something between a value and all that reads it."""

from collections.abc import Sequence

from onnx import TensorProto, helper

from candor.autodiff import Emitter, Graph, Quantity, reading

__all__ = ["fill", "in_float", "open_before_readers"]


def open_before_readers(graph: Graph, value: str) -> str:
    """Let every present reader of `value` read a new value instead; `fill` says later what it is.

    The two steps leave `value` free to be read by what is put in between.
    """
    gap = graph.fresh(f"{value}/interposed")
    graph.replace_uses(value, gap)
    return gap


def fill(graph: Graph, gap: str, value: str) -> None:
    """Let the readers behind the gap read `value`."""
    graph.append(helper.make_node("Identity", [value], [gap], name=gap))


def in_float(graph: Graph, value: str) -> str:
    """Return a value as float32 on the same way to the scores.

    One that is of another type is cast, or dequantised by its own scale, and put back into its type
    before its readers, which changes no number.
    """
    dtype = graph.dtype(value)
    if dtype == TensorProto.FLOAT:
        return value
    op = Emitter(graph, f"{value}/float")
    gap = open_before_readers(graph, value)
    node = graph.producer(value)
    read = None if node is None else reading(node)
    if node is None or read is None or read.result is None:
        real = op.Cast(value, to=TensorProto.FLOAT)
        back = op.Cast(real, to=dtype)
    else:
        scaling = _operands(node.input, read.result)
        real = op.DequantizeLinear(value, *scaling)
        back = op.QuantizeLinear(real, *scaling)
    fill(graph, gap, back)
    return real


def _operands(names: Sequence[str], quantity: Quantity) -> list[str]:
    return [names[index] for index in quantity[1:] if 0 <= index < len(names) and names[index]]
