"""A served model: its own session for predictions, and its compiled programs for explanations.

Predictions run the file as it was delivered, so that a plain request answers what ONNX Runtime
answers. Explanations run programs compiled from the same bytes; one digest stands for both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock
from time import perf_counter

from onnx import ModelProto

from candor.autodiff.anatomy import Layer
from candor.errors import InvalidInput, Unsupported
from candor.result import Array, Encoded, ModelId, Payload, Scores
from candor.runtime.batches import run_in_batches
from candor.runtime.blueprints import Plan, plan_explanations
from candor.runtime.compiled import Compiled
from candor.runtime.extents import fixed_batch, of_any_rows, zeros_for
from candor.runtime.files import ModelFile, read_model
from candor.runtime.hazards import find_hazards
from candor.runtime.joining import Batching, Joining
from candor.runtime.manifest import Manifest, load_manifest
from candor.runtime.methods import EXPLANATIONS, refusals
from candor.runtime.preprocess import encode, plan
from candor.runtime.repository import Folder
from candor.runtime.session import Session, SessionPolicy
from candor.runtime.specs import TensorSpec, check_tensors

__all__ = ["Model", "ModelPolicy", "load_model"]


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """How models are loaded.

    Attributes:
        session: providers and threads.
        max_image_pixels: largest picture that is decoded.
        on_run: told of every run: model, program, rows, seconds.
        batching: how requests share runs, where the manifest does not say.
    """

    session: SessionPolicy
    max_image_pixels: int
    on_run: Callable[[ModelId, str, int, float], None]
    batching: Batching = Batching()


class Model:
    """One version of a model in memory. Safe to use from several threads."""

    def __init__(
        self, model_id: ModelId, file: ModelFile, manifest: Manifest, policy: ModelPolicy
    ) -> None:
        """Open the session, and read off the graph what can be explained.

        Raises:
            InvalidModel: the file or the manifest cannot be served.
        """
        self.id = model_id
        self.manifest = manifest
        self.file = file

        # Neither is bound to the model: a cycle would keep its memory after it is unloaded.
        def open_session(program: ModelProto, rows: int | None = None) -> Session:
            return Session(program, policy.session, name=f"model '{model_id.name}'", rows=rows)

        self._open = open_session
        self._on_run = partial(policy.on_run, model_id)
        self._session = self._open(file.proto)
        self._batch_size = fixed_batch(self.inputs, self.outputs)
        free = [of_any_rows(spec) for spec in self.inputs]
        self._taken = free if self._batch_size else self.inputs
        self._preprocessing = plan(manifest, self._taken, max_image_pixels=policy.max_image_pixels)
        self.joining = Joining(self._session, manifest, policy.batching, self._preprocessing)
        self._hazards = find_hazards(file.proto.graph, self._preprocessing.vocabulary)
        self._lock = Lock()
        self._compiled: dict[str | None, Compiled] = {}
        self._plans: dict[str | None, Plan | Unsupported] = {}
        found = self._plan(None)
        self._default = None if isinstance(found, Unsupported) else found

    # What it is --------------------------------------------------------------------------------

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs, as ONNX Runtime sees them."""
        return self._session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The model's outputs, as ONNX Runtime sees them."""
        return self._session.outputs

    @property
    def provider(self) -> str:
        """The provider in use: `cuda`, `cpu`, ..."""
        return self._session.provider

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in order: the manifest's, else the file's, else ()."""
        own = self.file.classes
        return self.manifest.labels or (own if len(own) == self.n_classes else ())

    @property
    def n_classes(self) -> int:
        """k, a single logit counting two classes; 0 where the model is not a classifier."""
        return self._default.n_classes if self._default else 0

    @property
    def activation(self) -> str:
        """What turns scores into probabilities; "" where the model is not a classifier."""
        return self._default.blueprint.activation if self._default else ""

    @property
    def kind(self) -> str:
        """What a row is: `image`, `tokens`, `series`, `tabular`; "" where it is not known."""
        return self._default.geometry.kind if self._default else ""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers that a class activation map can be taken at, in the order of the graph."""
        return self._default.blueprint.anatomy.layers if self._default else ()

    @property
    def default_layer(self) -> str | None:
        """The layer that `grad_cam` takes where none is named."""
        return self._default.blueprint.anatomy.layer if self._default else None

    @property
    def input_name(self) -> str:
        """The input that is explained; raises Unsupported where there is none."""
        return self._planned(None).blueprint.input

    @cached_property
    def methods(self) -> Mapping[str, str | None]:
        """Each explanation method: None where the model supports it, else the reason why not."""
        found = self._plan(None)
        if isinstance(found, Unsupported):
            return dict.fromkeys(EXPLANATIONS, found.message)
        return refusals(found.blueprint)

    # What it does ------------------------------------------------------------------------------

    def encode(self, payload: Payload) -> Encoded:
        """Turn what the caller sent into the model's own tensors: `runtime.preprocess.encode`."""
        return encode(payload, self._preprocessing)

    def check(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Check names, dtypes and shapes: `runtime.specs.check_tensors`.

        Raises:
            InvalidInput: also a token id that the model does not know, and an empty tensor where it
                would end the process (`runtime.hazards`).
        """
        checked = check_tensors(self._taken, tensors)
        self._hazards.refuse(checked)
        return checked

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        """Predict, plainly: the model's own outputs.

        Raises:
            InvalidInput: ONNX Runtime refuses the tensors, or there is no such output.
        """
        names = [spec.name for spec in self.outputs]
        if unknown := [name for name in outputs if name not in names]:
            raise InvalidInput(f"there is no output '{unknown[0]}'; there are {', '.join(names)}")
        began = perf_counter()
        rows = max((len(array) for array in tensors.values() if array.ndim), default=0)
        size = self._batch_size or rows
        found = (
            self._session.run(tensors, outputs)
            if rows in (0, size)
            else run_in_batches(lambda t: self._session.run(t, outputs), tensors, size, fill=True)
        )
        self._on_run("predict", rows, perf_counter() - began)
        return found

    def scores_of(self, outputs: Mapping[str, Array]) -> Scores | None:
        """Scores and probabilities, where the model's own outputs determine them; else None."""
        return self._default.scores_of(outputs) if self._default else None

    def outputs_from(self, scores: Scores) -> dict[str, Array] | None:
        """The model's own outputs, where scores and probabilities determine them; else None."""
        if self._default is None or len(self.outputs) != 1:
            return None
        return self._default.outputs_from(scores)

    def subject(self, output: str | None = None) -> Compiled:
        """The model as explainers see it (`explain.subject.Subject`), by one of its outputs.

        Raises:
            NotFound, Unsupported: there is no such output, or it cannot be explained.
        """
        planned = self._planned(output)
        with self._lock:
            if output not in self._compiled:
                self._compiled[output] = Compiled(
                    planned.blueprint, planned.geometry, self._open, self._on_run
                )
            return self._compiled[output]

    def warm_up(self) -> None:
        """Run once on zeros, so that the first request does not pay for the first run.

        A model that zeros do not fit (a graph that asks for a longer input, say) stays cold.
        """
        try:
            self._session.run(zeros_for(self.inputs))
        except InvalidInput:
            return

    def _plan(self, output: str | None) -> Plan | Unsupported:
        if output not in self._plans:
            texts = self._preprocessing.texts
            tokenizer = texts.tokenizer if texts else None
            try:
                found: Plan | Unsupported = plan_explanations(
                    self.file.proto, self.manifest, tokenizer, output
                )
            except Unsupported as error:
                found = Unsupported(error.message)  # its traceback keeps alive what callers hold
            self._plans[output] = found
        return self._plans[output]

    def _planned(self, output: str | None) -> Plan:
        found = self._plan(output)
        if isinstance(found, Unsupported):
            # A fresh one: an exception that is raised twice drags both tracebacks along.
            raise Unsupported(found.message)
        return found


def load_model(folder: Folder, policy: ModelPolicy) -> Model:
    """Load one version of a model and run it once.

    Raises:
        InvalidModel: the file, its manifest, or the two together cannot be served.
    """
    file = read_model(folder.model)
    manifest = load_manifest(folder.manifest)
    model = Model(ModelId(folder.name, folder.version, file.digest), file, manifest, policy)
    model.warm_up()
    return model
