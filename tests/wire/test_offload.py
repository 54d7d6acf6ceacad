"""Long messages are read and written in threads, short ones where they come in."""

import threading
from functools import wraps
from types import SimpleNamespace

import numpy as np
import pytest

from candor.client.asking import explain_request
from candor.engine.deadline import Deadline
from candor.engine.extent import MAX_ANSWERS
from candor.errors import InvalidOption, TooLarge
from candor.v1 import explanation_pb2 as pb
from candor.wire import explanations, oip, oip_infer, oip_requests, requests
from candor.wire.calls import Call
from candor.wire.explanations import Explanations
from candor.wire.health import Readiness
from candor.wire.offload import MANY
from candor.wire.oip_parameters import scalars
from unit.engine.builders import LinearModel, rig, rows
from wire.protocol import infer_request

GRADIENT = [{"gradient": {}}]
LOOP = threading.main_thread()


@pytest.fixture
def threads(monkeypatch):
    """Where functions ran, by their names; `threads.watch(module, name)` first."""
    seen = {}

    def watch(module, name):
        function = getattr(module, name)

        @wraps(function)
        def watched(*given):
            seen[name] = threading.current_thread()
            return function(*given)

        monkeypatch.setattr(module, name, watched)

    return SimpleNamespace(watch=watch, seen=seen)


def ask(n, methods=GRADIENT):
    return explain_request("linear", methods, {"tensors": {"x": rows(n)}})


def calling(*, large=False):
    return Call("r-1", Deadline(), large=large)


@pytest.mark.parametrize(("n", "on_loop"), [(1, True), (MANY, True), (MANY + 1, False)])
async def test_an_explanation_with_many_answers_is_written_off_the_loop(threads, n, on_loop):
    threads.watch(explanations, "explain_response")
    async with rig() as house:
        handlers, call = Explanations(house.engine, house.engine.store), calling()
        response = await handlers.explain(ask(n), call)
    assert len(response.attributions) == n
    assert (threads.seen["explain_response"] is LOOP) == on_loop
    assert call.large != on_loop  # and so is it serialised


@pytest.mark.parametrize(("n", "on_loop"), [(1, True), (MANY + 1, False)])
async def test_a_prediction_of_many_rows_is_written_off_the_loop(threads, n, on_loop):
    threads.watch(explanations, "predict_response")
    async with rig() as house:
        handlers = Explanations(house.engine, house.engine.store)
        request = pb.PredictRequest(model="linear", input=ask(n).input)
        response = await handlers.predict(request, calling())
    assert len(response.prediction.rows) == n
    assert (threads.seen["predict_response"] is LOOP) == on_loop


@pytest.mark.parametrize("n", [1, MANY + 1])
async def test_the_open_protocol_writes_many_answers_off_the_loop(threads, n):
    threads.watch(oip_infer, "explain_response")
    model = LinearModel()
    model.manifest = SimpleNamespace(input=None)
    async with rig(model) as house:
        handlers = oip.Inference(house.engine, house.engine.store, Readiness())
        asked = infer_request("linear", parameters={"candor.explain": "gradient"}, x=rows(n))
        response = await handlers.model_infer(asked, calling())
    assert response.outputs[1].shape == [n, 6]
    assert (threads.seen["explain_response"] is LOOP) == (n == 1)


@pytest.mark.parametrize("large", [False, True])
async def test_a_large_request_is_read_off_the_loop(threads, large):
    threads.watch(explanations, "explain_request")
    threads.watch(explanations, "predict_request")
    threads.watch(oip_infer, "read_request")
    model = LinearModel()
    model.manifest = SimpleNamespace(input=None)
    async with rig(model) as house:
        handlers = Explanations(house.engine, house.engine.store)
        await handlers.explain(ask(1), calling(large=large))
        request = pb.PredictRequest(model="linear", input=ask(1).input)
        await handlers.predict(request, calling(large=large))
        infer = oip.Inference(house.engine, house.engine.store, Readiness()).model_infer
        await infer(infer_request("linear", x=rows(1)), calling(large=large))
    assert {name: thread is LOOP for name, thread in threads.seen.items()} == dict.fromkeys(
        ("explain_request", "predict_request", "read_request"), not large
    )


def test_too_many_methods_or_targets_are_counted_before_they_are_read(monkeypatch):
    monkeypatch.setattr(requests, "parse_options", None)
    monkeypatch.setattr(requests, "_target", None)
    with pytest.raises(TooLarge, match=str(MAX_ANSWERS)):
        requests.explain_request(ask(1, GRADIENT * (MAX_ANSWERS + 1)))
    request = ask(1)
    request.targets.add().targets.extend([pb.Target(index=1)] * (MAX_ANSWERS + 1))
    with pytest.raises(TooLarge, match=str(MAX_ANSWERS)):
        requests.explain_request(request)


def test_too_large_a_tensor_of_targets_is_counted_before_it_is_read(monkeypatch):
    monkeypatch.setattr(oip_requests, "TargetSpec", None)
    targets = np.zeros((1, MAX_ANSWERS + 1), np.int64)
    asked = infer_request(
        "linear", parameters={"candor.explain": "gradient"}, x=rows(1), candor__target=targets
    )
    model = LinearModel()
    model.manifest = SimpleNamespace(input=None)
    with pytest.raises(TooLarge, match=str(MAX_ANSWERS)):
        oip_requests.read_request(asked, model, scalars(asked.parameters))


def test_the_same_method_twice_is_refused_in_words(client):
    x = {"image": np.zeros((1, 3, 64, 64), np.float32)}
    with pytest.raises(InvalidOption, match="gradient is asked for twice"):
        client.explain("photos", GRADIENT * 2000, tensors=x, targets=[[0, 1]])
