"""What a request may not ask, found out before anything is run."""

from collections.abc import Mapping

import numpy as np

from candor.engine.model import Model
from candor.engine.request import ExplainRequest
from candor.errors import InvalidArgument, InvalidInput, InvalidOption, Unsupported
from candor.explain.options import Options
from candor.explain.parse import check_options, method_name
from candor.explain.subject import Geometry
from candor.result import Array

__all__ = [
    "check_methods",
    "check_segments",
    "check_several",
    "refuse_empty",
    "refuse_non_finite",
]


def check_methods(model: Model, methods: tuple[Options, ...]) -> None:
    """Refuse a method that the model does not support, and options that are wrong.

    Raises:
        InvalidArgument: no method.
        InvalidOption: a value out of range, or a method asked for twice.
        Unsupported: with the reason.
    """
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


def refuse_empty(name: str, rows: Array) -> None:
    """Refuse an input without rows, or without positions.

    Raises:
        InvalidInput: it is such.
    """
    if rows.size == 0:
        raise InvalidInput(
            f"input '{name}' has shape {list(rows.shape)}: there is nothing to explain; "
            "expected at least one row and one position"
        )


def refuse_non_finite(tensors: Mapping[str, Array]) -> None:
    """Refuse NaN and infinity.

    Raises:
        InvalidInput: with the first place.
    """
    for name, array in tensors.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise InvalidInput(
            f"row {place[0]}: input '{name}' holds {array[place]} at {list(place[1:])}; "
            "an explanation needs finite numbers"
        )


def check_segments(segments: Array | None, n_rows: int) -> None:
    """Refuse segments that are no integers for these rows.

    Raises:
        InvalidInput: they are such.
    """
    if segments is None:
        return
    if segments.dtype.kind not in "iu" or segments.shape[:1] != (n_rows,):
        raise InvalidInput(
            f"segments are {segments.dtype}{list(segments.shape)}, expected integers for "
            f"{n_rows} rows: [{n_rows}, ...positions]"
        )


def check_several(geometry: Geometry, request: ExplainRequest) -> None:
    """Refuse what is not defined for rows of several inputs.

    Raises:
        Unsupported: an examination.
        InvalidInput: segments.
    """
    if not geometry.parts:
        return
    names = ", ".join(part.name for part in geometry.parts)
    if request.trust == "full":
        raise Unsupported(
            f"candor.trust=full is for models with one input; this one has several ({names}), and "
            "what removing a part of one tells of the maps of the others is not defined"
        )
    if request.segments is not None:
        raise InvalidInput(
            f"segments are sent for models with one input; this one has several ({names}), each "
            "of which lime cuts by itself"
        )
