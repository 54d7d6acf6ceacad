"""What the Open Inference Protocol says of a model: metadata and configuration."""

from collections.abc import Iterable

from candor.explain.options import METHODS
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.runtime.model import Model
from candor.runtime.shelf import Entry
from candor.runtime.specs import TensorSpec

__all__ = ["model_config", "model_metadata"]

_PLATFORM = "onnxruntime_onnx"
# The protocol wants a number where candor has no limit but the size of a message; load generators
# refuse batches beyond it, so it is generous.
_MAX_BATCH_SIZE = 1024


def model_metadata(model: Model, entries: Iterable[Entry[Model]]) -> pb.ModelMetadataResponse:
    """Describe a model's own inputs and outputs; explanations are not among them."""
    versions = [entry.version for entry in entries if entry.name == model.id.name and entry.version]
    tensor = pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=model.id.name,
        versions=versions,
        platform=_PLATFORM,
        inputs=[tensor(name=s.name, datatype=s.datatype, shape=s.shape) for s in model.inputs],
        outputs=[tensor(name=s.name, datatype=s.datatype, shape=s.shape) for s in model.outputs],
    )


def model_config(model: Model) -> pb.ModelConfig:
    """Describe how a model is served; `candor.methods` says what explains it."""
    batched = all(spec.shape[:1] == (-1,) for spec in (*model.inputs, *model.outputs))
    methods = ",".join(name for name in METHODS if model.methods[name] is None)
    parameters = {
        "candor.methods": methods,
        "candor.model_digest": model.id.digest,
        "candor.provider": model.provider,
    }
    return pb.ModelConfig(
        name=model.id.name,
        platform=_PLATFORM,
        backend="onnxruntime",
        default_model_filename="model.onnx",
        max_batch_size=_MAX_BATCH_SIZE if batched else 0,
        dynamic_batching=_dynamic_batching(model),
        input=[
            pb.ModelInput(name=spec.name, data_type=_type(spec), dims=_dims(spec, batched=batched))
            for spec in model.inputs
        ],
        output=[
            pb.ModelOutput(name=spec.name, data_type=_type(spec), dims=_dims(spec, batched=batched))
            for spec in model.outputs
        ],
        parameters={
            name: pb.ModelParameter(string_value=value) for name, value in parameters.items()
        },
    )


def _dynamic_batching(model: Model) -> pb.ModelDynamicBatching | None:
    """How requests share runs; None where each has its own."""
    joining = model.joining
    if joining.most_rows == 1:
        return None
    return pb.ModelDynamicBatching(max_queue_delay_microseconds=round(1e6 * joining.delay_s))


def _type(spec: TensorSpec) -> pb.DataType.ValueType:
    name = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return pb.DataType.Value(f"TYPE_{name}")


def _dims(spec: TensorSpec, *, batched: bool) -> tuple[int, ...]:
    return spec.shape[1:] if batched else spec.shape
