"""What the wire hands to the engine, and what it gets back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from candor.explain.options import Options
from candor.result import (
    Array,
    Attribution,
    CacheStatus,
    Explained,
    ModelId,
    Payload,
    Scores,
    TrustLevel,
    View,
)

__all__ = [
    "Answer",
    "CachePolicy",
    "Condition",
    "Estimate",
    "ExplainRequest",
    "Explanation",
    "PredictRequest",
    "Prediction",
    "Report",
    "TargetSpec",
]

CachePolicy = Literal["use", "refresh", "bypass"]


@dataclass(frozen=True, slots=True)
class Condition:
    """Which rows are explained: those whose top probability is so.

    Attributes:
        sense: `<`, `<=`, `>` or `>=`.
        bound: 0..1.
    """

    sense: str
    bound: float


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target as the caller wrote it: class indices or labels, not yet looked up.

    Attributes:
        plus: class index or label; None for the row's top class. A string that is no label may be
            an index ("7") or a difference of two ("7-3", "tabby cat-espresso").
        minus: the class to compare with, where the caller gave it apart.
    """

    plus: int | str | None = None
    minus: int | str | None = None


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """Rows to classify.

    Attributes:
        version: "" is the newest.
        outputs: () means all of the model's own.
        scores: whether scores and probabilities are wanted too; a model that ends in a softmax
            runs a second time for them.
    """

    model: str
    payload: Payload
    version: str = ""
    outputs: tuple[str, ...] = ()
    scores: bool = False


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """Rows to classify and explain.

    Attributes:
        targets: one tuple of targets per row; a single tuple serves every row; () is the top class.
        explained: overrides what the methods explain by default.
        output: which of the model's outputs is explained; None for the first float [n, k].
        budget_s: bulk methods return the best they have after this time.
        segments: int, [n, positions]: the caller's own segments, for lime.
        trust: `full` has every answer examined, which makes each a long one.
        condition: that a row has to meet to be explained; None: every row is.
        tenant: whose cached answers may be given, and get these; nobody else's.
    """

    model: str
    payload: Payload
    methods: tuple[Options, ...]
    version: str = ""
    targets: tuple[tuple[TargetSpec, ...], ...] = ()
    explained: Explained | None = None
    output: str | None = None
    cache: CachePolicy = "use"
    budget_s: float | None = None
    segments: Array | None = None
    trust: TrustLevel = "basic"
    condition: Condition | None = None
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's own outputs by name, and, for classifiers, scores and probabilities.

    Attributes:
        views: of each row, how it was prepared.
        timings_s: by step: `queue`, `prepare`, `compute`; empty inside an explanation.
    """

    model: ModelId
    outputs: Mapping[str, Array]
    scores: Scores | None
    labels: tuple[str, ...]
    views: tuple[View | None, ...]
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Rows of the request."""
        return len(self.views)


@dataclass(frozen=True, slots=True)
class Answer:
    """One attribution and where it came from.

    Attributes:
        key: hexadecimal cache key; "" where the answer is not cacheable.
        complete: False where a budget cut the work short.
        not_explained: why the row did not call for an explanation; "" where it has one.
    """

    attribution: Attribution
    cache: CacheStatus
    key: str
    complete: bool = True
    not_explained: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A prediction with its answers.

    Attributes:
        answers: by method (in the order asked; of several inputs by method and input), then row,
            then target.
        timings_s: by step: `queue` (for the first slot), `prepare`, `look_up`, `compute`, `total`.
        ready_s: seconds until the last answer of a method was there, by method; at most `total`.
        labels: of the classes explained; () where the model's labels belong to another output.
        began_s: monotonic instant from which the steps follow each other.
    """

    prediction: Prediction
    answers: tuple[tuple[tuple[Answer, ...], ...], ...]
    timings_s: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    ready_s: Mapping[str, float] = field(default_factory=dict)
    began_s: float = 0.0

    @property
    def n_answers(self) -> int:
        """Answers of all methods and rows."""
        return sum(len(row) for rows in self.answers for row in rows)

    @property
    def statuses(self) -> set[CacheStatus]:
        """Where the answers came from; of rows that were not explained there are none."""
        answers = [answer for rows in self.answers for row in rows for answer in row]
        explained = [answer for answer in answers if not answer.not_explained]
        return {answer.cache for answer in explained or answers}


@dataclass(frozen=True, slots=True)
class Report:
    """How far one answer of an explanation under way has come.

    Attributes:
        method: its name.
        row, target: positions in the request.
        progress: 0..1; 1 only with the finished attribution.
        partial: the attribution so far (with progress 1: the finished one), with the maps of all
            inputs; None where it is not known or not worth computing yet.
    """

    method: str
    row: int
    target: int
    progress: float
    partial: Attribution | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an explanation would cost, the cache not counted.

    Attributes:
        model_calls: rows through the model, forward passes and gradients counted alike.
        milliseconds: of computing, on this server when idle.
        bytes: of the arrays in the answer.
    """

    model_calls: int
    milliseconds: float
    bytes: int
