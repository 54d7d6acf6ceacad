"""What a model's randomisation test has found: kept beside the model, told by the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from candor.result import Json

__all__ = ["MethodSanity", "Sanity", "Verdict"]

Verdict: TypeAlias = Literal["passes", "fails", "undecided"]


@dataclass(frozen=True, slots=True)
class MethodSanity:
    """How a method's maps changed as the weights were shuffled.

    Attributes:
        method: its name.
        options: with which it was asked.
        rank_correlation: Spearman's, of the maps' magnitudes, mean over the inputs and draws; one
            number for each stage; None where most maps show no place, so that there is nothing to
            compare.
        structural_similarity: of the same; None where it was not measured (no images).
        verdict: `passes` where the maps of the last stage, all weights random, are others.
        why: of a verdict that is not `passes`.
    """

    method: str
    options: Mapping[str, Json]
    rank_correlation: tuple[float | None, ...]
    structural_similarity: tuple[float | None, ...] | None
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sanity:
    """A randomisation test.

    Attributes:
        model_digest: of the file that was tested.
        candor_version: that tested it.
        seed: of the weights.
        inputs: what was explained, in words.
        n_inputs: how many of them.
        limit: correlation up to which a method passes.
        stages: the layer down to which weights were shuffled, from the output on.
        methods: one each.
        n_draws: of all weights, whose mean is the last stage's; the stages before it have one.
    """

    model_digest: str
    candor_version: str
    seed: int
    inputs: str
    n_inputs: int
    limit: float
    stages: tuple[str, ...]
    methods: tuple[MethodSanity, ...]
    n_draws: int = 1
