"""From the targets that a caller wrote to class indices, against one model's labels.

A string is, in this order: a label as it stands, a class index in digits, a difference of two of
these ("7-3", "tabby cat-espresso"). What could be read in two ways is refused, never guessed.
"""

import difflib
from collections.abc import Iterator, Sequence

from candor.engine.request import TargetSpec
from candor.errors import InvalidTarget
from candor.result import Target

__all__ = ["resolve_target", "resolve_targets"]

_SHOWN = 60


def resolve_targets(
    rows: Sequence[Sequence[TargetSpec]], n_rows: int, labels: Sequence[str], n_classes: int
) -> tuple[tuple[Target, ...], ...]:
    """Give each of n rows its targets.

    Args:
        rows: one sequence of targets per row; a single one serves every row; none (or an empty one)
            means the row's top class.
        n_rows: rows of the request.
        labels: of the model, in class order; may be empty.
        n_classes: of the model.

    Raises:
        InvalidTarget: another number of rows, or a target that `resolve_target` refuses.
    """
    if len(rows) not in {0, 1, n_rows}:
        raise InvalidTarget(
            f"targets are given for {len(rows)} rows, but the request has {n_rows}; "
            f"expected none (the top class), 1 for all rows, or {n_rows}"
        )
    resolved = [_row(specs, row, labels, n_classes) for row, specs in enumerate(rows)]
    if len(rows) > 1:
        return tuple(resolved)
    return tuple(resolved or [(Target(),)]) * n_rows


def resolve_target(spec: TargetSpec, labels: Sequence[str], n_classes: int) -> Target:
    """Look one target up.

    Raises:
        InvalidTarget: an index out of range, an unknown or ambiguous label, a class compared with
            itself.
    """
    target = _read(spec, labels, n_classes)
    if target.plus is not None and target.plus == target.minus:
        raise InvalidTarget(
            f"target {_shown(spec)} compares class {target.plus} with itself; "
            "expected two different classes"
        )
    return target


def _row(
    specs: Sequence[TargetSpec], row: int, labels: Sequence[str], n_classes: int
) -> tuple[Target, ...]:
    try:
        return tuple(resolve_target(spec, labels, n_classes) for spec in specs) or (Target(),)
    except InvalidTarget as error:
        raise InvalidTarget(f"row {row}: {error}") from error


def _read(spec: TargetSpec, labels: Sequence[str], n_classes: int) -> Target:
    if spec.minus is not None:
        plus = None if spec.plus is None else _class(spec.plus, labels, n_classes)
        return Target(plus, _class(spec.minus, labels, n_classes))
    if spec.plus is None:
        return Target()
    found = _find(spec.plus, labels, n_classes)
    if found is not None:
        return Target(found)
    differences = set(_differences(str(spec.plus), labels, n_classes))
    if len(differences) > 1:
        readings = " or ".join(sorted(f"{plus}-{minus}" for plus, minus in differences))
        raise InvalidTarget(
            f"target '{_cut(str(spec.plus))}' can be read as the difference of classes {readings}; "
            "use class indices"
        )
    if differences:
        return Target(*differences.pop())
    raise _unknown(spec.plus, labels, n_classes)


def _class(name: int | str, labels: Sequence[str], n_classes: int) -> int:
    found = _find(name, labels, n_classes)
    if found is None:
        raise _unknown(name, labels, n_classes)
    return found


def _find(name: int | str, labels: Sequence[str], n_classes: int) -> int | None:
    """The class that a name means by itself; None where it is neither a label nor digits."""
    if isinstance(name, str):
        matches = [index for index, label in enumerate(labels) if label == name]
        if not matches and (stripped := name.strip()) != name:
            return _find(stripped, labels, n_classes)
        if len(matches) > 1:
            raise InvalidTarget(
                f"label '{_cut(name)}' is ambiguous: it is that of classes "
                f"{', '.join(map(str, matches))}; use a class index"
            )
        if matches:
            return matches[0]
        # int() would also read "1_0", "+1" and Arabic digits; the limit keeps it cheap
        if not (name.isascii() and name.isdigit() and len(name) <= 18):
            return None
    index = int(name)
    if not 0 <= index < n_classes:
        raise InvalidTarget(
            f"target class {index} does not exist; expected 0 to {n_classes - 1}"
            + (f" or one of the {len(labels)} labels" if labels else "")
        )
    return index


def _differences(text: str, labels: Sequence[str], n_classes: int) -> Iterator[tuple[int, int]]:
    """Every way to read "a-b", given that labels may hold hyphens themselves."""
    if len(text) > 2 * max(map(len, labels), default=0) + 40:
        return  # longer than any two labels and the spaces around the hyphen: spare the search
    for at, character in enumerate(text):
        if character == "-" and 0 < at < len(text) - 1:
            plus = _find(text[:at], labels, n_classes)
            minus = _find(text[at + 1 :], labels, n_classes)
            if plus is not None and minus is not None:
                yield plus, minus


def _unknown(name: int | str, labels: Sequence[str], n_classes: int) -> InvalidTarget:
    valid = f"a class index from 0 to {n_classes - 1}"
    if not labels:
        return InvalidTarget(
            f"target '{_cut(str(name))}' is not {valid}, and the model has no labels"
        )
    by_folded = {label.casefold(): label for label in labels}
    close = difflib.get_close_matches(str(name)[:200].casefold(), by_folded, n=3)
    hint = ", ".join(f"'{by_folded[label]}'" for label in close)
    return InvalidTarget(
        f"target '{_cut(str(name))}' is neither a label of the model nor {valid}"
        + (f"; close labels: {hint}" if hint else "")
    )


def _shown(spec: TargetSpec) -> str:
    return f"'{_cut(str(spec.plus))}'" + (f" minus '{_cut(str(spec.minus))}'" if spec.minus else "")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
