"""A served model: its own session for predictions, and its compiled programs for explanations.

Predictions run the file as it was delivered, so that a plain request answers what ONNX Runtime
answers. Explanations run programs compiled from the same bytes; one digest stands for both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from onnx import ModelProto

from candor.autodiff import Program
from candor.autodiff.anatomy import Layer
from candor.errors import InvalidInput
from candor.result import Array, Encoded, Geometry, ModelId, Payload, Scores
from candor.runtime.batches import run_in_batches
from candor.runtime.brevity import Brevity
from candor.runtime.budget import Budget
from candor.runtime.compiled import Compiled
from candor.runtime.extents import fixed_batch, of_any_rows
from candor.runtime.files import ModelFile, read_model
from candor.runtime.hazards import find_hazards
from candor.runtime.joining import Batching, Joining
from candor.runtime.manifest import Manifest, load_manifest
from candor.runtime.predictor import Predictor
from candor.runtime.preprocess import encode, plan
from candor.runtime.repository import Folder
from candor.runtime.session import Session, SessionPolicy
from candor.runtime.several import Several
from candor.runtime.specs import TensorSpec, check_tensors
from candor.runtime.subjects import Compiling, Subjects

__all__ = ["Model", "ModelPolicy", "load_model"]


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """How models are loaded.

    Attributes:
        session: providers and threads.
        max_image_pixels: largest picture that is decoded.
        on_run: told of every run: model, program, rows, seconds.
        batching: how requests share runs, where the manifest does not say.
        budget: of memory, for all models together.
    """

    session: SessionPolicy
    max_image_pixels: int
    on_run: Callable[[ModelId, str, int, float], None]
    batching: Batching = Batching()
    budget: Budget = field(default_factory=Budget)


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
        self.folder = file.path.parent
        self._classes = file.classes

        # Neither is bound to the model: a cycle would keep its memory after it is unloaded.
        def open_session(program: ModelProto | Program, rows: int | None = None) -> Session:
            return Session(program, policy.session, name=f"model '{model_id.name}'", rows=rows)

        self._on_run = partial(policy.on_run, model_id)
        self._predictor = Predictor(model_id, file, open_session, policy.budget)
        self._batch_size = fixed_batch(self.inputs, self.outputs)
        free = [of_any_rows(spec) for spec in self.inputs]
        self._taken = free if self._batch_size else self.inputs
        self._preprocessing = plan(manifest, self._taken, max_image_pixels=policy.max_image_pixels)
        self.joining = Joining(self._predictor, manifest, policy.batching, self._preprocessing)
        self.brevity = Brevity(on_cpu=self.provider == "cpu")
        self._hazards = find_hazards(file.proto.graph, self._preprocessing.vocabulary)
        texts = self._preprocessing.texts
        compiling = Compiling(model_id.name, policy.budget, open_session, self._on_run)
        self._subjects = Subjects(
            self._predictor, manifest, texts.tokenizer if texts else None, compiling
        )
        self._outline = self._subjects.outline

    # What it is --------------------------------------------------------------------------------

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs, as ONNX Runtime sees them."""
        return self._predictor.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The model's outputs, as ONNX Runtime sees them."""
        return self._predictor.outputs

    @property
    def provider(self) -> str:
        """The provider in use: `cuda`, `cpu`, ..."""
        return self._predictor.provider

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in order: the manifest's, else the file's, else ()."""
        own = self._classes
        return self.manifest.labels or (own if len(own) == self.n_classes else ())

    @property
    def n_classes(self) -> int:
        """k, a single logit counting two classes; 0 where the model is not a classifier."""
        return self._outline.n_classes if self._outline else 0

    @property
    def activation(self) -> str:
        """What turns scores into probabilities; "" where the model is not a classifier."""
        return self._outline.activation if self._outline else ""

    @property
    def kind(self) -> str:
        """What a row is: `image`, `tokens`, `series`, `tabular`, `several`; "" if not known."""
        return self._outline.kind if self._outline else ""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers that a class activation map can be taken at, in the order of the graph."""
        return self._outline.anatomy.layers if self._outline else ()

    @property
    def default_layer(self) -> str | None:
        """The layer that `grad_cam` takes where none is named."""
        return self._outline.anatomy.layer if self._outline else None

    @property
    def input_name(self) -> str:
        """The input that is explained, of several the first; raises Unsupported without one."""
        return self._subjects.known.inputs[0]

    @property
    def explained_inputs(self) -> tuple[str, ...]:
        """The inputs that are explained; () where the model cannot be."""
        return self._outline.inputs if self._outline else ()

    @property
    def methods(self) -> Mapping[str, str | None]:
        """Each explanation method: None where the model supports it, else the reason why not."""
        return self._subjects.methods

    @property
    def awake(self) -> bool:
        """Whether a prediction need not wait for the model to be read from the disk again."""
        return self._predictor.awake

    def wake(self) -> None:
        """Bring the model back into memory; raises InvalidModel where it cannot be."""
        self._predictor.wake()

    # What it does ------------------------------------------------------------------------------

    def encode(self, payload: Payload) -> Encoded:
        """Turn what the caller sent into the model's own tensors: `runtime.preprocess.encode`.

        Raises:
            InvalidInput, TooLarge: as that, and as `check`.
        """
        encoded = encode(payload, self._preprocessing)
        self._hazards.refuse(encoded.tensors)
        return encoded

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
            self._predictor.run(tensors, outputs)
            if rows in (0, size)
            else run_in_batches(lambda t: self._predictor.run(t, outputs), tensors, size, fill=True)
        )
        self._on_run("predict", rows, perf_counter() - began)
        return found

    def scores_of(self, outputs: Mapping[str, Array]) -> Scores | None:
        """Scores and probabilities, where the model's own outputs determine them; else None."""
        return self._outline.scores_of(outputs) if self._outline else None

    def outputs_from(self, scores: Scores) -> dict[str, Array] | None:
        """The model's own outputs, where scores and probabilities determine them; else None."""
        if self._outline is None or len(self.outputs) != 1:
            return None
        return self._outline.outputs_from(scores)

    def subject(self, output: str | None = None) -> Compiled:
        """The model as explainers see it (`explain.subject.Subject`), by one of its outputs.

        Raises:
            NotFound, Unsupported: there is no such output, or it cannot be explained.
        """
        return self._subjects.of(output)

    def geometry(self, name: str, output: str | None = None) -> Geometry:
        """How rows of an explained input are laid out; "" is the only one."""
        return self._subjects.geometry(name, output)

    def laid(
        self, tensors: Mapping[str, Array], output: str | None = None
    ) -> tuple[Compiled | Several, Array]:
        """The model as explainers see it, and rows as they take them.

        Raises:
            NotFound, Unsupported: as `subject`.
            InvalidInput: of several inputs, numbers that a row cannot hold.
        """
        return self._subjects.laid(output, tensors)


def load_model(folder: Folder, policy: ModelPolicy) -> Model:
    """Load one version of a model and run it once.

    Raises:
        InvalidModel: the file, its manifest, or the two together cannot be served.
    """
    file = read_model(folder.model)
    manifest = load_manifest(folder.manifest)
    return Model(ModelId(folder.name, folder.version, file.digest), file, manifest, policy)
