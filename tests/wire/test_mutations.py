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
from wire.protocol import infer_request, text

CASES = int(os.environ.get("CANDOR_MUTATIONS", "300"))
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
NUMBERS = (0, 1, -1, 2, 7, 50, 255, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**63), 2**63 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))
TEXTS = (
    *(
        "",
        "0",
        "-1",
        "7-3",
        "nan",
        "1e999",
        "lime",
        "cam,lime",
        "score",
        "use",
        "full",
        "FP32",
        "BYTES",
    ),
    *("image", "logits", "candor.", "candor.lime", "candor.target", "tabby cat", "x" * 5000),
    *("ä\u0000\U0001f600", "photos", "sentences", "1", "-", ",", "true", "grid", "\n"),
)
PIECES = (b"", b"\0", b"\xff" * 8, b"\x89PNG\r\n\x1a\n", b"\3\0\0\0abc", b"a" * 49152)
NAMES = tuple(
    f"candor.{name}"
    for name in (
        *("explain", "layer", "seed", "target", "targets", "output", "explain_output", "cache"),
        *("budget_ms", "trust", "x", *(f"{m}.{o}" for m in METHODS for o in METHODS[m].__slots__)),
    )
)
_WORDS = {"string": TEXTS, "bytes": PIECES, "double": FLOATS, "float": FLOATS}


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


def mutate(message, rng):
    """Change one field somewhere in the message."""
    field = rng.choice(list(message.DESCRIPTOR.fields))
    inside = field.message_type
    if inside is not None and inside.GetOptions().map_entry:
        mutate_entry(getattr(message, field.name), field, rng)
    elif inside is not None:
        mutate_inner(getattr(message, field.name), field, rng)
    elif field.is_repeated:
        mutate_list(getattr(message, field.name), field, rng)
    elif rng.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, value(field, rng))


def mutate_inner(inner, field, rng):
    """Change a message within a message, or add one to a list of them."""
    if not field.is_repeated:
        inner.SetInParent()
        mutate(inner, rng)
    elif not inner or rng.random() < 0.3:
        mutate(inner.add(), rng)
    else:
        mutate(rng.choice(inner), rng)


def mutate_list(values, field, rng):
    """Take a value out of a list, or add one."""
    if values and rng.random() < 0.5:
        del values[rng.randrange(len(values))]
    else:
        values.append(value(field, rng))


def mutate_entry(entries, field, rng):
    """Change or add an entry of a map."""
    key = rng.choice([*entries, *TEXTS, *NAMES, *NAMES])
    inner = field.message_type.fields_by_name["value"]
    if inner.message_type is not None:
        mutate(entries[key], rng)
    else:
        entries[key] = value(inner, rng)


def value(field, rng):
    """Some value of the field's type."""
    kinds = {9: TEXTS, 12: PIECES, 1: FLOATS, 2: FLOATS, 8: (True, False), 14: range(-1, 20)}
    if field.type in kinds:
        return rng.choice(kinds[field.type])
    bits, signed = {3: (64, 1), 4: (64, 0), 5: (32, 1), 13: (32, 0)}[field.type]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return rng.choice([number for number in NUMBERS if low <= number <= high])


def scramble(payload, rng):
    """Change the bytes of a message."""
    data = bytearray(payload)
    # The head holds the structure; most of the rest is one tensor.
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(len(data), 400))
        match rng.randrange(3):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 9)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 9))
    return bytes(data)


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
