"""What the server made of a row, as JSON: where it looked on a picture, how it cut a text."""

from candor.result import ImageView, Json, TextView, View

__all__ = ["view_record"]


def view_record(view: View | None) -> dict[str, Json] | None:
    """The view with its own names; None of a row that came as a tensor."""
    match view:
        case ImageView(width, height, box):
            return {"width": width, "height": height, "box": list(box)}
        case TextView(tokens, offsets, known):
            pairs: list[Json] = [[start, end] for start, end in offsets]
            return {"tokens": list(tokens), "offsets": pairs, "known": list(known)}
        case None:
            return None
