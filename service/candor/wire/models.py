"""`candor.v1.ModelService`: what the store holds."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from candor.autodiff.anatomy import Layer
from candor.explain.options import METHODS
from candor.result import ModelId
from candor.runtime.inputs import (
    ImageInput,
    TokensInput,
)
from candor.runtime.model import Model
from candor.runtime.sanity import read_sanity
from candor.runtime.shelf import Entry, State
from candor.runtime.specs import TensorSpec
from candor.sanity import MethodSanity, Verdict
from candor.v1 import model_pb2 as pb
from candor.wire.calls import Call, Routes
from candor.wire.lookup import Models, find_model, seen

__all__ = ["ModelCatalogue"]

_STATES: Mapping[State, pb.ModelState.ValueType] = MappingProxyType(
    {
        "ready": pb.MODEL_STATE_READY,
        "unloaded": pb.MODEL_STATE_UNLOADED,
        "unavailable": pb.MODEL_STATE_UNAVAILABLE,
    }
)
_VERDICTS: Mapping[Verdict, pb.SanityVerdict.ValueType] = MappingProxyType(
    {
        "passes": pb.SANITY_VERDICT_PASSES,
        "fails": pb.SANITY_VERDICT_FAILS,
        "undecided": pb.SANITY_VERDICT_UNDECIDED,
    }
)


@dataclass(frozen=True, slots=True)
class ModelCatalogue:
    """The handlers of the service, over one store."""

    store: Models

    def routes(self) -> Routes:
        """Handler by name of the method."""
        return {"ListModels": self.list_models, "GetModel": self.get_model}

    async def list_models(self, _: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        """List all models, the broken ones with the reason."""
        # What a model's methods are is found out when first asked, by a walk over its graph.
        return await asyncio.to_thread(_list, seen(self.store, call.caller))

    async def get_model(self, request: pb.GetModelRequest, call: Call) -> pb.GetModelResponse:
        """Describe one model."""
        model = await find_model(self.store, call.caller, request.name, request.version)
        call.model = model.id
        return pb.GetModelResponse(model=await asyncio.to_thread(_description, model))


def _list(entries: Iterable[Entry[Model]]) -> pb.ListModelsResponse:
    return pb.ListModelsResponse(models=map(_summary, entries))


def _summary(entry: Entry[Model]) -> pb.ModelSummary:
    summary = pb.ModelSummary(
        id=pb.ModelId(name=entry.name, version=entry.version),
        state=_STATES[entry.state],
        reason=entry.reason,
    )
    model = entry.model
    if model is not None:
        summary.id.digest = model.id.digest
        summary.title = model.manifest.title
        summary.kind = model.kind
        summary.methods.extend(name for name in METHODS if model.methods[name] is None)
    return summary


def _description(model: Model) -> pb.Model:
    manifest = model.manifest
    return pb.Model(
        id=_identity(model.id),
        title=manifest.title,
        licence=manifest.licence,
        source=manifest.source,
        kind=model.kind,
        inputs=map(_spec, model.inputs),
        outputs=map(_spec, model.outputs),
        labels=model.labels,
        layers=map(_layer, model.layers),
        default_layer=model.default_layer or "",
        methods=[_support(name, model.methods[name]) for name in METHODS],
        provider=model.provider,
        activation=model.activation,
        preprocessing=isinstance(manifest.input, ImageInput | TokensInput),
        sanity=_sanity(model),
        explained_inputs=model.explained_inputs,
    )


def _sanity(model: Model) -> pb.Sanity | None:
    """The randomisation test that is kept beside the file, as it is now."""
    found = read_sanity(model.folder)
    if found is None:
        return None
    return pb.Sanity(
        stale=found.model_digest != model.id.digest,
        model_digest=found.model_digest,
        candor_version=found.candor_version,
        seed=found.seed,
        inputs=found.inputs,
        n_inputs=found.n_inputs,
        limit=found.limit,
        stages=found.stages,
        methods=map(_method_sanity, found.methods),
        n_draws=found.n_draws,
    )


def _method_sanity(found: MethodSanity) -> pb.MethodSanity:
    message = pb.MethodSanity(
        method=found.method,
        rank_correlation=map(_or_nan, found.rank_correlation),
        structural_similarity=map(_or_nan, found.structural_similarity or ()),
        verdict=_VERDICTS[found.verdict],
        why=found.why,
    )
    message.options.update(dict(found.options))
    return message


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _identity(identity: ModelId) -> pb.ModelId:
    return pb.ModelId(name=identity.name, version=identity.version, digest=identity.digest)


def _spec(spec: TensorSpec) -> pb.TensorSpec:
    return pb.TensorSpec(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _layer(layer: Layer) -> pb.Layer:
    shape = (length if isinstance(length, int) else -1 for length in layer.shape)
    return pb.Layer(name=layer.name, shape=shape)


def _support(name: str, reason: str | None) -> pb.MethodSupport:
    return pb.MethodSupport(name=name, supported=reason is None, reason=reason or "")
