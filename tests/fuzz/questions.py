"""Requests for explanations with everything that can be asked: each option at and past its ends."""

import dataclasses

import numpy as np

from candor.explain.options import METHODS
from candor.inference.v2 import grpc_service_pb2 as oip
from candor.protocol.options import to_method
from candor.protocol.tensors import join_elements, to_tensor
from candor.v1 import explanation_pb2 as pb

__all__ = ["questions"]

_OURS = "/candor.v1.ExplanationService/"
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_PARAMETERS = (
    {"candor.target": "negative"},
    {"candor.target": "positive-negative"},
    {"candor.target": "1-0"},
    {"candor.target": " 1 "},
    {"candor.target": "posit"},
    {"candor.target": "nothing like it"},
    {"candor.target": "1-1"},
    {"candor.target": 99},
    {"candor.target": 0.5},
    {"candor.targets": "0,1,positive-negative"},
    {"candor.targets": "0,,1"},
    {"candor.target": "1", "candor.targets": "0"},
    {"candor.budget_ms": 20.0},
    {"candor.budget_ms": "twenty"},
    {"candor.budget_ms": True},
    {"candor.trust": "full"},
    {"candor.explain_output": "probability"},
    {"candor.explain_output": 1},
    {"candor.output": "logits"},
    {"candor.cache": "bypass"},
    {"candor.layer": "features"},
    {"candor.seed": 3},
    {"candor.explain_if": "top_probability<0.6"},
    {"candor.explain_if": "top_probability >= 1e-3"},
    {"candor.explain_if": "top_probability<-"},
    {"candor.nonsense": 1},
    {"candor.gradient.x": 1},
    {"candor.explain": "lim"},
    {"candor.explain": 3},
    {"timeout": "x"},
    {"priority": -1},
)
_CONDITIONS = ("top_probability<0.5", "top_probability>2", "top_probability<-", "x")


def questions():
    """Path and message."""
    for parameters in _PARAMETERS:
        yield _INFER, _asked({"candor.explain": "gradient", **parameters})
    yield _INFER, _asked({"candor.lime.n_samples": 3})
    for method, kind in METHODS.items():
        for field in dataclasses.fields(kind):
            for value in _ends(field.metadata["spec"]):
                name = f"candor.{method}.{field.name}"
                yield _INFER, _asked({"candor.explain": method, name: value, "timeout": 50_000})
    yield from _with_tensors()
    yield from _typed()


def _ends(spec):
    """Values at the ends of an option's range, past them, and of another type."""
    yield from ("x", True, 0.5, "", float("nan"))
    if spec.low is not None:
        whole = spec.kind in ("integer", "integers")
        ends = (spec.low - 1, spec.low, spec.high, spec.high + 1)
        yield from (int(end) if whole else float(end) for end in ends)
    if spec.kind == "integers":
        yield from ("8,8", "8,x", "1,2,3,4,5", "0,0")
    yield from spec.choices


def _asked(parameters):
    request = oip.ModelInferRequest(model_name="sentences")
    request.inputs.add(name="tokens", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(join_elements([b"a film"]))
    for name, value in parameters.items():
        kind = {bool: "bool", int: "int64", str: "string", float: "double"}[type(value)]
        setattr(request.parameters[name], f"{kind}_param", value)
    return request


def _with_tensors():
    """Targets and segments as inputs, of right and wrong types."""
    for shape, datatype in (([1], "INT64"), ([1, 2], "INT64"), ([1], "FP32"), ([1, 1, 1], "INT8")):
        size = {"INT64": 8, "FP32": 4, "INT8": 1}[datatype] * int(np.prod(shape))
        for name in ("candor.target", "candor.lime.segments", "candor.other"):
            for asked in ("lime", "gradient", ""):
                wanted = {"candor.explain": asked, "candor.lime.n_samples": 4} if asked else {}
                if asked == "gradient":
                    del wanted["candor.lime.n_samples"]
                request = _asked(wanted)
                request.inputs.add(name=name, datatype=datatype, shape=shape)
                request.raw_input_contents.append(bytes(size))
                yield _INFER, request
    request = _asked({})
    request.outputs.add(name="candor.lime.segments")
    request.outputs.add(name="candor.gradient")
    yield _INFER, request


def _typed():
    """The same in messages of our own."""
    asked = pb.ExplainRequest(model="digits-lenet", methods=[to_method("lime", {"n_samples": 4})])
    image = np.zeros((1, 1, 28, 28), np.float32)
    asked.input.tensors.by_name["image"].CopyFrom(to_tensor(image))
    for segments in (np.arange(28 * 28).reshape(28, 28) // 100, np.ones((2, 2)), np.int8([3])):
        asked.segments.CopyFrom(to_tensor(segments))
        yield _OURS + "Explain", asked
    asked.ClearField("segments")
    asked.render.opacity = 0.5
    for drawing in range(4):
        asked.render.format = drawing
        yield _OURS + "Explain", asked
    asked.ClearField("render")
    for condition in _CONDITIONS:
        asked.explain_if = condition
        yield _OURS + "Estimate", pb.EstimateRequest(explain=asked)
        yield _OURS + "Explain", asked
    asked.explain_if = ""
    target = asked.targets.add().targets.add()
    for plus, minus in ((1, 2), ("3", "4"), (1, 1), (99, "x")):
        for side, value in ((target.difference.plus, plus), (target.difference.minus, minus)):
            setattr(side, "label" if isinstance(value, str) else "index", value)
        yield _OURS + "Estimate", pb.EstimateRequest(explain=asked)
    target.difference.ClearField("minus")
    yield _OURS + "Estimate", pb.EstimateRequest(explain=asked)
    target.label = "seven"
    yield _OURS + "Estimate", pb.EstimateRequest(explain=asked)
    asked.targets[0].targets.add(index=3)
    asked.targets.add().targets.extend([target] * 2000)
    asked.methods.extend([asked.methods[0]] * 3)
    yield _OURS + "Estimate", pb.EstimateRequest(explain=asked)
