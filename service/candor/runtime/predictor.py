"""A model's own session, and the bytes that its programs are compiled from.

Both are let go of where memory is short, and read again from the disk when they are asked for. What
is read again is the same to the byte, or the model is not served: an answer never says one digest
and comes from another file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnx import ModelProto

from candor.errors import InvalidModel
from candor.result import Array, ModelId
from candor.runtime.blueprints import Plan
from candor.runtime.budget import Budget, Part, Resident
from candor.runtime.distributions import distributions_of
from candor.runtime.files import ModelFile, read_model
from candor.runtime.session import Session

__all__ = ["Predictor"]


@dataclass(frozen=True, slots=True)
class _Held:
    """What is heavy. `plans` by output: their graphs share the weights of the proto."""

    proto: ModelProto
    proto_bytes: int
    session: Session
    plans: dict[str | None, Plan]

    @property
    def size_bytes(self) -> int:
        return self.proto_bytes + self.session.size_bytes


class Predictor:
    """Runs the file as it was delivered. Safe to use from several threads.

    Attributes:
        inputs, outputs: as ONNX Runtime sees them.
        provider: the provider in use: `cuda`, `cpu`, ...
        distributions: the outputs that are probabilities already.
    """

    def __init__(
        self,
        model_id: ModelId,
        file: ModelFile,
        open_session: Callable[[ModelProto], Session],
        budget: Budget,
    ) -> None:
        """Open the session, and run it, so that the first request does not pay for the first run.

        Raises:
            InvalidModel: ONNX Runtime cannot load it.
        """
        # Not bound to this object: a cycle would keep its memory after the model is unloaded.
        make = partial(_held, model_id, file.path, [file], open_session)
        part = Part(model_id.name, "predict")
        self._resident: Resident[_Held] = Resident(budget, part, make, goes_last=True)
        with self._resident as held:
            self.inputs = held.session.inputs
            self.outputs = held.session.outputs
            self.provider = held.session.provider
            self.distributions = distributions_of(held.session)

    @property
    def awake(self) -> bool:
        """Whether it is in memory at the moment."""
        return self._resident.value is not None

    def wake(self) -> None:
        """Bring it into memory.

        Raises:
            InvalidModel: its file has gone, or is another by now.
        """
        with self._resident:
            return

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        """Run once: `runtime.session.Session.run`.

        Raises:
            InvalidModel: its file has gone, or is another by now.
        """
        with self._resident as held:
            found = held.session.run(feeds, outputs)
            self._resident.grown(held.size_bytes)
            return found

    @contextmanager
    def planned(
        self, output: str | None, plan: Callable[[ModelProto, str | None], Plan]
    ) -> Iterator[Plan]:
        """The plan of an output's explanations, made where it is not known, for as long as needed.

        Raises:
            Unsupported, NotFound, InvalidModel: as `plan` does, or the file is another by now.
        """
        with self._resident as held:
            if output not in held.plans:
                held.plans[output] = plan(held.proto, output)
            yield held.plans[output]


def _held(
    model_id: ModelId,
    path: Path,
    first: list[ModelFile],
    open_session: Callable[[ModelProto], Session],
) -> tuple[_Held, int]:
    """Open a session on the file that was read at first, or on what is read again."""
    file = first.pop() if first else _read_again(model_id, path)
    held = _Held(file.proto, file.proto.ByteSize(), open_session(file.proto), {})
    return held, held.size_bytes


def _read_again(model_id: ModelId, path: Path) -> ModelFile:
    what = f"model '{model_id.name}' was unloaded to keep to model_memory_bytes"
    try:
        file = read_model(path)
    except InvalidModel as error:
        raise InvalidModel(f"{what}, and cannot be read again: {error.message}") from error
    if file.digest != model_id.digest:
        raise InvalidModel(
            f"{what}, and {path} has changed since: it was {model_id.digest[:16]}..., and is "
            f"{file.digest[:16]}... now; load the model anew, or put the file back"
        )
    return file
