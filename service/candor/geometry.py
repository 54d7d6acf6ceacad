"""How a row of a model's input is laid out, and what the columns of its records looked like."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["CategoryColumn", "Column", "Geometry", "Kind", "NumberColumn", "Part"]

Kind = Literal["image", "tokens", "series", "tabular", "several"]
"""What a row is; `several`: rows of several inputs that are explained, laid end to end."""


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers in the training data, cut into b bins: bin i is (edges[i - 1], edges[i]].

    Attributes:
        mean, std: of all its values; the deviation is the population's.
        low, high: least and greatest value.
        edges: the b - 1 inner borders, rising; usually the quartiles.
        counts, means, stds: of each of the b bins; 0 where one is empty.
    """

    mean: float
    std: float
    low: float
    high: float
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A column of categories in the training data.

    Attributes:
        values: that stand for the categories in the model's input, rising.
        counts: how often each occurred.
        labels: their names; () where they have none.
    """

    values: tuple[float, ...]
    counts: tuple[float, ...]
    labels: tuple[str, ...] = ()


Column: TypeAlias = NumberColumn | CategoryColumn


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a row is laid out.

    Attributes:
        kind: image, tokens, series, tabular, or several.
        channel_axis: axis of the row's (not the batch's) shape that holds channels: image nchw 0,
            nhwc 2; series [t, f] 1; None where a position has no channels (tokens, tabular, and
            series [t]).
        pad: token id of padding, for tokens; else None.
        unknown: token id of the unknown word, for tokens; else None.
        baseline: the model's own "feature absent", where its manifest names one; else None.
        n_ids: how many token ids the model knows, for tokens; else, or where unknown, None.
        features: names of the columns of a record or series; () where the manifest has none.
        columns: what was in them in training, as many; () where the manifest does not say.
        columns_digest: stands for `columns` where geometries are written down; they are long.
        parts: of a row of several inputs, those that are explained, in the order of the row; ()
            where there is one, or where nothing is known of the rows' shapes yet.
    """

    kind: Kind
    channel_axis: int | None
    pad: int | None = None
    unknown: int | None = None
    baseline: float | None = None
    n_ids: int | None = None
    features: tuple[str, ...] = ()
    columns: tuple[Column, ...] = field(default=(), repr=False)
    columns_digest: str = ""
    parts: tuple["Part", ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One input of several that are explained.

    A row is their values end to end, then those of the inputs that are not explained.

    Attributes:
        name: of the input.
        geometry: of its own rows.
        shape: of its own rows.
        value_shape: of what gradients are taken to: the same, or an embedding's.
        shown: whether its maps bear its name; not where it is the only one.
        layers: those whose maps are of its positions.
    """

    name: str
    geometry: Geometry
    shape: tuple[int, ...]
    value_shape: tuple[int, ...]
    shown: bool = True
    layers: tuple[str, ...] = field(default=(), repr=False)
