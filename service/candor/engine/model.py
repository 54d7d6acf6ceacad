"""What the engine asks of models and of their store; `candor.runtime` satisfies both."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

from candor.explain.subject import Subject
from candor.result import Array, Encoded, ModelId, Payload, Scores

__all__ = ["Brevity", "Job", "Joining", "Model", "ModelStore", "Output"]

Job: TypeAlias = Literal["plan", "predict"]


class Output(Protocol):
    """One of a model's own outputs."""

    @property
    def name(self) -> str:
        """As in the graph."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, -1 where the size is free; () for a scalar."""
        ...


class Joining(Protocol):
    """Which requests of a model may share a run."""

    @property
    def delay_s(self) -> float:
        """How long a request may wait for others, though it could run."""
        ...

    @property
    def tried(self) -> bool:
        """Whether `alike` has been found out."""
        ...

    def max_rows(self, payload: Payload) -> int:
        """Rows of a run that several requests like this one may share; 1: each runs alone."""
        ...

    @property
    def most_brief_rows(self) -> int:
        """Of a run that brief requests share; 1 until rows are known to be alike."""
        ...

    def alike(self, tensors: Mapping[str, Array]) -> bool:
        """Whether rows are answered alike whatever runs with them.

        Found out by runs on such tensors; called off the event loop.
        """
        ...


class Brevity(Protocol):
    """What a model's jobs take, as far as it was seen."""

    def expects(self, job: Job, payload: Payload, rows: int) -> bool:
        """Whether a job on some rows takes less than handing it to a thread."""
        ...

    def timed(self, job: Job, rows: int) -> AbstractContextManager[None]:
        """Learn from a job."""
        ...


class Model(Protocol):
    """One version of one model.

    What runs or computes is called off the event loop, unless `brevity` expects it to be brief.
    """

    @property
    def id(self) -> ModelId:
        """Name, version and the digest of the ONNX bytes."""
        ...

    @property
    def activation(self) -> str:
        """What turns scores into probabilities; the manifest may say so, hence in cache keys."""
        ...

    @property
    def provider(self) -> str:
        """ONNX Runtime's execution provider."""
        ...

    @property
    def awake(self) -> bool:
        """Whether a prediction need not wait for `wake`."""
        ...

    @property
    def outputs(self) -> Sequence[Output]:
        """The model's own outputs."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Human names in class order; () where there are none."""
        ...

    @property
    def n_classes(self) -> int:
        """k; a single-logit model counts two; 0 where the model is no classifier."""
        ...

    @property
    def methods(self) -> Mapping[str, str | None]:
        """Every method's name: None where the model supports it, else the reason why not."""
        ...

    @property
    def joining(self) -> Joining:
        """Which of its requests may share a run."""
        ...

    @property
    def brevity(self) -> Brevity:
        """Which of its jobs are brief."""
        ...

    @property
    def explained_inputs(self) -> Sequence[str]:
        """The inputs that are explained; of several each has a map of its own."""
        ...

    def wake(self) -> None:
        """Bring back what was unloaded to save memory; whatever runs does so too, in its slot."""
        ...

    def encode(self, payload: Payload) -> Encoded:
        """Tensors of the names, dtypes and shapes that the model wants; raises InvalidInput."""
        ...

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        """Answer as ONNX Runtime does; () is every output of the model's own."""
        ...

    def scores_of(self, outputs: Mapping[str, Array]) -> Scores | None:
        """Scores and probabilities, where the outputs hold them."""
        ...

    def outputs_from(self, scores: Scores) -> dict[str, Array] | None:
        """The model's own outputs, where the default scores are enough to rebuild them all."""
        ...

    def subject(self, output: str | None = None) -> Subject:
        """The model as explainers see it; cheap, programs are built when they first run."""
        ...

    def laid(
        self, tensors: Mapping[str, Array], output: str | None = None
    ) -> tuple[Subject, Array]:
        """As `subject`, for such rows, and the rows [n, ...] as it takes them."""
        ...


class ModelStore(Protocol):
    """Where models are looked up."""

    def get(self, name: str, version: str = "") -> Model:
        """A model; raises NotFound, InvalidModel. An older version may load first."""
        ...

    def loads(self, name: str, version: str = "") -> bool:
        """Whether `get` would load it first."""
        ...
