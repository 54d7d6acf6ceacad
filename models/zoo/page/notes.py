"""What a reader of the drawings should know of each model: sentences with measured figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from candor.client import ModelInfo
from zoo.page.graph import is_recurrent, takes_zeros_for_padding
from zoo.page.maps import GREY, NEARLY_ZERO, Shares
from zoo.page.measure import Measured

SAID: Mapping[str, str] = {
    "photos": "An astronaut is none of its classes: it names one all the same, and the maps show "
    "what it took for that, not a person.",
    "cifar10-basecnn": "Its last maps are 2x2: `grad_cam` can tell quarters of the picture apart, "
    "no more. An earlier `layer` has finer maps, of what is less sure to speak of the class. "
    "A cup and an astronaut are none of its classes: it names one all the same.",
    "cifar10-nin": "Its last convolution makes one map of 8x8 a class, whose mean is the score: "
    "`cam` is that map, with nothing left out. It is the mean of the picture's and of its mirror "
    "image's, turned back, which is twice the work and worth half a point: without it 89.57 % are "
    "right. A cup and an astronaut are none of its classes: it names one all the same.",
    "adult-mlp": "A category is a number that is looked up, so its gradient is zero whatever it "
    "means: `gradient` and `integrated_gradients` speak of the six numbers alone; `occlusion` and "
    "`lime` of all fourteen. Occlusion covers by 0, an age and a census weight that nobody has: "
    "set `baseline`, or prefer `lime`, before you read much into those two.",
    "ecg200-fcn": "Fitted to its 100 training rows until nothing was left to learn, it is all but "
    "sure of every row, of those that it gets wrong too: explain the score, as here; the "
    "probability hardly moves, and LIME's record warns of that.",
    "spoken-digits-tdnn": "The slope of a logarithm is steepest where there is next to no sound: "
    "`gradient` lights up in pauses. `cam`, `occlusion` and `lime` find the sounds. A frame of "
    "`cam` is drawn where its share of the recording is; at the ends, where frames reach 30 ms "
    "beyond it, that is up to 22 ms off.",
    "digits-autoencoder": "It has no classes, so there is no score to explain: it is served for "
    "its outputs, and drawn as a digit beside what it makes of it.",
}
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
    ("grad_cam", False): _CARRIED,
}
"""By method, and whether the first third has too much of its weight."""
_BLIND: Mapping[str, str] = {
    "gradient": "the length of a slope says how sensitive the score is to a word's vector, and a "
    "word that says nothing could as well be another that does",
    "grad_cam": "the state at a comma or an 'of' carries the words before it, and it is the state "
    "that is coloured",
}
"""Why a method colours signs and function words."""

_FAR = 0.1
"""A share of a third of the row that differs by this from what occlusion says is worth a word."""
_AIMLESS = 0.7
"""A map with more than this of the share that chance would put on a part does not tell it apart."""
_PEAK = 1.5
"""More than this times what occlusion finds on a first token that says little is a peak."""
_WEAK = 0.3
"""A rank correlation with occlusion below this is."""
_LATTICE = 0.3
"""A quarter of the pixels with more than this share of a slope stands out."""
_SAME = 1e-3
"""Maps from 0 to 1 that differ by less are the same."""


def notes_on(model: ModelInfo, figures: Measured) -> list[str]:
    """Sentences on one model; what is not measured is not said."""
    name = model.id.name
    recurrent = is_recurrent(name)
    return [
        *([SAID[name]] if name in SAID else []),
        *(_of_states(model) if recurrent else []),
        *_twins(figures),
        *_lattice(figures),
        *_on_black(figures),
        *_thirds(name, figures, recurrent=recurrent),
        *_words(figures),
    ]


def _of_states(model: ModelInfo) -> list[str]:
    methods = (
        "`cam` and `grad_cam` colour" if model.methods["cam"] is None else "`grad_cam` colours"
    )
    return [
        f"{methods} hidden states, not what was read: a state carries the steps before it. The "
        "slopes with which `grad_cam` weighs them are total derivatives, through all later states."
    ]


def _twins(figures: Measured) -> list[str]:
    if figures.get("cam_gap", 1.0) > _SAME:
        return []
    return [
        "`cam` and `grad_cam` are one map here: before a mean over places and one linear layer, "
        "the mean slope of a channel is its weight, divided by the number of places."
    ]


def _lattice(figures: Measured) -> list[str]:
    shares = figures.get("lattice", [])
    if not shares or max(shares) < _LATTICE:
        return []
    return [
        f"`gradient` is a lattice: {_over(figures)}, pixels of even row and even column have "
        f"{shares[0]:.0%} of its magnitude, of odd and odd {shares[3]:.0%}, where a quarter would "
        "be even. The first convolution is 3x3 and moves by two pixels, so that a pixel lies under "
        "one, two or four of its windows. What the lattice leaves is noise from pixel to pixel, as "
        "slopes of deep networks are (Balduzzi et al. 2017, arXiv:1702.08591): read regions."
    ]


def _on_black(figures: Measured) -> list[str]:
    """Maps that lie where the picture is empty, and those that could not."""
    if "on_black" not in figures:
        return []
    of = dict(figures["on_black"])
    area, grey = of.pop("area"), of.pop("grey")
    lines = [
        f"Share of the map's magnitude on black pixels, which are {area:.0%} of them, "
        f"{_over(figures)}: {_shares(of)}; `occlusion` with `baseline` {GREY:g} {grey:.0%}.",
        "`integrated_gradients` is 0 on black by construction, and `occlusion` but for windows "
        "that reach over an edge: their `baseline` is black, and where nothing changes nothing is "
        "lost. That they lie on what is drawn is no merit of theirs: see the last share.",
    ]
    slopes = [method for method in ("grad_cam", "gradient") if method in of]
    aimless = [method for method in slopes if of[method] > _AIMLESS * area]
    if aimless:
        why = "; ".join(_GROUND[method] for method in aimless)
        lines.append(
            f"Not plausible as a map of what is drawn, since it lies on black as a map without aim "
            f"would: {why}."
        )
    return lines


_GROUND: Mapping[str, str] = {
    "grad_cam": "`grad_cam`, whose places are few and coarse, and whose channels have one weight "
    "for all of them",
    "gradient": "`gradient`, which asks what a little more light would change, and on black that "
    "changes as much as elsewhere",
}


def _thirds(name: str, figures: Measured, *, recurrent: bool) -> list[str]:
    """Where a map is not plausible: by where its weight lies, or by the order of its steps."""
    if "thirds" not in figures:
        return []
    thirds = dict(figures["thirds"])
    removed, covered = thirds.pop("removed", None), thirds["occlusion"]
    shares = "; ".join(f"`{method}` {_percents(of)}" for method, of in thirds.items())
    lines = [
        "Share of the map's magnitude in the first, middle and last third of a row, "
        f"{_over(figures)}: {shares}."
    ]
    if removed and takes_zeros_for_padding(name):
        lines.append(
            "Zeros are padding to it: what `occlusion` covers by the model's own `baseline`, 0, is "
            f"taken out of the mean over time as well; so it finds {_percents(removed)}. Above, "
            f"below and in the drawing `occlusion` has `baseline` {NEARLY_ZERO:.6f}, which covers "
            "and takes nothing out."
        )
    for method in (m for m in thirds if m != "occlusion"):
        gaps = [own - other for own, other in zip(thirds[method], covered, strict=True)]
        at = max(range(3), key=lambda third: abs(gaps[third]))
        if abs(gaps[at]) <= _FAR:
            continue
        why = _WHY.get((method, gaps[0] > 0), "") if recurrent else ""
        lines.append(
            f"`{method}` puts {thirds[method][at]:.0%} of its weight on the {_THIRDS[at]} third, "
            f"where covering finds {covered[at]:.0%}{why}."
        )
    weak = {m: rank for m, rank in figures.get("agreement", {}).items() if rank < _WEAK}
    if weak:
        ranks = ", ".join(f"`{method}` {rank:.2f}" for method, rank in weak.items())
        lines.append(
            "The order of single steps agrees little with that of occlusion (mean rank correlation "
            f"{ranks}): read regions, not steps."
        )
    return lines


def _words(figures: Measured) -> list[str]:
    """Colour on words that say little, and on the first of a text."""
    if "little" not in figures or "first" not in figures:
        return []
    little, first = dict(figures["little"]), dict(figures["first"])
    chance, at_start = little.pop("tokens"), first.pop("tokens")
    lines = [
        f"Share on signs and function words, {chance:.0%} of the tokens: {_shares(little)}.",
        "Share on the first token, of texts that begin with such a one, where an even map has "
        f"{at_start:.1%}: {_shares(first, digits=1)}.",
    ]
    lines += [
        f"`{method}` does not tell words that say something from words that do not: {why}."
        for method, why in _BLIND.items()
        if little.get(method, 0.0) > _AIMLESS * chance
    ]
    peaks = [m for m in first if first[m] > _PEAK * first["occlusion"]]
    if peaks:
        lines.append(
            f"On a first word, even one that says little, too dark: {_listed(peaks)}, where "
            f"covering finds {first['occlusion']:.1%}. It is read into an empty state, which holds "
            "nothing against it, and every later state carries it on."
        )
    return lines


def _over(figures: Measured) -> str:
    return f"mean over {figures['mapped']} test rows of all classes"


def _shares(of: Shares, *, digits: int = 0) -> str:
    return ", ".join(f"`{method}` {share:.{digits}%}" for method, share in of.items())


def _percents(thirds: Sequence[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in thirds)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
