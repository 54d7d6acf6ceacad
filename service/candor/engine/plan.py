"""A request understood: encoded, checked, every question resolved and given its key.

Runs in a slot, because pictures are decoded and inputs hashed here. After it nothing about the
request can be wrong but what only the model run itself can tell.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from candor.engine.checks import (
    check_methods,
    check_segments,
    check_several,
    refuse_empty,
    refuse_non_finite,
)
from candor.engine.cut import Batch, row_of, segments_of, x_of
from candor.engine.digest import (
    Asked,
    Subjected,
    asked_digest,
    question_key,
    row_digest,
    subject_digest,
)
from candor.engine.extent import check_extent
from candor.engine.model import Model
from candor.engine.request import ExplainRequest
from candor.engine.share import NOBODY, Share
from candor.engine.targets import resolve_targets
from candor.explain.explainers import BULK, resolve
from candor.explain.options import Options
from candor.explain.parse import method_name, to_json
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Explained, Target, TrustLevel, View

__all__ = ["Ask", "Place", "Plan", "is_bulk", "labels_of", "make_plan"]

Place = tuple[int, int, int]
"""Positions of method, row and target in the request."""

_REMEMBERED: Final = 1024
_subject_digest = lru_cache(_REMEMBERED)(subject_digest)
_unshared = itertools.count()


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of the request.

    Attributes:
        place: where its answer goes.
        options: resolved.
        question: row, target, what is explained, the caller's segments.
        key: cache key; "" where the answer must not be kept (a fresh seed).
        flight: under what it is computed: the key, or something unique where nobody may share.
    """

    place: Place
    options: Options
    question: Question
    key: str
    flight: str

    @property
    def row(self) -> int:
        """Position of the row."""
        return self.place[1]

    @property
    def is_bulk(self) -> bool:
        """Whether it is answered in slices."""
        return is_bulk(self.options, self.question.trust)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that answering takes.

    Attributes:
        batch: the model's inputs, n rows.
        views: of each row.
        output: the output that is explained; None for the default one.
        asks: all questions, by method, row, target.
        reads, writes: what the cache policy allows.
        share: whose the work counts to.
    """

    model: Model
    subject: Subject
    batch: Batch
    views: tuple[View | None, ...]
    output: str | None
    asks: tuple[Ask, ...]
    reads: bool
    writes: bool
    share: Share = NOBODY

    @property
    def n_rows(self) -> int:
        """Rows of the request."""
        return len(self.views)


def is_bulk(options: Options, trust: TrustLevel) -> bool:
    """Whether an explanation runs in slices."""
    return trust == "full" or type(options) in BULK


def labels_of(model: Model, subject: Subject) -> tuple[str, ...]:
    """Names of the explained output's classes; () where the model's labels cannot be theirs."""
    return model.labels if len(model.labels) == subject.n_classes else ()


def make_plan(model: Model, request: ExplainRequest, secret: bytes) -> Plan:
    """Encode, validate and resolve a request.

    Args:
        model: that it names.
        request: as the wire decoded it.
        secret: of the cache, 32 bytes.

    Raises:
        InvalidArgument: no method; or as below, for what exactly is wrong.
        InvalidInput: undecodable, of another shape or dtype, NaN, infinity, an empty batch.
        InvalidOption: a value that is wrong, or a method asked for twice.
        InvalidTarget: the first that is wrong.
        NotFound: a layer or an output that does not exist.
        TooLarge: more answers than `extent.MAX_ANSWERS`.
        Unsupported: a method that this model does not support, with the reason.
    """
    n_targets = [len(of_row) for of_row in request.targets]
    check_extent(len(request.methods), n_targets)
    check_methods(model, request.methods)
    model.subject(request.output)  # refused before a picture is decoded
    encoded = model.encode(request.payload)
    tensors = encoded.tensors
    for name in model.explained_inputs:
        refuse_empty(name, tensors[name])
    refuse_non_finite(tensors)
    subject, rows = model.laid(tensors, request.output)
    check_several(subject.geometry, request)
    check_segments(request.segments, len(rows))
    check_extent(len(request.methods), n_targets, len(rows))
    labels = labels_of(model, subject)
    targets = resolve_targets(request.targets, len(rows), labels, subject.n_classes)
    batch = Batch(tensors, rows, encoded.lengths)
    asks = _asks(model, subject, request, batch, targets, secret)
    return Plan(
        model,
        subject,
        batch,
        encoded.views,
        request.output,
        tuple(asks),
        reads=request.cache == "use",
        writes=request.cache != "bypass",
    )


def _asks(
    model: Model,
    subject: Subject,
    request: ExplainRequest,
    batch: Batch,
    targets: tuple[tuple[Target, ...], ...],
    secret: bytes,
) -> Iterator[Ask]:
    model_digest = _model_digest(model, subject, request, secret)
    row_digests = [row_digest(row_of(batch, row), secret) for row in range(batch.n_rows)]
    for method, options in enumerate(request.methods):
        keeps = getattr(options, "seed", 0) != -1
        shares = keeps and request.cache == "use"
        for row, of_row in enumerate(targets):
            segments = segments_of(batch, row, request.segments)
            x = x_of(batch, [row])
            first = Question(x, of_row[0], request.explained, segments, request.trust)
            resolved = resolve(subject, first, options)
            asked = _asked_digest(resolved, first, secret)
            for position, target in enumerate(of_row):
                key = question_key(model_digest, row_digests[row], asked, target, secret)
                yield Ask(
                    (method, row, position),
                    resolved,
                    replace(first, target=target),
                    key if keeps else "",
                    key if shares else f"alone-{next(_unshared)}",
                )


def _asked_digest(options: Options, asking: Question, secret: bytes) -> bytes:
    if asking.segments is None:  # then it is the same from row to row, and from call to call
        return _plain_digest(options, asking.explained, asking.trust, secret)
    flat = to_json(options)
    asked = Asked(method_name(options), flat, asking.explained, asking.segments, asking.trust)
    return asked_digest(asked, secret)


@lru_cache(_REMEMBERED)
def _plain_digest(
    options: Options, explained: Explained | None, trust: TrustLevel, secret: bytes
) -> bytes:
    asked = Asked(method_name(options), to_json(options), explained, trust=trust)
    return asked_digest(asked, secret)


def _model_digest(model: Model, subject: Subject, request: ExplainRequest, secret: bytes) -> bytes:
    recipe = f"{model.activation} {subject.geometry!r} {subject.n_classes}"
    subjected = Subjected(
        model.id, recipe, model.provider, output=request.output, tenant=request.tenant
    )
    return _subject_digest(subjected, secret)
