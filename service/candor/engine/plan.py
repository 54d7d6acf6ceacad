"""A request understood: encoded, checked, every question resolved and given its key.

Runs in a slot, because pictures are decoded and inputs hashed here. After it nothing about the
request can be wrong but what only the model run itself can tell.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from candor.engine.cut import Batch, row_of, segments_of
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
from candor.errors import InvalidArgument, InvalidInput, InvalidOption, Unsupported
from candor.explain.explainers import BULK, resolve
from candor.explain.options import Options
from candor.explain.parse import check_options, method_name, to_json
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Array, Target, TrustLevel, View

__all__ = ["Ask", "Place", "Plan", "is_bulk", "labels_of", "make_plan"]

Place = tuple[int, int, int]
"""Positions of method, row and target in the request."""

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
    _check_methods(model, request.methods)
    subject = model.subject(request.output)
    encoded = model.encode(request.payload)
    tensors = encoded.tensors
    rows = tensors[model.input_name]
    _refuse_empty(model.input_name, rows)
    _refuse_non_finite(tensors)
    _check_segments(request.segments, len(rows))
    check_extent(len(request.methods), n_targets, len(rows))
    labels = labels_of(model, subject)
    targets = resolve_targets(request.targets, len(rows), labels, subject.n_classes)
    batch = Batch(tensors, model.input_name, len(rows), encoded.lengths)
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
    rows = [row_of(batch, row) for row in range(batch.n_rows)]
    row_digests = [row_digest(inputs, secret) for inputs in rows]
    asked: dict[Options, bytes] = {}
    for method, options in enumerate(request.methods):
        keeps = getattr(options, "seed", 0) != -1
        shares = keeps and request.cache == "use"
        for row, of_row in enumerate(targets):
            segments = segments_of(batch, row, request.segments)
            x = rows[row][batch.input_name]
            first = Question(x, of_row[0], request.explained, segments, request.trust)
            resolved = resolve(subject, first, options)
            if segments is not None or resolved not in asked:
                how = Asked(
                    method_name(options),
                    to_json(resolved),
                    request.explained,
                    segments,
                    request.trust,
                )
                asked[resolved] = asked_digest(how, secret)
            for position, target in enumerate(of_row):
                key = question_key(model_digest, row_digests[row], asked[resolved], target, secret)
                yield Ask(
                    (method, row, position),
                    resolved,
                    replace(first, target=target),
                    key if keeps else "",
                    key if shares else f"alone-{next(_unshared)}",
                )


def _model_digest(model: Model, subject: Subject, request: ExplainRequest, secret: bytes) -> bytes:
    recipe = f"{model.activation} {subject.geometry!r} {subject.n_classes}"
    subjected = Subjected(
        model.id, recipe, model.provider, output=request.output, tenant=request.tenant
    )
    return subject_digest(subjected, secret)


def _check_methods(model: Model, methods: tuple[Options, ...]) -> None:
    if not methods:
        raise InvalidArgument("the request names no explanation method; expected at least one")
    seen: set[Options] = set()
    for options in methods:
        check_options(options)
        name = method_name(options)
        if options in seen:
            raise InvalidOption(
                f"{name} is asked for twice with the same options; expected each pair of method "
                "and options once"
            )
        seen.add(options)
        reason = model.methods.get(name, "this build of candor does not know the method")
        if reason is not None:
            raise Unsupported(f"model '{model.id.name}' does not support {name}: {reason}")


def _refuse_empty(name: str, rows: Array) -> None:
    if rows.size == 0:
        raise InvalidInput(
            f"input '{name}' has shape {list(rows.shape)}: there is nothing to explain; "
            "expected at least one row and one position"
        )


def _refuse_non_finite(tensors: Mapping[str, Array]) -> None:
    for name, array in tensors.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise InvalidInput(
            f"row {place[0]}: input '{name}' holds {array[place]} at {list(place[1:])}; "
            "an explanation needs finite numbers"
        )


def _check_segments(segments: Array | None, n_rows: int) -> None:
    if segments is None:
        return
    if segments.dtype.kind not in "iu" or segments.shape[:1] != (n_rows,):
        raise InvalidInput(
            f"segments are {segments.dtype}{list(segments.shape)}, expected integers for "
            f"{n_rows} rows: [{n_rows}, ...positions]"
        )
