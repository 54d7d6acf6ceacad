"""The lines that a server logs of calls: failures, a share of the others, and slow ones whole."""

import json
import zlib

import grpc
import numpy as np
import pytest

from serving import Server, running
from wire.protocol import Protocol, infer_request

STAGES = {"read", "queue", "prepare", "look_up", "compute", "total", "write"}


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory):
    environ = {"CANDOR_LOG_SHARE": "0.5", "CANDOR_SLOW_MS": "20"}
    with running(tmp_path_factory.mktemp("log"), environ=environ) as server:
        yield server


@pytest.fixture(scope="module")
def own(logging_server):
    protocol = Protocol(logging_server.grpc_target)
    yield protocol
    protocol.close()


def lines(server: Server) -> dict[str, dict]:
    # Libraries write lines of their own.
    written = (line for line in server.log.read_text().splitlines() if line.startswith("{"))
    records = map(json.loads, written)
    return {r["request_id"]: r for r in records if r["logger"] == "candor.access"}


def ask(protocol: Protocol, name: str, identity: str, **parameters):
    row = np.random.default_rng().normal(size=(1, 1, 28, 28)).astype(np.float32)
    given = {key.replace("__", "."): value for key, value in parameters.items()}
    request = infer_request(name, parameters=given, image=row)
    return protocol.call("ModelInfer", request, metadata=(("x-request-id", identity),))


def test_of_calls_that_went_well_a_share_is_logged_the_same_in_every_replica(logging_server, own):
    identities = [f"quick-{number}" for number in range(40)]
    for identity in identities:
        ask(own, "digits-lenet", identity)
    share = {i for i in identities if zlib.crc32(i.encode()) < 2**31}
    found = {i: line for i, line in lines(logging_server).items() if i.startswith("quick-")}
    quick = {i for i, line in found.items() if line["event"] == "call"}
    slow = {i for i, line in found.items() if line["event"] == "slow call"}
    assert 5 < len(share) < 35
    assert share <= quick | slow
    assert quick <= share
    for identity in quick:
        line = found[identity]
        assert (line["level"], line["code"], line["method"]) == ("info", "OK", "predict")
        assert (line["model"], line["version"]) == ("digits-lenet", "1")
        assert line["milliseconds"] > 0


def test_a_call_that_is_slow_is_logged_with_the_time_of_each_stage(logging_server, own):
    parameters = {"candor__explain": "lime", "candor__lime__n_samples": 40_000}
    ask(own, "digits-lenet", "slow-1", **parameters)
    line = lines(logging_server)["slow-1"]
    assert (line["event"], line["level"], line["code"]) == ("slow call", "warning", "OK")
    assert line["milliseconds"] >= 20
    assert line["stages_ms"].keys() == STAGES
    stages = line["stages_ms"]
    # one after the other they make up the whole
    in_a_row = sum(stages[stage] for stage in STAGES - {"total"})
    assert 0.8 * line["milliseconds"] < in_a_row <= line["milliseconds"] + 1


def test_a_server_that_is_not_told_to_logs_failures_alone(server):
    protocol = Protocol(server.grpc_target)
    ask(protocol, "digits-lenet", "well")
    with pytest.raises(grpc.RpcError):
        ask(protocol, "nobody", "ill")
    found = lines(server)
    assert "well" not in found
    assert (found["ill"]["event"], found["ill"]["code"]) == ("call", "NOT_FOUND")
    protocol.close()
