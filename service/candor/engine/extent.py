"""How many explanations one request may ask for; told before anything is looked up for each."""

from collections.abc import Sequence
from typing import Final

from candor.errors import TooLarge

__all__ = ["MAX_ANSWERS", "check_extent"]

MAX_ANSWERS: Final = 4_096
"""Of one request: each costs about 0.2 ms of Python around whatever the model takes."""


def check_extent(n_methods: int, n_targets: Sequence[int], n_rows: int = 1) -> None:
    """Refuse a request for too many answers.

    Args:
        n_methods: that are asked for.
        n_targets: of each row (0: the top class); a single number is that of every row, () is 0.
        n_rows: of the request; 1 where they are not decoded yet, and more may come.

    Raises:
        TooLarge: more than `MAX_ANSWERS`.
    """
    counts = [count or 1 for count in n_targets] or [1]
    n_answers = n_methods * (sum(counts) if len(counts) > 1 else counts[0] * n_rows)
    if n_answers > MAX_ANSWERS:
        raise TooLarge(
            f"the request asks for {n_answers} explanations or more (methods x targets of all "
            f"rows); expected at most {MAX_ANSWERS}"
        )
