"""Whether the series or records that a manifest tells of are what the graph's input is."""

from collections.abc import Mapping

from candor.errors import InvalidModel
from candor.runtime.inputs import SeriesInput, TabularInput
from candor.runtime.specs import TensorSpec

__all__ = ["check_columns"]

_FORMS: Mapping[type[SeriesInput | TabularInput], tuple[str, Mapping[int, tuple[int, ...]]]] = {
    SeriesInput: ("a series is [n, t, f], or [n, t] of one number a step", {2: (), 3: (1, 2)}),
    TabularInput: ("a record is [n, f]", {2: (1,)}),
}
"""In words, and for each number of axes those that may count the columns."""


def check_columns(section: SeriesInput | TabularInput, spec: TensorSpec) -> None:
    """Check the number of axes, and of columns where they have names.

    Raises:
        InvalidModel: one of them does not fit.
    """
    form, axes = _FORMS[type(section)]
    if len(spec.shape) not in axes:
        raise InvalidModel(
            f"{form}, but input '{spec.name}' is {spec.spelled}: set input.kind to what it is"
        )
    columns = [spec.shape[axis] for axis in axes[len(spec.shape)]] or [1]
    n_names = len(section.features)
    if n_names and -1 not in columns and n_names not in columns:
        raise InvalidModel(
            f"input.features has {n_names} names, but input '{spec.name}' {spec.spelled} has "
            f"{' or '.join(map(str, columns))} columns"
        )
