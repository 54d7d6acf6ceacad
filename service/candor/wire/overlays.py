"""Pictures for the answers to pictures."""

import asyncio
from collections.abc import Mapping, Sequence

from candor.engine.request import Answer, Explanation
from candor.render.overlay import overlay_png
from candor.result import ImageView, Json
from candor.wire.responses import places

__all__ = ["caption", "draw_overlays"]


async def draw_overlays(
    explanation: Explanation, pictures: Sequence[bytes], opacity: float
) -> dict[tuple[int, int, int], bytes]:
    """Draw every answer on its row's picture, off the event loop.

    Returns:
        PNG files by position of method, row and target.
    """
    prediction = explanation.prediction

    def draw(row: int, answer: Answer) -> bytes:
        view = prediction.views[row]
        return overlay_png(
            pictures[row],
            answer.attribution,
            view if isinstance(view, ImageView) else None,
            opacity=opacity,
            caption=caption(answer.attribution.trust, explanation.labels),
        )

    return {
        place: await asyncio.to_thread(draw, place[1], answer)
        for place, answer in places(explanation)
    }


def caption(trust: Mapping[str, Json], labels: Sequence[str]) -> str:
    """Say what was explained: `grad_cam: tabby cat rather than espresso, 97.3 %`."""
    match trust.get("target"):
        case {"plus": int(plus), "minus": int(minus)}:
            target = f"{_name(plus, labels)} rather than {_name(minus, labels)}"
        case {"plus": int(plus)}:
            target = _name(plus, labels)
        case _:
            target = "?"
    match trust.get("probability"), trust.get("target"):
        case float(probability), {"minus": None}:
            return f"{trust.get('method')}: {target}, {probability:.1%}"
        case _:
            return f"{trust.get('method')}: {target}"


def _name(index: int, labels: Sequence[str]) -> str:
    return labels[index] if index < len(labels) else f"class {index}"
