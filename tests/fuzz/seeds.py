"""Good requests, files and pictures: what cases are made of."""

import gzip
import io
import json
import struct

import numpy as np
from PIL import Image

from candor.explain.options import METHODS
from candor.inference.v2 import grpc_service_pb2 as oip
from candor.protocol.options import to_method
from candor.protocol.tensors import join_elements, to_tensor
from candor.runtime.specs import DTYPES
from candor.v1 import explanation_pb2 as pb
from candor.v1 import job_pb2, model_pb2
from fuzz.door import MODELS
from serving import REPOSITORY

__all__ = ["http", "manifests", "models", "pictures", "rpcs", "texts"]

_QUICK = {"lime": {"n_samples": 4}, "integrated_gradients": {"n_steps": 2},
          "smooth_grad": {"n_samples": 2}, "occlusion": {"window": "9"}}  # fmt: skip
_ROWS = {
    "digits-lenet": ("image", (1, 1, 28, 28)),
    "adult-mlp": ("record", (1, 14)),
    "vowels-rnn": ("series", (1, 29, 12)),
}
_TEXTS = ("a film", "dull -- n't it?", "Gripping!\u00e4\U0001f600", "one " * 40)


def _row(model):
    name, shape = _ROWS[model]
    return name, np.random.default_rng(3).normal(size=shape).astype(np.float32)


def rpcs():
    """A request for each method of each service, and for each explanation of each model."""
    ours, jobs, models = (f"/candor.v1.{n}Service/" for n in ("Explanation", "Job", "Model"))
    for method in METHODS:
        for model in MODELS:
            request = _explain(model, method)
            yield ours + "Explain", request
            yield ours + "Estimate", pb.EstimateRequest(explain=request)
            yield "/inference.GRPCInferenceService/ModelInfer", _infer(model, method)
        yield ours + "ExplainStream", pb.ExplainStreamRequest(explain=request)
        yield "/inference.GRPCInferenceService/ModelStreamInfer", _infer(model, method)
        submit = job_pb2.SubmitJobRequest(explain=request, id="fuzz-1")
        yield jobs + "SubmitJob", submit
    for model in MODELS:
        yield ours + "Predict", pb.PredictRequest(model=model, input=_explain(model, "lime").input)
        yield models + "GetModel", model_pb2.GetModelRequest(name=model)
    pictures_asked = pb.PredictRequest(model="digits-lenet")
    pictures_asked.input.images.images.append(next(iter(pictures())))
    yield ours + "Predict", pictures_asked
    yield models + "ListModels", model_pb2.ListModelsRequest()
    yield jobs + "GetJob", job_pb2.GetJobRequest(id="fuzz-1")
    yield jobs + "WatchJob", job_pb2.WatchJobRequest(id="fuzz-1")
    yield jobs + "CancelJob", job_pb2.CancelJobRequest(id="fuzz-1")
    yield jobs + "ListJobs", job_pb2.ListJobsRequest(limit=3)
    yield from _protocol()
    yield from _every_datatype()


def _protocol():
    for method, request in {
        "ModelReady": oip.ModelReadyRequest(name="sentences", version="1"),
        "ModelMetadata": oip.ModelMetadataRequest(name="sentences"),
        "ModelConfig": oip.ModelConfigRequest(name="digits-lenet"),
        "ModelStatistics": oip.ModelStatisticsRequest(name="adult-mlp"),
        "RepositoryIndex": oip.RepositoryIndexRequest(ready=True),
        "RepositoryModelLoad": oip.RepositoryModelLoadRequest(model_name="sentences"),
        "RepositoryModelUnload": oip.RepositoryModelUnloadRequest(model_name="sentences"),
    }.items():
        yield f"/inference.GRPCInferenceService/{method}", request


def _every_datatype():
    """Each datatype raw, and each that can be in typed contents; BYTES as texts and pictures."""
    path = "/inference.GRPCInferenceService/ModelInfer"
    for datatype, known in DTYPES.items():
        request = oip.ModelInferRequest(model_name="adult-mlp")
        request.inputs.add(name="record", datatype=datatype, shape=[1, 14])
        worded = datatype == "BYTES"
        raw = join_elements([b"a"] * 14) if worded else np.ones(14, known.numpy).tobytes()
        request.raw_input_contents.append(raw)
        yield path, request
        request = oip.ModelInferRequest(model_name="adult-mlp")
        tensor = request.inputs.add(name="record", datatype=datatype, shape=[1, 14])
        for field in tensor.contents.DESCRIPTOR.fields:
            values = getattr(tensor.contents, field.name)
            ours = {"FP32": "fp32", "FP64": "fp64", "INT64": "int64", "UINT64": "uint64",
                    "BOOL": "bool", "BYTES": "bytes"}.get(datatype, "")  # fmt: skip
            wanted = ours or ("uint" if datatype[0] == "U" else "int")
            if field.name == f"{wanted}_contents":
                values.extend([b"a"] * 14 if worded else [1] * 14)
        yield path, request
    for model, rows in (("sentences", texts()), ("digits-lenet", [*pictures()])):
        request = oip.ModelInferRequest(model_name=model)
        request.inputs.add(name="x", datatype="BYTES", shape=[len(rows)])
        request.raw_input_contents.append(join_elements(rows))
        request.outputs.add(name="logits").parameters["classification"].int64_param = 2
        request.parameters["timeout"].int64_param = 10**6
        request.parameters["priority"].int64_param = 1
        yield path, request


def _explain(model, method):
    request = pb.ExplainRequest(model=model, methods=[to_method(method, _QUICK.get(method, {}))])
    if model == "sentences":
        request.input.texts.texts.extend(_TEXTS[:2])
    else:
        name, row = _row(model)
        request.input.tensors.by_name[name].CopyFrom(to_tensor(row))
    request.targets.add().targets.add(index=1)
    return request


def _infer(model, method):
    request = oip.ModelInferRequest(model_name=model)
    if model == "sentences":
        request.inputs.add(name="tokens", datatype="BYTES", shape=[1])
        request.raw_input_contents.append(join_elements([b"a film"]))
    else:
        name, row = _row(model)
        request.inputs.add(name=name, datatype="FP32", shape=row.shape)
        request.raw_input_contents.append(row.tobytes())
    request.parameters["candor.explain"].string_param = method
    for option, value in _QUICK.get(method, {}).items():
        text = isinstance(value, str)
        kind = "string_param" if text else "int64_param"
        setattr(request.parameters[f"candor.{method}.{option}"], kind, value)
    return request


def http():
    """Path with its verb, headers, and a document or bytes."""
    text = {"name": "tokens", "shape": [1], "datatype": "BYTES", "data": ["a film"]}
    record = {"name": "record", "shape": [1, 14], "datatype": "FP32", "data": [0.5] * 14}
    asked = {"candor.explain": "gradient,lime", "candor.lime.n_samples": 10, "candor.target": 0}
    outputs = [{"name": "logits", "parameters": {"classification": 2, "binary_data": True}}]
    typed = {
        "model": "sentences", "version": "1", "input": {"texts": {"texts": ["a film"]}},
        "methods": [{"gradient": {"timesInput": True}}, {"lime": {"nSamples": "10"}}],
        "targets": [{"targets": [{"index": 1}]}], "explained": "EXPLAINED_SCORE", "budgetMs": 50,
    }  # fmt: skip
    json_ = {"content-type": "application/json"}
    for datatype, known in DTYPES.items():
        data = ["a"] * 14 if datatype == "BYTES" else np.ones(14, known.numpy).tolist()
        document = {"inputs": [{**record, "datatype": datatype, "data": data}]}
        yield "/v2/models/adult-mlp/infer", json_, document
        head = {"inputs": [{**record, "parameters": {"binary_data_size": 56}}]}
        del head["inputs"][0]["data"]
        raw = json.dumps(head).encode()
        headers = {"inference-header-content-length": str(len(raw))}
        yield "/v2/models/adult-mlp/infer", headers, raw + bytes(56)
    yield "/v2/models/sentences/infer", json_, {
        "id": "a", "inputs": [text], "outputs": outputs, "parameters": asked}  # fmt: skip
    picture = next(iter(pictures()))
    raw_body = {"inference-header-content-length": "0"}
    yield "/v2/models/digits-lenet/infer?candor.explain=grad_cam", raw_body, picture
    yield "/v2/models/vowels-rnn/infer", raw_body, bytes(4 * 12 * 29)
    yield "/v2/models/sentences/infer?timeout=1000000", raw_body, b"a film"
    for verb in ("predict", "explain"):
        parts = {"instances": ["a film", "bad"], "parameters": asked if verb == "explain" else {}}
        yield f"/v1/models/sentences:{verb}", json_, parts
        yield f"/v1/models/adult-mlp:{verb}", json_, {"instances": [{"record": [0.1] * 14}] * 2}
        yield f"/v1/models/digits-lenet:{verb}", json_, {"instances": [{"b64": "AAAA"}]}
    yield "/candor.v1.ExplanationService/Explain", json_, typed
    yield "/candor.v1.ExplanationService/Estimate", json_, {"explain": typed}
    yield "/candor.v1.JobService/SubmitJob", json_, {"explain": typed, "id": "fuzz-2"}
    yield "/candor.v1.JobService/ListJobs", json_, {"limit": 2}
    binary = _explain("sentences", "gradient").SerializeToString()
    yield "/candor.v1.ExplanationService/Explain", {"content-type": "application/proto"}, binary
    yield from _streams(typed)
    yield "/v2/repository/index", json_, {"ready": True}
    yield "/v2/repository/models/adult-mlp/load", json_, {"parameters": {"config": "{}"}}
    yield "/v2/repository/models/adult-mlp/unload", json_, {"parameters": {}}
    for path in ("/v2", "/v2/models", "/v2/models/stats", "/v2/models/adult-mlp",
                 "/v2/models/adult-mlp/versions/1/config", "/v2/models/x/ready", "/v1/models",
                 "/v1/models/sentences", "/v2/health/ready", "/healthz/ready"):  # fmt: skip
        yield f"GET {path}", {}, b""


def _streams(typed):
    """Streams over Connect: each message in an envelope, packed or not."""
    json_ = {"content-type": "application/connect+json"}
    packed = {"content-type": "application/connect+proto", "connect-content-encoding": "gzip"}
    explain = "/candor.v1.ExplanationService/ExplainStream"
    request = pb.ExplainStreamRequest(explain=_explain("sentences", "lime")).SerializeToString()
    yield explain, json_, _envelope(0, json.dumps({"explain": typed}).encode())
    yield explain, packed, _envelope(0, request)
    yield explain, packed, _envelope(1, gzip.compress(request))
    yield "/candor.v1.JobService/WatchJob", json_, _envelope(0, b'{"id": "fuzz-1"}')


def _envelope(flags, message):
    return struct.pack(">BI", flags, len(message)) + message


def pictures():
    """Small pictures of every format and mode that is read."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    picture = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, mode, options in (
        ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "L", {}), ("PNG", "P", {}),
        ("PNG", "LA", {}), ("PNG", "1", {}), ("PNG", "I;16", {}), ("PNG", "L", {"transparency": 3}),
        ("JPEG", "RGB", {"exif": exif}), ("JPEG", "L", {"progressive": True}), ("JPEG", "CMYK", {}),
        ("WebP", "RGB", {}), ("WebP", "RGBA", {"lossless": True}), ("WebP", "RGB", {"exif": exif}),
    ):  # fmt: skip
        out = io.BytesIO()
        _of(picture, mode).save(out, kind, **options)
        yield out.getvalue()


def _of(picture, mode):
    # Only of gray are there sixteen bits.
    return picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)


def texts():
    """Texts as bytes."""
    return [each.encode() for each in _TEXTS]


def manifests():
    """The committed manifests."""
    return [path.read_bytes() for path in sorted(REPOSITORY.glob("*/model.toml"))]


def models():
    """Small committed ONNX files."""
    names = ("vowels-rnn", "vowels-gru", "adult-mlp", "vowels-lstm", "digits-lenet")
    return [(REPOSITORY / name / "1" / "model.onnx").read_bytes() for name in names]
