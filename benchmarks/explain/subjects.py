"""Models whose explanations are timed, the bare sessions beside them, and pictures to explain."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
import onnx
import skimage

from benchmarks.autodiff.networks import NETWORKS, build, onnx_file
from benchmarks.interleave import Pace, interleave
from candor.result import Array
from candor.runtime.blueprints import plan_explanations
from candor.runtime.compiled import Compiled
from candor.runtime.manifest import Manifest, load_manifest
from candor.runtime.session import Session, SessionPolicy

__all__ = ["Timed", "bare", "best_batch", "network", "open_subject", "repeated"]

REPOSITORY = Path("models/repository")
POLICY = SessionPolicy(("cpu",), intra_op_threads=1)
BATCHES = (1, 2, 4, 8, 16, 32)


class Timed(NamedTuple):
    """A model and a picture.

    Attributes:
        name: as tables call it.
        file: the model as it is.
        subject: as the service explains it.
        runs_s: seconds of each run of the subject so far; clear it at will.
        x: [1, c, h, w].
    """

    name: str
    file: onnx.ModelProto
    subject: Compiled
    runs_s: list[float]
    x: Array


def network(name: str) -> Timed:
    """One of the published architectures with random weights, or of the committed models."""
    if name in NETWORKS:
        file, manifest = onnx.load_from_string(onnx_file(name, build(name))), Manifest()
    else:
        folder = REPOSITORY / name
        file, manifest = onnx.load(folder / "1" / "model.onnx"), load_manifest(folder)
    return open_subject(name, file, manifest)


def open_subject(name: str, file: onnx.ModelProto, manifest: Manifest | None = None) -> Timed:
    """A model's programs, compiled when they are first run, and a photograph of its size."""
    plan = plan_explanations(file, manifest or Manifest(), None, None)
    runs_s: list[float] = []
    subject = Compiled(
        plan.blueprint,
        plan.geometry,
        lambda program, rows: _Clocked(program, runs_s, rows),
        on_run=lambda _program, _rows, _seconds: None,
    )
    _, channels, height, width = plan.blueprint.graph.shape(plan.blueprint.input) or ()
    return Timed(name, file, subject, runs_s, _astronaut(int(channels), int(height), int(width)))


class _Clocked(Session):
    """A session that notes how long its runs take."""

    def __init__(self, program: onnx.ModelProto, runs_s: list[float], rows: int | None) -> None:
        super().__init__(program, POLICY, rows=rows)
        self._runs_s = runs_s

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        """As any session."""
        began = process_time()
        found = super().run(feeds, outputs)
        self._runs_s.append(process_time() - began)
        return found


def _astronaut(channels: int, height: int, width: int) -> Array:
    picture = skimage.transform.resize(skimage.data.astronaut(), (height, width))
    shown = picture if channels == 3 else picture.mean(axis=2, keepdims=True)
    return np.ascontiguousarray(2 * shown.transpose(2, 0, 1)[None] - 1, dtype=np.float32)


def bare(file: onnx.ModelProto, rows: Array) -> Callable[[], object]:
    """ONNX Runtime on the file as it is, with these rows."""
    session = Session(file, POLICY)
    name = session.inputs[0].name
    return lambda: session.run({name: rows})


def repeated(x: Array, batch: int) -> Array:
    """The same row so many times."""
    return np.repeat(x, batch, axis=0)


def best_batch(call_with: Callable[[Array], Callable[[], object]], x: Array) -> int:
    """With how many rows at a time a row takes least, found in turns."""
    calls = {str(batch): call_with(repeated(x, batch)) for batch in BATCHES}
    contest = interleave(calls, Pace(seconds=4.0, rounds=(3, 15), turn=0.02), process_time)
    return min(BATCHES, key=lambda batch: contest.milliseconds(str(batch)).median / batch)
