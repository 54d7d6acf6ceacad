"""What a reader of the drawings should know of each model: sentences with measured figures."""

from __future__ import annotations

from collections.abc import Mapping

from candor.client import ModelInfo
from zoo.page.measure import Measured

SAID: Mapping[str, str] = {
    "photos": "An astronaut is none of its classes: it names one all the same, and the maps show "
    "what it took for that, not a person.",
    "cifar10-basecnn": "Its last maps are 2x2: `grad_cam` can tell quarters of the picture apart, "
    "no more. An earlier `layer` has finer maps, of what is less sure to speak of the class.",
    "adult-mlp": "A category is a number that is looked up, so its gradient is zero whatever it "
    "means: `gradient` and `integrated_gradients` speak of the six numbers alone; `occlusion` and "
    "`lime` of all fourteen. Occlusion covers by 0, an age and a census weight that nobody has: "
    "set `baseline`, or prefer `lime`, before you read much into those two.",
    "spoken-digits-tdnn": "The slope of a logarithm is steepest where there is next to no sound: "
    "`gradient` lights up in pauses. `cam`, `occlusion` and `lime` find the sounds. A frame of "
    "`cam` is drawn where its share of the recording is; at the ends, where frames reach 30 ms "
    "beyond it, that is up to 22 ms off.",
    "digits-autoencoder": "It has no classes, so there is no score to explain: it is served for "
    "its outputs.",
}
RECURRENT = ("vowels-rnn", "vowels-lstm", "vowels-gru", "vowels-esn",
             "sentences", "sentences-gru", "sentences-rnn")  # fmt: skip
_THIRDS = ("first", "middle", "last")
_EARLY = (
    ": an early step acts on every state after it, and the mean reads all of them, so its slope is "
    "large whether or not the step says much"
)
_CARRIED = ": it speaks of states, and a state carries what was read before it"
_WHY: Mapping[tuple[str, bool], str] = {
    ("gradient", True): _EARLY,
    ("integrated_gradients", True): _EARLY,
    ("cam", False): _CARRIED,
}
"""By method, and whether the first third has too much of its weight."""

_FAR = 0.1
"""A share of a third of the row that differs by this from what occlusion says is worth a word."""
_EMPTY = 0.7
"""A map with more than this share of its fair part on empty ground is one that lies anywhere."""
_WEAK = 0.3
"""A rank correlation with occlusion below this is."""


def notes_on(model: ModelInfo, figures: Measured) -> list[str]:
    """Sentences on one model; what is not measured is not said."""
    name = model.id.name
    lines = [SAID[name]] if name in SAID else []
    if black := figures.get("on_black"):
        lines += _on_black(black)
    thirds = figures.get("thirds")
    if thirds:
        shares = "; ".join(f"`{m}` {_percents(t)}" for m, t in thirds.items())
        lines.append(
            "Share of the map's magnitude in the first, middle and last third of a row, mean over "
            f"test rows: {shares}."
        )
        lines += _doubts(name, thirds, figures.get("agreement", {}))
    return lines


def _on_black(black: Mapping[str, float]) -> list[str]:
    """Maps that lie where the picture is empty."""
    area = black["area"]
    shares = ", ".join(f"`{m}` {share:.0%}" for m, share in black.items() if m != "area")
    lines = [
        f"Share of the map's magnitude on black pixels, which are {area:.0%} of them: {shares}."
    ]
    if black.get("grad_cam", 0.0) > _EMPTY * area:
        lines.append(
            "`grad_cam` is not plausible here: it lies on the empty ground about as on the stroke. "
            "The last maps are few and coarse, and tanh leaves them large where nothing is drawn. "
            "Take `integrated_gradients` or `occlusion`."
        )
    return lines


def _doubts(
    name: str, thirds: Mapping[str, list[float]], agreement: Mapping[str, float]
) -> list[str]:
    """Where a map is not plausible: by where its weight lies, or by the order of its steps."""
    lines = []
    covered = thirds["occlusion"]
    for method in (m for m in thirds if m != "occlusion"):
        gaps = [own - other for own, other in zip(thirds[method], covered, strict=True)]
        at = max(range(3), key=lambda third: abs(gaps[third]))
        if abs(gaps[at]) <= _FAR:
            continue
        why = _WHY.get((method, gaps[0] > 0), "") if name in RECURRENT else ""
        lines.append(
            f"`{method}` puts {thirds[method][at]:.0%} of its weight on the {_THIRDS[at]} third, "
            f"where covering finds {covered[at]:.0%}{why}."
        )
    weak = {m: rank for m, rank in agreement.items() if rank < _WEAK}
    if weak:
        ranks = ", ".join(f"`{m}` {rank:.2f}" for m, rank in weak.items())
        lines.append(
            "The order of single steps agrees little with that of occlusion (mean rank correlation "
            f"{ranks}): read regions, not steps."
        )
    return lines


def _percents(thirds: list[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in thirds)
