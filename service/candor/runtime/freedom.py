"""Which sizes a graph's inputs leave open."""

from onnx import GraphProto

__all__ = ["has_free_sizes", "symbols_of_rows"]


def has_free_sizes(graph: GraphProto) -> bool:
    """Tell whether more than the number of rows is left open by the inputs."""
    return any(
        not size.HasField("dim_value")
        for argument in graph.input
        for size in argument.type.tensor_type.shape.dim[1:]
    )


def symbols_of_rows(graph: GraphProto) -> set[str]:
    """Name the numbers of rows that the inputs leave open."""
    shapes = [argument.type.tensor_type.shape.dim for argument in graph.input]
    return {shape[0].dim_param for shape in shapes if shape and shape[0].dim_param}
