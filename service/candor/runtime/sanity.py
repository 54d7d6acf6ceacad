"""A model's randomisation test, as it is kept beside the model."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from candor.sanity import MethodSanity, Sanity, Verdict

__all__ = ["SANITY_FILE", "read_sanity", "write_sanity"]

SANITY_FILE = "sanity.json"

MAX_BYTES = 1 << 20


def write_sanity(sanity: Sanity, folder: Path) -> Path:
    """Keep a result beside its model; the file."""
    file = folder / SANITY_FILE
    text = json.dumps(asdict(sanity), indent=1, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
    return file


def read_sanity(folder: Path) -> Sanity | None:
    """The result that is kept beside a model; None where there is none, or what is no such thing.

    The file is information about the model, never a condition of serving it.
    """
    file = folder / SANITY_FILE
    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return None
        return _sanity(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _sanity(found: Any) -> Sanity:
    return Sanity(
        model_digest=_text(found["model_digest"]),
        candor_version=_text(found["candor_version"]),
        seed=_whole(found["seed"]),
        inputs=_text(found["inputs"]),
        n_inputs=_whole(found["n_inputs"]),
        limit=_number(found["limit"]) or 0.0,
        stages=tuple(map(_text, found["stages"])),
        methods=tuple(map(_method, found["methods"])),
        n_draws=_whole(found.get("n_draws", 1)),
    )


def _method(found: Any) -> MethodSanity:
    if found["verdict"] not in get_args(Verdict):
        raise ValueError(found["verdict"])
    similar = found["structural_similarity"]
    return MethodSanity(
        method=_text(found["method"]),
        options=dict(found["options"]),
        rank_correlation=tuple(map(_number, found["rank_correlation"])),
        structural_similarity=None if similar is None else tuple(map(_number, similar)),
        verdict=found["verdict"],
        why=_text(found["why"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise TypeError(value)
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(float(str(value))):
        raise TypeError(value)
    return float(str(value))
