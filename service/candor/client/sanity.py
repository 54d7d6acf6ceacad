"""A model's randomisation test, as GetModel tells of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from google.protobuf.json_format import MessageToDict

from candor.result import Json
from candor.v1 import model_pb2 as pb

__all__ = ["MethodSanity", "ModelSanity", "read_sanity"]


@dataclass(frozen=True, slots=True)
class MethodSanity:
    """How the maps of one method changed as weights were shuffled.

    Attributes:
        method, options: that was asked, and how.
        rank_correlation: Spearman's, with the model's own maps, one a stage; None where there was
            nothing to compare.
        structural_similarity: of the same, for images; else ().
        verdict: `passes`, `fails` or `undecided`; `why` says why where it does not pass.
    """

    method: str
    options: Mapping[str, Json]
    rank_correlation: tuple[float | None, ...]
    structural_similarity: tuple[float | None, ...]
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class ModelSanity:
    """Whether a model's explanations depend on what it has learnt.

    Attributes:
        stale: another file was tested than the one that is served.
        limit: the rank correlation up to which a method passes.
        stages: for each stage the layer down to which the weights were random.
    """

    stale: bool
    model_digest: str
    candor_version: str
    seed: int
    inputs: str
    n_inputs: int
    limit: float
    stages: tuple[str, ...]
    methods: tuple[MethodSanity, ...]


def read_sanity(message: pb.Sanity) -> ModelSanity:
    """Read a test."""
    return ModelSanity(
        stale=message.stale,
        model_digest=message.model_digest,
        candor_version=message.candor_version,
        seed=message.seed,
        inputs=message.inputs,
        n_inputs=message.n_inputs,
        limit=message.limit,
        stages=tuple(message.stages),
        methods=tuple(map(_method, message.methods)),
    )


def _method(message: pb.MethodSanity) -> MethodSanity:
    verdict = pb.SanityVerdict.Name(message.verdict)
    return MethodSanity(
        method=message.method,
        options=cast("dict[str, Json]", MessageToDict(message.options)),
        rank_correlation=tuple(map(_or_none, message.rank_correlation)),
        structural_similarity=tuple(map(_or_none, message.structural_similarity)),
        verdict=verdict.removeprefix("SANITY_VERDICT_").lower(),
        why=message.why,
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
