"""What the target loses when a sliding window is covered, exactly as captum counts it."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy

from candor.errors import InternalError, InvalidOption, TooLarge
from candor.explain.baseline import absent_value, constant_baseline
from candor.explain.layout import position_shape, spread
from candor.explain.options import Occlusion
from candor.explain.order import coarse_to_fine
from candor.explain.place_bias import centre_warnings
from candor.explain.question import Progress, Question
from candor.explain.subject import Covered, Forward, Geometry
from candor.explain.target import Outcome, aim, fixed, measure_changed, outcome
from candor.explain.trust import map_warnings, named, trust_record
from candor.explain.windows import NONE, Windows, covering, slide
from candor.result import Array, Attribution, Json, Scores

__all__ = ["occlusion", "resolve_occlusion"]

_MOST_WINDOWS = 100_000
_WITH_NEIGHBOURS = frozenset({"image", "series"})


@dataclass(frozen=True, slots=True)
class _Plan:
    """What does not change while windows are evaluated.

    Attributes:
        options: resolved.
        row_shape: of the input, without the batch.
        windows: over its positions.
        unchanged: bool, window-shaped: where the row already equals the baseline; not run.
        order: flat indices of the windows to run.
    """

    options: Occlusion
    row_shape: tuple[int, ...]
    windows: Windows
    unchanged: Array
    order: Array


def resolve_occlusion(subject: Forward, question: Question, options: Occlusion) -> Occlusion:
    """Put numbers to window, stride and baseline.

    Raises:
        InvalidOption: they do not fit the row or each other.
    """
    geometry = subject.geometry
    shape = position_shape(question.x.shape[1:], geometry)
    window = _per_axis("window", options.window, shape) or _default_window(shape, geometry)
    stride = _per_axis("stride", options.stride, shape) or tuple(
        max(side // 2, 1) for side in window
    )
    for size, side, step in zip(shape, window, stride, strict=True):
        if side > size:
            raise InvalidOption(
                f"occlusion.window is {_text(window)}, expected at most the input's {_text(shape)}"
            )
        if step > side and side != size:
            raise InvalidOption(
                f"occlusion.stride is {_text(stride)}, expected at most the window's "
                f"{_text(window)}: else positions between windows are never covered"
            )
    return replace(
        options, window=window, stride=stride, baseline=absent_value(options.baseline, geometry)
    )


def occlusion(
    subject: Forward, question: Question, options: Occlusion
) -> Generator[Progress, None, Attribution]:
    """Cover the row window by window; a window covers all channels.

    The value of a position is the mean, over the windows that cover it, of the target's loss, in
    the target's own units; `channels=keep` repeats it for each channel. Windows that hold only the
    baseline lose exactly 0 and are not run.

    Raises:
        InvalidInput, InvalidOption, InvalidTarget, TooLarge: the model answers without a finite
            number; window or stride do not fit; no such class; too many windows.
    Source: Zeiler and Fergus 2014, arXiv:1311.2901; captum's Occlusion.
    """
    geometry = subject.geometry
    fixed(question.target, subject.n_classes)  # refused before any work rather than after a slice
    resolved = resolve_occlusion(subject, question, options)
    baseline = constant_baseline(question.x, resolved.baseline or 0.0, geometry)
    plan = _plan(question.x[0] != baseline[0], resolved, geometry)
    chosen = np.concatenate([[NONE], plan.order])
    yield Progress(0, len(chosen))

    scores_of = _runner(subject, question.x, baseline, plan)
    explained = question.explained or "score"
    values, done = np.empty(len(chosen)), 0
    stands: Outcome | None = None
    best = None
    for scores in scores_of(chosen):
        if len(scores.score):
            stands = stands or outcome(aim(question.target, scores), scores, explained)
            part = slice(done, done := done + len(scores.score))
            values[part] = measure_changed(stands.aim, scores, explained, "with a window covered")
            best = partial(_answer, plan, geometry, stands, values[:done], complete=False)
        yield Progress(done, len(chosen), best)
    if stands is None:
        raise InternalError("the model's slices cover no sample")
    return _answer(plan, geometry, stands, values, complete=True)


def _runner(subject: Forward, x: Array, baseline: Array, plan: _Plan) -> Covered:
    """How windows are run: in part, where the model can, else as rows with segments removed."""
    ends = plan.windows.ends(np.append(np.arange(plan.unchanged.size), NONE))  # NONE's the last
    covered = subject.covered(x, baseline, ends[plan.order])
    if covered is not None:
        return lambda chosen: covered(ends[chosen])
    segments = spread(plan.windows.segments, subject.geometry)

    def whole(chosen: Array) -> Iterator[Scores]:
        for part in subject.slices(len(chosen)):
            masks = ~covering(plan.windows, chosen[part])
            yield subject.perturb(x, baseline, segments, masks)

    return whole


def _plan(differs: Array, options: Occlusion, geometry: Geometry) -> _Plan:
    shape = position_shape(differs.shape, geometry)
    windows = slide(shape, options.window, options.stride)
    n_windows = int(np.prod(windows.shape))
    if n_windows > _MOST_WINDOWS:
        raise TooLarge(
            f"occlusion would cover {n_windows} windows, the most is {_MOST_WINDOWS}; use a larger "
            "stride"
        )
    axis = geometry.channel_axis
    changed = windows.touched(differs if axis is None else np.any(differs, axis=axis))
    order = coarse_to_fine(windows.shape)
    return _Plan(options, differs.shape, windows, ~changed, order[changed.ravel()[order]])


def _answer(
    plan: _Plan, geometry: Geometry, stands: Outcome, values: Array, *, complete: bool
) -> Attribution:
    """The attribution from values[0], of the whole row, and of the windows done after it.

    Where positions have neighbours, windows that are not done yet count as the nearest that are: a
    part of the work is a coarse map of everything.
    """
    loss = np.zeros(plan.windows.shape)
    known = plan.unchanged.copy()
    done = plan.order[: len(values) - 1]
    loss.ravel()[done] = values[0] - values[1:]
    known.ravel()[done] = True
    reached = plan.windows.count_at(known)
    shown = _from_nearest(loss, known) if geometry.kind in _WITH_NEIGHBOURS else loss
    times = np.maximum(plan.windows.count_at(np.ones_like(known)), 1)
    attributions = (plan.windows.count_at(shown) / times).astype(np.float32)
    if plan.options.channels == "keep":
        attributions = np.broadcast_to(spread(attributions, geometry), plan.row_shape).copy()
    figures: dict[str, Json] = {
        "n_windows": known.size,
        "n_unchanged": int(plan.unchanged.sum()),
        "n_seen": int(known.sum()),
        "covered": float((reached > 0).mean()),
    }
    trust = trust_record(
        plan.options,
        stands,
        n_evaluations=len(values),
        complete=complete,
        figures=figures,
        warnings=[
            *map_warnings(attributions, "use a smaller window" if known.size == 1 else ""),
            *centre_warnings(attributions, geometry),
        ],
    ) | named(geometry.features)
    return Attribution("occlusion", attributions, trust)


def _from_nearest(loss: Array, known: Array) -> Array:
    """Of each window its own loss, or where it is not known, that of the nearest one that is."""
    if known.all() or not known.any():
        return loss
    nearest = scipy.ndimage.distance_transform_edt(
        ~known, return_distances=False, return_indices=True
    )
    found: Array = loss[tuple(nearest)]
    return found


def _default_window(shape: tuple[int, ...], geometry: Geometry) -> tuple[int, ...]:
    """An eighth of each side; what has no extent (a token, a feature) is covered one by one."""
    if geometry.kind in ("tokens", "tabular"):
        return tuple(1 for _ in shape)
    return tuple(max(size // 8, 1) for size in shape)


def _per_axis(name: str, given: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(given) in (0, len(shape)):
        return given
    if len(given) == 1:
        return given * len(shape)
    raise InvalidOption(
        f"occlusion.{name} is {_text(given)}, expected one number, or one for each of the "
        f"{len(shape)} axes of {_text(shape)}"
    )


def _text(numbers: tuple[int, ...]) -> str:
    return "'" + ",".join(map(str, numbers)) + "'"
