"""Requests that share a run are answered as they would be alone, and fail alone."""

import secrets
import shutil
from collections.abc import Iterator
from functools import cache
from typing import Any

import grpc
import numpy as np
import onnx
import onnxruntime
import pytest

from candor.inference.v2 import grpc_service_pb2 as pb
from candor.result import Array
from service.test_metrics import scrape
from serving import Server, running
from unit.autodiff.build import model
from wire.protocol import arrays, infer_request

SEED = secrets.randbelow(2**31)
RNG = np.random.default_rng(SEED)
N = 4  # rows of a shared run; requests wait ten seconds for that many, so nothing is left to chance
MANIFEST = f"[batching]\nmax_batch_size = {N}\nmax_queue_delay_ms = 10000\n"
BRIEF = "brief-"  # the same models with nothing to wait for: they are run on the event loop
W = RNG.normal(size=(6, 3)).astype(np.float32)
TABLE = RNG.normal(size=(5, 3)).astype(np.float32)
HEAD = "(float[n, 6] x) => (float[n, 3] y)"
MODELS = {
    "dense": model(f"{HEAD} {{ y = MatMul(x, w) }}", w=W),
    # takes the mean of all rows off each
    "mixing": model(
        f"{HEAD} {{ h = MatMul(x, w) m = ReduceMean(h, axis) y = Sub(h, m) }}",
        w=W, axis=np.array([0]),
    ),
    # rounds by the range of all that it is given at once
    "quantised": model(
        f"{HEAD} {{ q, s, z = DynamicQuantizeLinear(x) r = DequantizeLinear(q, s, z) "
        "y = MatMul(r, w) }",
        w=W,
    ),
    # looks the first value up in a table of five; one that is not there fails the run
    "picking": model(
        f"{HEAD} {{ c = Slice(x, zero, one, one) f = Squeeze(c, one) i = Cast <to = 7>(f) "
        "y = Gather(table, i) }",
        table=TABLE, zero=np.array([0]), one=np.array([1]),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    for name, built in MODELS.items():
        (root / name / "1").mkdir(parents=True)
        onnx.save(built, root / name / "1" / "model.onnx")
        (root / name / "model.toml").write_text(MANIFEST)
        shutil.copytree(root / name, root / f"{BRIEF}{name}")
        (root / f"{BRIEF}{name}" / "model.toml").write_text("")
    with running(tmp_path_factory.mktemp("log"), root) as found:
        yield found


def ask(
    server: Server, name: str, *inputs: Array, **parameters: str
) -> list[Array | grpc.RpcError]:
    """Ask at the same time; the answers, or why there are none."""
    with grpc.insecure_channel(server.grpc_target) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        named = {key.replace("__", "."): each for key, each in parameters.items()}
        asked = [infer_request(name, parameters=named, x=x) for x in inputs]
        calls = [call.future(request.SerializeToString(), timeout=60) for request in asked]
        found: list[Any] = []
        for each in calls:
            try:
                response = pb.ModelInferResponse.FromString(each.result())
            except grpc.RpcError as error:
                found.append(error)
            else:
                found.append(arrays(response)["candor.gradient" if parameters else "y"])
        return found


def alone(name: str, x: Array) -> Array:
    """What ONNX Runtime says of one request."""
    found: Array = session(name.removeprefix(BRIEF)).run(None, {"x": x})[0]
    return found


@cache
def session(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(MODELS[name].SerializeToString())


def runs(server: Server, name: str) -> tuple[float, float]:
    """Runs of a model so far, and rows in all of them."""
    family = scrape(server)["candor_batch_size"]
    found = {s.name: s.value for s in family.samples if s.labels["model"] == name}
    return found.get("candor_batch_size_count", 0.0), found.get("candor_batch_size_sum", 0.0)


def drawn(n_rows: int = 1) -> Array:
    return (RNG.normal(size=(n_rows, 6)) * RNG.uniform(0.1, 10)).astype(np.float32)


def test_configuration_tells_of_shared_runs(server: Server) -> None:
    with grpc.insecure_channel(server.grpc_target) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelConfig")
        asked = pb.ModelConfigRequest(name="dense").SerializeToString()
        config = pb.ModelConfigResponse.FromString(call(asked)).config
    assert config.dynamic_batching.max_queue_delay_microseconds == 10_000_000


def test_rows_of_several_requests_run_together(server: Server) -> None:
    before = runs(server, "dense")
    inputs = [drawn(1), drawn(1), drawn(2)]
    for x, found in zip(inputs, ask(server, "dense", *inputs), strict=True):
        np.testing.assert_allclose(found, alone("dense", x), rtol=1e-5, atol=1e-6)
    after = runs(server, "dense")
    assert (after[0] - before[0], after[1] - before[1]) == (1, N)


def test_gradients_of_several_requests_run_together(server: Server) -> None:
    before = runs(server, "dense")
    inputs = [drawn() for _ in range(N)]
    asked = {"candor__explain": "gradient", "candor__cache": "bypass"}
    for x, found in zip(inputs, ask(server, "dense", *inputs, **asked), strict=True):
        top = int((x @ W).argmax())
        np.testing.assert_allclose(found, np.abs(W[:, top])[None], rtol=1e-4, atol=1e-5)
    after = runs(server, "dense")
    assert (after[0] - before[0], after[1] - before[1]) == (1, N)


@pytest.mark.parametrize("name", ["mixing", "quantised"])
def test_a_model_that_mixes_its_rows_gets_each_request_by_itself(server: Server, name: str) -> None:
    for _ in range(2):  # found out the first time, known the second
        inputs = [drawn() for _ in range(N)]
        for x, found in zip(inputs, ask(server, name, *inputs), strict=True):
            np.testing.assert_allclose(
                found, alone(name, x), rtol=1e-5, atol=1e-6, err_msg=f"seed {SEED}"
            )
    count, rows = runs(server, name)
    assert count == rows == 2 * N


def test_a_row_that_fails_the_run_fails_alone(server: Server) -> None:
    good = [np.array([[index, 0, 0, 0, 0, 0]], np.float32) for index in (0, 4, 2)]
    bad = np.array([[99, 0, 0, 0, 0, 0]], np.float32)
    *found, refused = ask(server, "picking", *good, bad)
    for x, answer in zip(good, found, strict=True):
        np.testing.assert_array_equal(answer, TABLE[x[:, 0].astype(int)])
    assert isinstance(refused, grpc.RpcError)
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("name", "shares"), [("dense", True), ("mixing", False), ("quantised", False)]
)
def test_brief_requests_that_come_together_share_runs_where_rows_stay_their_own(
    server: Server, name: str, shares: bool
) -> None:
    brief = BRIEF + name
    for _ in range(5):  # it is seen to be brief, and tried
        ask(server, brief, drawn())
    for _ in range(20 if shares else 1):  # until some come together: few do on a crowded machine
        before = runs(server, brief)
        inputs = [drawn() for _ in range(200)]
        for x, found in zip(inputs, ask(server, brief, *inputs), strict=True):
            np.testing.assert_allclose(found, alone(brief, x), rtol=1e-5, atol=1e-6)
        after = runs(server, brief)
        assert after[1] - before[1] == 200
        shared = after[0] - before[0] < 200
        if shared:
            break
    assert shared is shares


def test_one_bad_row_among_brief_ones_fails_alone(server: Server) -> None:
    brief = f"{BRIEF}picking"
    good = [np.concatenate([[[k % 5]], RNG.normal(size=(1, 5))], 1) for k in range(40)]
    inputs = [x.astype(np.float32) for x in good]
    for _ in range(5):
        ask(server, brief, inputs[0])
    bad = inputs[0].copy()
    bad[0, 0] = 77
    found = ask(server, brief, *inputs[:20], bad, *inputs[20:])
    assert isinstance(found.pop(20), grpc.RpcError)
    for x, answer in zip(inputs, found, strict=True):
        np.testing.assert_allclose(answer, alone(brief, x), rtol=1e-5, atol=1e-6)
