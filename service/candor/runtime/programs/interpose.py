"""Putting something between a value and all that reads it."""

from onnx import helper

from candor.autodiff import Graph

__all__ = ["fill", "open_before_readers"]


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
