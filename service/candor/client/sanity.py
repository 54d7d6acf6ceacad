"""A model's randomisation test, as GetModel tells of it."""

import math
from typing import cast

from google.protobuf.json_format import MessageToDict

from candor.result import Json
from candor.sanity import MethodSanity, Sanity, Verdict
from candor.v1 import model_pb2 as pb

__all__ = ["read_sanity"]


def read_sanity(message: pb.Sanity) -> Sanity:
    """Read a test."""
    return Sanity(
        model_digest=message.model_digest,
        candor_version=message.candor_version,
        seed=message.seed,
        inputs=message.inputs,
        n_inputs=message.n_inputs,
        limit=message.limit,
        stages=tuple(message.stages),
        methods=tuple(map(_method, message.methods)),
        n_draws=message.n_draws or 1,
    )


def _method(message: pb.MethodSanity) -> MethodSanity:
    verdict = pb.SanityVerdict.Name(message.verdict)
    return MethodSanity(
        method=message.method,
        options=cast("dict[str, Json]", MessageToDict(message.options)),
        rank_correlation=tuple(map(_or_none, message.rank_correlation)),
        structural_similarity=tuple(map(_or_none, message.structural_similarity)) or None,
        verdict=cast("Verdict", verdict.removeprefix("SANITY_VERDICT_").lower()),
        why=message.why,
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
