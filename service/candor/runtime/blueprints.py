"""From a model's bytes and manifest to the blueprint of its programs, or the reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from onnx import ModelProto, TensorProto

from candor.autodiff import Anatomy, Graph, anatomy, prepare
from candor.errors import InvalidModel, NotFound, Unsupported
from candor.result import Array, Geometry, Scores
from candor.runtime.ends import Ends, ends_of
from candor.runtime.geometry import geometry_of
from candor.runtime.inputs import TokensInput
from candor.runtime.manifest import Manifest
from candor.runtime.programs.blueprint import Activation, Blueprint, End
from candor.runtime.tokens import Tokenizer
from candor.runtime.vocabulary import known_ids

__all__ = ["Outline", "Plan", "plan_explanations"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What explanations of one output need to know.

    Attributes:
        ends_in: what the model itself ends in: its activation, or `none` for raw scores.
    """

    blueprint: Blueprint
    geometry: Geometry
    ends_in: str

    @property
    def n_classes(self) -> int:
        """k; a single logit counts two classes."""
        return max(2, self.blueprint.anatomy.n_classes)

    @property
    def outline(self) -> "Outline":
        """What is worth knowing of it without the graph."""
        blueprint = self.blueprint
        return Outline(
            blueprint.anatomy,
            blueprint.activation,
            self.geometry,
            self.ends_in,
            blueprint.ends,
            blueprint.inputs,
            rebuilds=blueprint.graph.dtype(blueprint.anatomy.output) == TensorProto.FLOAT,
        )


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a plan whose graph, and with it the weights, need not be in memory.

    Attributes:
        activation: what turns scores into probabilities; none: they are probabilities.
        ends_in: as `Plan`.
        ends: as `Blueprint`.
        inputs: the graph inputs that are explained.
        rebuilds: whether the model's own output is of the type of scores.
    """

    anatomy: Anatomy
    activation: Activation
    geometry: Geometry
    ends_in: str
    ends: tuple[End, ...]
    inputs: tuple[str, ...]
    rebuilds: bool

    @property
    def kind(self) -> str:
        """What a row is; where one input of several is explained, a row of that."""
        return self.ends[0].geometry.kind if len(self.ends) == 1 else self.geometry.kind

    @property
    def n_classes(self) -> int:
        """k; a single logit counts two classes."""
        return max(2, self.anatomy.n_classes)

    def scores_of(self, outputs: Mapping[str, Array]) -> Scores | None:
        """Scores and probabilities from the model's own output; None where it hides the scores."""
        raw = outputs.get(self.anatomy.output)
        if raw is None or self.ends_in != "none":
            return None
        score = raw.astype(np.float32)
        applied = self.activation
        if self.anatomy.n_classes == 1:
            rest = 1 - score if applied == "none" else -score
            score = np.concatenate([rest, score], axis=1)
            applied = "none" if applied == "none" else "sigmoid"
        return Scores(score, _ACTIVATIONS[applied](score))

    def outputs_from(self, scores: Scores) -> dict[str, Array] | None:
        """The model's own output from scores; None where they do not hold it."""
        own: dict[str, Array] = {"none": scores.score, self.activation: scores.probability}
        found = own.get(self.ends_in)
        if found is None or not self.rebuilds:
            return None
        if self.anatomy.n_classes == 1:
            found = found[:, 1:]
        return {self.anatomy.output: found}


def plan_explanations(
    proto: ModelProto,
    manifest: Manifest,
    tokenizer: Tokenizer | None,
    output: str | None,
    distributions: frozenset[str] = frozenset(),
) -> Plan:
    """Prepare a model for compilation.

    `distributions` are the outputs that are probabilities, as running the model tells.

    Raises:
        Unsupported: it may well predict, but is of a form that cannot be explained.
        InvalidModel: its manifest contradicts its graph.
        NotFound: there is no such output.
    """
    try:
        graph = prepare(proto)
    except InvalidModel as error:  # ONNX Runtime takes more than ONNX's checker does
        raise Unsupported(error.message) from error
    if not graph.inputs:
        raise Unsupported("the model has no input, so that there is nothing to explain it by")
    found = _anatomy(graph, manifest, output)
    _check_labels(manifest, max(2, found.n_classes))
    _check_embedding(graph, manifest)
    words = manifest.input.name if isinstance(manifest.input, TokensInput) else None
    listed = {words or graph.inputs[0]: len(tokenizer.ids)} if tokenizer else {}
    known = known_ids(proto.graph, listed)
    ends = Ends((), ())
    if len(graph.inputs) == 1:
        name = graph.inputs[0]
        geometry = geometry_of(graph, name, manifest, tokenizer)
        if geometry.kind == "tokens":
            geometry = replace(geometry, n_ids=known.get(name))
    else:
        ends = ends_of(graph, found, manifest, tokenizer, known)
        name = ends.explained[0].input
        geometry = Geometry("several", None)
    blueprint = Blueprint(
        graph=graph,
        anatomy=found,
        activation=_activation(manifest, found, distributions),
        kind=geometry.kind,
        channel_axis=geometry.channel_axis,
        input=name,
        embedding=manifest.explain.embedding,
        ends=ends.explained,
        held=ends.held,
    )
    return Plan(blueprint, geometry, found.activation)


def _anatomy(graph: Graph, manifest: Manifest, output: str | None) -> Anatomy:
    explain = manifest.explain
    try:
        return anatomy(graph, output or explain.output, explain.layer)
    except InvalidModel as error:  # not a classifier, or not by this output
        raise Unsupported(error.message) from error
    except NotFound as error:
        if output is not None:
            raise
        raise InvalidModel(f"model.toml: {error.message}") from error


def _activation(manifest: Manifest, found: Anatomy, distributions: frozenset[str]) -> Activation:
    if manifest.activation in ("softmax", "sigmoid"):
        return manifest.activation
    if found.activation in ("softmax", "sigmoid"):
        return "softmax" if found.activation == "softmax" else "sigmoid"
    if manifest.activation == "none" or found.output in distributions:
        return "none"
    return "sigmoid" if found.n_classes == 1 else "softmax"


def _check_labels(manifest: Manifest, n_classes: int) -> None:
    if manifest.labels and len(manifest.labels) != n_classes:
        raise InvalidModel(
            f"model.toml has {len(manifest.labels)} labels, the model {n_classes} classes"
        )


def _check_embedding(graph: Graph, manifest: Manifest) -> None:
    named = manifest.explain.embedding
    if named is not None and not graph.known(named):
        raise InvalidModel(f"explain.embedding is '{named}', which is no value of the graph")


def _softmax(score: Array) -> Array:
    grown = np.exp(score - score.max(axis=1, keepdims=True))
    shares: Array = grown / grown.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(score: Array) -> Array:
    # tanh does not overflow where exp(-score) would.
    risen: Array = 0.5 * (1 + np.tanh(0.5 * score))
    return risen


def _none(score: Array) -> Array:
    return score


_ACTIVATIONS = {"softmax": _softmax, "sigmoid": _sigmoid, "none": _none}
