"""Requests that come again byte for byte are answered as before, while the cache stands by it."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from candor.client import Client
from candor.client.asking import explain_request
from candor.engine.deadline import Deadline
from candor.explain.options import Gradient
from candor.inference.v2 import grpc_service_pb2
from candor.v1 import explanation_pb2 as pb
from candor.wire.call import Call
from candor.wire.explanations import Explanations
from candor.wire.oip_infer import Infer
from candor.wire.replays import Replays
from serving import REPOSITORY, running
from unit.engine.builders import LinearModel, rig, rows
from unit.engine.builders import explain_request as engine_request
from wire.protocol import Protocol, infer_request

MODEL = "digits-lenet"
HOUR_S = 3600.0


class Desk:
    """The handlers over a real engine and cache."""

    def __init__(self, house, max_bytes=1 << 20):
        self.house = house
        self.replays = Replays(house.cache, house.metrics, max_bytes, HOUR_S)
        self.handlers = Explanations(house.engine, house.engine.store, self.replays)

    async def ask(self, seed=0, tenant="", **changes):
        """The answer, and whether it was a replay."""
        request = explain_request("linear", [{"gradient": {}}], {"tensors": {"x": rows(2, seed)}})
        for name, value in changes.items():
            setattr(request, name, value)
        call = Call("r-1", Deadline())
        cached = request.cache == pb.CACHE_POLICY_UNSPECIFIED
        key = self.replays.key_of(request, tenant) if cached else ""
        replayed = self.replays.find(key, self.house.model, pb.ExplainResponse) is not None
        return await self.handlers.explain(request, call), replayed


def told(response):
    copy = pb.ExplainResponse()
    copy.CopyFrom(response)
    copy.ClearField("timings_s")
    return copy


def statuses(response):
    return [pb.CacheStatus.Name(each.cache_status) for each in response.attributions]


async def test_what_was_answered_from_the_cache_is_answered_again_as_it_was_written():
    async with rig() as house:
        desk = Desk(house)
        computed, _ = await desk.ask()
        first, replayed = await desk.ask()
        assert not replayed
        again, replayed = await desk.ask()
        assert replayed
        assert statuses(computed) == ["CACHE_STATUS_MISS"] * 2
        assert statuses(again) == ["CACHE_STATUS_HIT"] * 2
        assert told(again) == told(first)
        assert set(again.timings_s) == {"look_up", "total"}
        # Asking and finding out in `ask` count alike: three hits of two rows.
        assert house.value("candor_cache_total", kind="explanation", status="hit") == 6


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"tenant": "b"}, {"cache": pb.CACHE_POLICY_BYPASS},
     {"cache": pb.CACHE_POLICY_REFRESH}, {"explained": pb.EXPLAINED_PROBABILITY},
     {"explain_if": "top_probability>0"}, {"version": "1"}],
    ids=["seed", "tenant", "bypass", "refresh", "explained", "condition", "version"],
)  # fmt: skip
async def test_another_request_has_its_own_answer(changes):
    async with rig() as house:
        desk = Desk(house)
        for _ in range(3):
            await desk.ask()
        _, replayed = await desk.ask(**changes)
        assert not replayed


async def test_it_falls_with_the_entries_that_it_is_made_of():
    async with rig() as house:
        desk = Desk(house)
        for _ in range(3):
            await desk.ask()
        refreshed, _ = await desk.ask(cache=pb.CACHE_POLICY_REFRESH)
        assert statuses(refreshed) == ["CACHE_STATUS_MISS"] * 2
        assert not (await desk.ask())[1]
        assert (await desk.ask())[1]
        house.memory.forget((await desk.ask())[0].attributions[1].cache_key)
        answer, replayed = await desk.ask()
        assert not replayed
        assert statuses(answer) == ["CACHE_STATUS_HIT", "CACHE_STATUS_MISS"]


async def test_it_falls_with_the_model_that_answered():
    async with rig() as house:
        desk = Desk(house)
        for _ in range(3):
            await desk.ask()
        house.engine.store.model = LinearModel(labels=("a", "b", "c"))
        answer, _ = await desk.ask()
        assert {best.label for best in answer.prediction.rows[0].top} == {"a", "b", "c"}


async def test_partial_answers_and_rows_that_were_passed_over_are_not_kept():
    async with rig() as house:
        desk = Desk(house)
        passed = {"explain_if": "top_probability<0"}
        for _ in range(3):
            answer, replayed = await desk.ask(**passed)
            assert answer.attributions[0].not_explained
            assert not replayed


async def test_they_keep_to_their_memory_and_none_keeps_none():
    async with rig() as house:
        explanation = await house.engine.explain(engine_request(Gradient()), Deadline())
        assert explanation.statuses == {"miss"}
        off = Desk(house, max_bytes=0)
        small = Desk(house, max_bytes=3000)
        for seed in range(9):
            for _ in range(3):
                await off.ask(seed)
                await small.ask(seed)
        assert not (await off.ask(8))[1]
        assert (await small.ask(8))[1]
        assert not (await small.ask(0))[1]


class Window:
    """The same of the Open Inference Protocol, whose requests have an id."""

    def __init__(self, house):
        replays = Replays(house.cache, house.metrics, 1 << 20, HOUR_S)
        self.infer = Infer(house.engine, house.engine.store, replays)

    async def ask(self, name="r-1", seed=0, **parameters):
        """The answer, what was called, and whether it was read to be answered."""
        asked = {"candor.explain": "gradient"} | parameters
        request = infer_request("linear", parameters=asked, x=rows(2, seed))
        request.id = name
        call = Call("r-1", Deadline())
        answer = await self.infer.answer(request, call)
        assert request.id == name
        return answer, call, "prepare" not in call.timings_s


async def test_the_open_inference_protocol_has_them_too_by_whatever_id():
    model = LinearModel()
    model.manifest = SimpleNamespace(input=None)
    async with rig(model) as house:
        window = Window(house)
        for seen in (False, False, True):
            answer, _, replayed = await window.ask()
            assert replayed is seen
        other, call, replayed = await window.ask("r-2")
        assert replayed
        assert other.id == "r-2"
        assert call.methods == ("gradient",)
        other.id = answer.id
        assert other == answer
        assert other.parameters["candor.cache_status"].string_param == "hit"
        for changes in (
            {"seed": 1},
            {"candor.explain_output": "probability"},
            {"candor.cache": "bypass"},
        ):
            assert not (await window.ask(**changes))[2]


def test_a_model_loaded_anew_answers_by_its_new_manifest(tmp_path):
    models = tmp_path / "models"
    shutil.copytree(REPOSITORY / MODEL, models / MODEL)
    manifest = models / MODEL / "model.toml"
    x = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    with running(tmp_path, models, {"CANDOR_REPOSITORY_MODE": "explicit"}) as server:
        control = Protocol(server.grpc_target)
        load = grpc_service_pb2.RepositoryModelLoadRequest(model_name=MODEL)
        control.call("RepositoryModelLoad", load)
        with Client(server.grpc_target) as client:
            answers = [client.explain(MODEL, "gradient", tensors={"image": x}) for _ in range(4)]
            manifest.write_text(re.sub(r'"(\d)"', r'"digit \1"', manifest.read_text()))
            control.call("RepositoryModelLoad", load)
            after = client.explain(MODEL, "gradient", tensors={"image": x})
    assert [each.of("gradient").cache for each in answers] == ["miss", *["hit"] * 3]
    assert "prepare" in answers[1].timings_s
    assert "prepare" not in answers[3].timings_s
    computed, replayed = answers[0].of("gradient"), answers[3].of("gradient")
    np.testing.assert_array_equal(computed.values, replayed.values)
    known, labels = ([best.label for best in each.prediction.rows[0].top]
                     for each in (answers[3], after))  # fmt: skip
    assert labels == [f"digit {label}" for label in known]
