"""Where the maps of a model lie: shares of their magnitude on parts of a row, means over rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np

from candor.client import Client, Explanation, ModelInfo
from candor.result import TextView
from zoo.page.graph import takes_zeros_for_padding
from zoo.page.rows import Split
from zoo.sets.samples import Array

_ROWS, _FEW, _STEPS = 100, 20, 9
"""So many rows, of so many steps at least; of photographs, which take long, the few."""
NEARLY_ZERO, GREY = 1e-6, 0.5
LITTLE_WORDS = frozenset(
    "a an the this that these those it its he his she her they their i you we us our your and or "
    "but so if than then as at by for from in into of on to up with about over after no not n't "
    "'s 're 've 'll 'd 'm is are was were be been being am do does did has have had will would can "
    "could may might must should there here who which what when where while because".split()
)
Shares = dict[str, float]


class Maps(TypedDict, total=False):
    """Measured on `mapped` rows of all classes; every share is a mean over them.

    Attributes:
        thirds: by method, the share of its map's magnitude in the first, the middle and the last
            third of a row; `occlusion` covers single steps (of long series fiftieths), `removed`
            is the same with zeros that the model takes for padding.
        agreement: by method, the rank correlation of magnitudes with those of occlusion.
        little: by method, the share on signs and function words; as `tokens`, how many they are.
        first: the same of the first token, of rows that begin with such a token.
        on_black: of gray pictures of something bright on black, by method, the share on black
            pixels; as `area` how many are black; `grey` is occlusion by mid-grey.
        lattice: of photographs, the share of `gradient` on pixels of even row and even column, of
            even and odd, of odd and even, of odd and odd.
        cam_gap: the largest difference of `cam` and `grad_cam`, both from 0 to 1.
    """

    mapped: int
    thirds: dict[str, list[float]]
    agreement: Shares
    little: Shares
    first: Shares
    on_black: Shares
    lattice: list[float]
    cam_gap: float


def measure_maps(client: Client, model: ModelInfo, split: Split) -> Maps:
    """Measure a model's maps; {} where no row has parts that could be compared."""
    if not model.labels or model.kind == "tabular":
        return {}
    if split.kind != "images":
        return _over_time(client, model, split)
    flat = np.ndim(split.rows[0]) == 2
    return (_on_black if flat else _of_photographs)(client, model, split)


def covering(name: str) -> dict[str, float]:
    """Options with which occlusion covers steps, and does not take them out of the mean."""
    return {"baseline": NEARLY_ZERO} if takes_zeros_for_padding(name) else {}


class _Means:
    """Values by key, and their means in the end; NaN is no value."""

    def __init__(self) -> None:
        self._values: defaultdict[str, list[Any]] = defaultdict(list)

    def add(self, key: str, value: float | Array) -> None:
        self._values[key].append(value)

    def all(self) -> dict[str, Any]:
        means = {key: np.nanmean(values, axis=0) for key, values in self._values.items()}
        return {key: np.round(mean.astype(np.float64), 3).tolist() for key, mean in means.items()}


def _on_black(client: Client, model: ModelInfo, split: Split) -> Maps:
    methods = _supported(model, "grad_cam", "gradient", "integrated_gradients", "occlusion")
    means, rows = _Means(), split.sample()[:_ROWS]
    for row in rows:
        black = np.asarray(split.rows[row]) == 0
        found = client.explain(model.id.name, methods, **split.ask([row]))
        grey = client.explain(
            model.id.name, [{"occlusion": {"baseline": GREY}}], **split.ask([row])
        )
        means.add("area", float(black.mean()))
        for method in methods:
            means.add(method, _share(found.of(method).values, black))
        means.add("grey", _share(grey.of("occlusion").values, black))
    return {"mapped": len(rows), "on_black": means.all()}


def _of_photographs(client: Client, model: ModelInfo, split: Split) -> Maps:
    cams = _supported(model, "cam", "grad_cam")
    means, rows, gaps = _Means(), split.sample()[:_FEW], []
    for row in rows:
        found = client.explain(model.id.name, ["gradient", *cams], **split.ask([row]))
        slopes = np.abs(found.of("gradient").values)
        corners = [slopes[i::2, j::2].sum() for i in (0, 1) for j in (0, 1)]
        means.add("lattice", np.array(corners) / slopes.sum())
        gaps += [_gap(found)] if len(cams) == 2 else []
    found_maps: Maps = {"mapped": len(rows), "lattice": means.all()["lattice"]}
    return found_maps | {"cam_gap": max(gaps)} if gaps else found_maps


def _over_time(client: Client, model: ModelInfo, split: Split) -> Maps:
    thirds, agreement, little, first = _Means(), _Means(), _Means(), _Means()
    gaps: list[float] = []
    mapped = 0
    for maps, gap, tokens in _rows_over_time(client, model, split):
        mapped += 1
        gaps += gap
        for method, values in maps.items():
            thirds.add(method, _thirds(values))
            if method not in ("occlusion", "removed"):
                agreement.add(method, _rank_correlation(values, maps["occlusion"]))
        if tokens:
            _add_words(tokens, maps, little, first)
        if mapped == _ROWS:
            break
    found: Maps = {"mapped": mapped, "thirds": thirds.all(), "agreement": agreement.all()}
    if little.all():
        found |= {"little": little.all(), "first": first.all()}
    return found | {"cam_gap": max(gaps)} if gaps else found


def _rows_over_time(
    client: Client, model: ModelInfo, split: Split
) -> Iterator[tuple[dict[str, Array], list[float], list[str]]]:
    """Yield magnitudes [t] by method, the gap of the two kinds of cam, and the tokens of a text."""
    name = model.id.name
    methods = _supported(model, "cam", "grad_cam", "gradient", "integrated_gradients")
    for row in split.sample():
        sent = split.rows[row]
        step = 1 if isinstance(sent, str) else max(1, len(sent) // 50)
        window = {"window": step, "stride": step}
        asked: list[dict[str, dict[str, Any]]] = [
            *({method: {"normalise": False} if method == "cam" else {}} for method in methods),
            {"occlusion": window | covering(name)},
        ]
        found = client.explain(name, asked, **split.ask([row]))
        maps = {answer.method: np.abs(answer.values) for answer in found.answers}
        if len(maps["occlusion"]) < _STEPS:
            continue
        if covering(name):
            removing = client.explain(name, [{"occlusion": window}], **split.ask([row]))
            maps["removed"] = np.abs(removing.of("occlusion").values)
        view = found.prediction.rows[0].view
        tokens = (
            [str(sent)[start:end].lower() for start, end in view.offsets]
            if isinstance(view, TextView)
            else []
        )
        yield maps, [_gap(found)] if "cam" in maps else [], tokens


def _add_words(
    tokens: Sequence[str], maps: dict[str, Array], little: _Means, first: _Means
) -> None:
    """Add the shares of signs and function words, and of the first token where it is one."""
    of_little = np.array([is_little(token) for token in tokens])
    at_start = np.arange(len(tokens)) == 0
    chance = {"tokens": np.ones(len(tokens))}
    for key, values in (chance | maps).items():
        little.add(key, _share(values, of_little))
        if of_little[0]:
            first.add(key, _share(values, at_start))


def is_little(token: str) -> bool:
    """Whether a token is a sign or a function word, which by itself says little of a film."""
    return token in LITTLE_WORDS or not any(letter.isalnum() for letter in token)


def _supported(model: ModelInfo, *methods: str) -> list[str]:
    return [method for method in methods if model.methods[method] is None]


def _share(values: Array, part: Array) -> float:
    """Return the share of magnitude on a part; NaN of an empty map, which lies nowhere."""
    sizes = np.abs(values)
    return float(sizes[part].sum() / sizes.sum()) if sizes.any() else float("nan")


def _thirds(values: Array) -> Array:
    parts = np.array([part.sum() for part in np.array_split(values, 3)], np.float64)
    return parts / (parts.sum() or np.nan)


def _gap(found: Explanation) -> float:
    """Return how far apart `cam`, cut at 0 and scaled to 1, and `grad_cam` are."""
    cam = np.maximum(found.of("cam").values, 0)
    return float(np.abs(cam / (cam.max() or 1.0) - found.of("grad_cam").values).max())


def _rank_correlation(one: Array, other: Array) -> float:
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
