"""Messages that somebody else made wrong: whatever comes in, no answer is INTERNAL or UNKNOWN.

Each case is a good request with some of its fields, or of its bytes, changed at random. The seed is
printed with a failure; `CANDOR_MUTATIONS=10000` asks for more cases.
"""

import os
import random
from collections import Counter

import grpc
import numpy as np

from candor.explain.options import METHODS
from candor.inference.v2 import grpc_service_pb2 as oip_pb
from candor.protocol.options import to_method
from candor.protocol.tensors import to_tensor
from candor.v1 import explanation_pb2 as pb
from fuzz.messages import mutate, scramble
from wire.protocol import infer_request, text

CASES = int(os.environ.get("CANDOR_MUTATIONS", "300"))
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


def goods():
    """Good requests, one for each way into the server."""
    image = np.random.default_rng(3).normal(size=(1, 3, 64, 64)).astype(np.float32)
    quick = {"candor.lime.n_samples": 4, "candor.integrated_gradients.n_steps": 2}
    yield "infer", infer_request("photos", image=image)
    yield "infer", infer_request("sentences", tokens=text("a film", "dull"))
    for method in METHODS:
        options = {name: value for name, value in quick.items() if f".{method}." in name}
        parameters = {"candor.explain": method, "candor.target": 1} | options
        yield "infer", infer_request("photos", image=image, parameters=parameters)
        flat = {name.rpartition(".")[2]: value for name, value in options.items()}
        request = pb.ExplainRequest(model="photos", methods=[to_method(method, flat)])
        request.input.tensors.by_name["image"].CopyFrom(to_tensor(image))
        request.targets.add().targets.add(index=1)
        yield "explain", request
        request = pb.ExplainRequest(model="sentences", methods=[to_method(method, flat)])
        request.input.texts.texts.extend(["a film", "dull"])
        yield "explain", request


PATHS = {
    "infer": "/inference.GRPCInferenceService/ModelInfer",
    "explain": "/candor.v1.ExplanationService/Explain",
    "estimate": "/candor.v1.ExplanationService/Estimate",
    "predict": "/candor.v1.ExplanationService/Predict",
}


def cases(rng):
    """Requests as path and bytes."""
    good = list(goods())
    for _ in range(CASES):
        kind, message = rng.choice(good)
        request = type(message).FromString(message.SerializeToString())
        if kind == "explain" and rng.random() < 0.2:
            kind = "estimate"
            request = pb.EstimateRequest(explain=request)
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            mutate(request, rng)
        payload = request.SerializeToString()
        yield PATHS[kind], scramble(payload, rng) if rng.random() < 0.3 else payload


def test_the_unchanged_requests_are_good(oip):
    for kind, request in goods():
        if kind == "explain" and request.model == "sentences":
            continue  # not every method explains every model
        if kind == "infer":
            request.inputs[0].name = (
                oip.call("ModelMetadata", oip_pb.ModelMetadataRequest(name=request.model_name))
                .inputs[0]
                .name
            )
        oip.raw(PATHS[kind], request.SerializeToString())


def outcome(oip, path, payload):
    """The code and the words that a request is answered with."""
    try:
        oip.raw(path, payload, timeout=1)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def test_no_mutation_makes_the_server_fail(oip, server):
    seed = random.randrange(2**32)
    codes = Counter()
    for path, payload in cases(random.Random(seed)):
        code, words = outcome(oip, path, payload)
        codes[code] += 1
        where = f"seed {seed}, {path}: {code} {words}\n{payload[:400]!r}"
        assert code is grpc.StatusCode.OK or (code in REFUSALS and len(words) > 10), where
    assert server.process.poll() is None
    assert oip.call("ServerReady").ready
    # The cases do not all fail at the door, nor all pass.
    assert codes[grpc.StatusCode.OK] > CASES // 50
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > CASES // 5
