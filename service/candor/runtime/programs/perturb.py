"""Perturbations of one row, made inside the graph out of bits: no image leaves or enters."""

from onnx import ModelProto, TensorProto

from candor.autodiff import Emitter
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.gradient import BASELINE, ROW
from candor.runtime.programs.heads import PROBABILITY, SCORE, add_heads
from candor.runtime.programs.interpose import fill, open_before_readers

__all__ = ["MASKS", "SEGMENTS", "perturb_program"]

SEGMENTS = "candor.segments"
MASKS = "candor.masks"


def perturb_program(blueprint: Blueprint) -> ModelProto:
    """Keep the row where its segment is kept, else show the baseline.

    row, baseline [1, ...], segments int64 [...] (1 along the channels), masks bool [m, s] ->
    score, probability [m, k].
    """
    graph = blueprint.graph.copy()
    op = Emitter(graph, "candor/perturb")
    shape = graph.shape(blueprint.input) or ()
    dtype = graph.dtype(blueprint.input)
    behind = open_before_readers(graph, blueprint.input)
    row = graph.add_input(ROW, dtype, (1, *shape[1:]))
    baseline = graph.add_input(BASELINE, dtype, (1, *shape[1:]))
    spread = tuple(f"candor.axis{axis}" for axis in range(1, len(shape)))
    segments = graph.add_input(SEGMENTS, TensorProto.INT64, spread)
    masks = graph.add_input(MASKS, TensorProto.BOOL, ("candor.rows", "candor.segments"))
    kept = op.Gather(masks, segments, axis=1)
    if dtype == TensorProto.BFLOAT16:  # which Where has no kernel for on a CPU
        shown, covered = (op.Cast(value, to=TensorProto.FLOAT) for value in (row, baseline))
        masked = op.Cast(op.Where(kept, shown, covered), to=dtype)
    else:
        masked = op.Where(kept, row, baseline)
    fill(graph, behind, masked)
    add_heads(graph, blueprint)
    return graph.finish([SCORE, PROBABILITY])
