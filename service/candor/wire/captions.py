"""The words below a drawing: what was explained, and what its numbers are."""

from collections.abc import Mapping, Sequence

from candor.render.units import unit_of
from candor.result import Json

__all__ = ["caption"]


def caption(trust: Mapping[str, Json], labels: Sequence[str]) -> str:
    """Say what was explained, and what the numbers are; two lines at most.

    For instance `occlusion: tabby cat rather than espresso` and, below it, `what the score loses
    where this is covered, mean over windows`.
    """
    match trust.get("target"):
        case {"plus": int(plus), "minus": int(minus)}:
            target = f"{_name(plus, labels)} rather than {_name(minus, labels)}"
        case {"plus": int(plus)}:
            target = _name(plus, labels)
        case _:
            target = "?"
    match trust.get("probability"), trust.get("target"):
        case float(probability), {"minus": None}:
            target = f"{target} (probability {probability:.1%})"
    of_input = f" ({trust['input']})" if "input" in trust else ""
    return f"{trust.get('method')}{of_input}: {target}\n{unit_of(trust)}".strip()


def _name(index: int, labels: Sequence[str]) -> str:
    return labels[index] if index < len(labels) else f"class {index}"
