import asyncio
import time
from types import SimpleNamespace

import pytest

from candor.engine import bulk, watch
from candor.engine.deadline import Deadline
from candor.engine.house import Landed
from candor.engine.watch import Watch
from candor.engine.workers import Limits
from candor.errors import DeadlineExceeded, Overloaded, Unavailable
from candor.explain.options import Gradient, IntegratedGradients, Lime, Occlusion
from unit.engine.builders import (
    Doled,
    LinearModel,
    aboard,
    explain_request,
    idle,
    rig,
    rows,
    settled,
    until,
)

NEVER = Deadline()
LONG = Lime(n_samples=2000)
"""On six features every perturbation there is: 64 samples."""


def slow(slice_s=0.02):
    return LinearModel(slice_s=slice_s, slice_rows=1)


def only(explanation):
    return explanation.answers[0][0][0]


@pytest.fixture
def ahead(monkeypatch):
    """Lets so many seconds of everybody's budget pass at once."""
    passed = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed))
    for module in (bulk, watch):
        monkeypatch.setattr(module, "time", clock)
    return passed.append


def held(**parts):
    """A model whose long work stands still at every slice until it is let through."""
    return LinearModel(slice_rows=1, hold=Doled(), **parts)


@pytest.mark.parametrize(
    ("method", "program"),
    [(Lime(2000), "perturb"), (IntegratedGradients(100), "path"), (Occlusion(), "perturb")],
)
async def test_a_budget_brings_the_best_so_far_as_soon_as_it_is_over(ahead, method, program):
    async with rig(held(holds=program)) as house:
        request = explain_request(method, budget_s=60)
        asking = asyncio.create_task(house.engine.explain(request, NEVER))
        house.model.hold.let(3)
        await until(lambda: house.model.n_calls(program) == 4)
        assert not asking.done()
        ahead(60)
        house.model.hold.let(1)  # the slice that runs is the last
        explanation = await asking
        answer = only(explanation)
        assert house.model.n_calls(program) == 4
        assert not answer.complete
        assert answer.attribution.trust["complete"] is False
        assert answer.attribution.values.shape == (6,)
        assert explanation.prediction.scores is not None


async def test_an_incomplete_answer_is_not_kept():
    async with rig(slow()) as house:
        await house.engine.explain(explain_request(Lime(200), budget_s=0.05), NEVER)
        assert len(house.memory) == 0
        house.model.slice_s = 0
        answer = only(await house.engine.explain(explain_request(Lime(200)), NEVER))
        assert (answer.complete, answer.cache) == (True, "miss")


async def test_a_budget_that_suffices_changes_nothing():
    async with rig() as house:
        answer = only(await house.engine.explain(explain_request(Lime(200), budget_s=3600), NEVER))
        assert answer.complete
        assert len(house.memory) == 1


async def test_a_budget_of_nothing_runs_on_to_the_first_that_can_be_said():
    async with rig(slow()) as house:
        answer = only(await house.engine.explain(explain_request(Lime(200), budget_s=0), NEVER))
        assert not answer.complete
        assert house.model.n_calls("perturb") == 1


async def test_a_budget_is_not_part_of_the_question():
    async with rig() as house:
        complete = only(await house.engine.explain(explain_request(Lime(200)), NEVER))
        hurried = only(await house.engine.explain(explain_request(Lime(200), budget_s=0), NEVER))
        assert (hurried.cache, hurried.complete) == ("hit", True)
        assert hurried.key == complete.key


async def test_one_who_has_a_budget_does_not_cut_short_one_who_has_none(ahead):
    async with rig(held(holds="perturb")) as house:
        hurried = asyncio.create_task(
            house.engine.explain(explain_request(Lime(2000), budget_s=60), NEVER)
        )
        await until(lambda: aboard(house) == 1)
        patient = asyncio.create_task(house.engine.explain(explain_request(Lime(2000)), NEVER))
        await until(lambda: aboard(house) == 2)
        ahead(60)
        house.model.hold.let(1)
        assert not only(await hurried).complete
        assert not patient.done()
        house.model.hold.let(64)
        answer = only(await patient)
        assert (answer.complete, answer.cache) == (True, "coalesced")
        assert house.model.n_calls("perturb") == 64  # computed once: every mask there is


async def test_the_largest_budget_aboard_decides_when_the_work_stops(ahead):
    async with rig(held(holds="perturb")) as house:
        asking = [
            asyncio.create_task(
                house.engine.explain(explain_request(Lime(2000), budget_s=budget), NEVER)
            )
            for budget in (60, 3600)
        ]
        await until(lambda: aboard(house) == 2)
        house.model.hold.let(2)
        await until(lambda: house.model.n_calls("perturb") == 3)
        ahead(60)
        house.model.hold.let(1)
        short = only(await asking[0])
        house.model.hold.let(3)
        await until(lambda: house.model.n_calls("perturb") == 7)
        ahead(3600)
        house.model.hold.let(1)
        long = only(await asking[1])
        assert not short.complete
        assert not long.complete
        assert [a.attribution.trust["n_evaluations"] for a in (short, long)] == [3, 7]
        await settled(house)
        assert house.model.n_calls("perturb") == 7


async def test_what_anothers_budget_cut_short_is_no_answer_for_one_who_has_none():
    async with rig() as house:
        request = explain_request(Lime(200))
        key = only(await house.engine.explain(request, NEVER)).key
        entry = house.memory.get(key)
        house.memory.forget(key)
        ends = asyncio.Event()

        async def cut_short():
            await ends.wait()
            return {key: Landed(entry, complete=False)}

        with house.engine.house.flights.launch([key], cut_short, Watch())[key] as seat:
            patient = asyncio.create_task(house.engine.explain(request, NEVER))
            await until(lambda: seat.note._watchers)
            ends.set()
            answer = only(await patient)
        assert (answer.complete, answer.cache) == (True, "miss")


async def test_interactive_methods_know_no_budget():
    async with rig(slow()) as house:
        assert only(await house.engine.explain(explain_request(budget_s=0), NEVER)).complete


async def test_each_row_comes_back_however_little_the_budget_left_it():
    async with rig(slow()) as house:
        request = explain_request(Lime(200), x=rows(4), budget_s=0.05)
        explanation = await house.engine.explain(request, NEVER)
        assert [row[0].complete for row in explanation.answers[0]] == [False] * 4


async def test_a_deadline_stops_the_work_within_a_slice_and_says_so():
    async with rig(held(holds="perturb")) as house:
        house.model.hold.let(2)
        with pytest.raises(DeadlineExceeded):
            await house.engine.explain(explain_request(LONG), Deadline.after(0.1))
        house.model.hold.let(100)
        await settled(house)
        await idle(house)
        assert house.model.n_calls("perturb") <= 3


async def test_cancellation_stops_the_work_within_a_slice():
    async with rig(held(holds="perturb")) as house:
        task = asyncio.create_task(house.engine.explain(explain_request(LONG), NEVER))
        house.model.hold.let(3)
        await until(lambda: house.model.n_calls("perturb") == 4)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        house.model.hold.let(100)
        await settled(house)
        await idle(house)
        assert house.model.n_calls("perturb") == 4


async def test_predictions_go_on_at_once_while_long_explanations_fill_every_slot():
    async with rig(held(holds="perturb"), limits=Limits(slots=2)) as house:
        long = [
            asyncio.create_task(house.engine.explain(explain_request(LONG, x=rows(1, n)), NEVER))
            for n in range(4)
        ]
        await until(lambda: house.model.n_calls("perturb") == 2)
        await house.engine.explain(explain_request(Gradient(), x=rows(1, 99)), NEVER)
        assert house.model.n_calls("perturb") == 2  # both stand where they stood
        house.model.hold.let(4 * 64)
        await asyncio.gather(*long)


async def test_too_many_long_explanations_are_refused_at_once_and_the_others_answered():
    limits = Limits(slots=1, explain_queue=2)
    async with rig(slow(0.005), limits=limits) as house:
        asking = [
            asyncio.create_task(
                house.engine.explain(explain_request(Lime(50), x=rows(1, n)), NEVER)
            )
            for n in range(8)
        ]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Overloaded)]
        assert len(refused) == 5  # one slot and two places in the queue
        assert all(error.retry_after_s > 0 for error in refused)
        assert sum(not isinstance(answer, BaseException) for answer in answers) == 3
        assert house.model.n_calls("run") == 3  # those who are refused cost the model nothing
        labels = {"model": "linear", "class": "bulk", "reason": "queue_full"}
        assert house.value("candor_shed_total", **labels) == 5


async def test_those_who_only_wait_for_others_take_no_place():
    limits = Limits(slots=1, explain_queue=0)
    async with rig(held(holds="perturb"), limits=limits) as house:
        asking = [asyncio.create_task(house.engine.explain(explain_request(Lime(50)), NEVER))]
        await until(lambda: house.model.n_calls("perturb") == 1)
        asking += [
            asyncio.create_task(house.engine.explain(explain_request(Lime(50)), NEVER))
            for _ in range(5)
        ]
        await until(lambda: aboard(house) == 6)
        house.model.hold.let(50)
        statuses = [only(e).cache for e in await asyncio.gather(*asking)]
        assert statuses == ["miss", *["coalesced"] * 5]


async def test_a_cached_long_explanation_is_served_even_when_every_place_is_taken():
    limits = Limits(slots=1, explain_queue=0)
    async with rig(limits=limits) as house:
        await house.engine.explain(explain_request(Lime(50)), NEVER)
        with house.workers.places.enter("linear"):
            assert only(await house.engine.explain(explain_request(Lime(50)), NEVER)).cache == "hit"


async def test_one_request_of_many_rows_takes_no_larger_share_than_one_of_few():
    class Told(LinearModel):
        def perturb(self, x, baseline, segments, masks):
            order.append(bool((x == mine).all()))
            return super().perturb(x, baseline, segments, masks)

    order, mine, hold = [], rows(1, 77), Doled()
    model = Told(slice_rows=1, hold=hold, holds="perturb")
    async with rig(model, limits=Limits(slots=1)) as house:
        many = asyncio.create_task(
            house.engine.explain(explain_request(Lime(50), x=rows(12)), NEVER)
        )
        await until(lambda: len(order) == 1)
        few = asyncio.create_task(house.engine.explain(explain_request(Lime(50), x=mine), NEVER))
        labels = {"model": "linear", "class": "bulk"}
        await until(lambda: house.value("candor_queue_depth", **labels) == 1)
        hold.let(13 * 50)
        await asyncio.gather(many, few)
        own, last = sum(order), len(order) - 1 - order[::-1].index(True)
        assert own > 30
        assert last <= 2 * own + 4


async def test_draining_finishes_what_is_inside_and_refuses_what_is_new_and_long():
    async with rig(slow(0.005)) as house:
        inside = asyncio.create_task(house.engine.explain(explain_request(Lime(50)), NEVER))
        await until(lambda: house.model.n_calls("perturb") >= 1)
        draining = asyncio.create_task(house.workers.drain(60))
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await house.engine.explain(explain_request(Lime(50), x=rows(1, 5)), NEVER)
        await house.engine.explain(explain_request(Gradient()), NEVER)
        assert await draining
        assert only(await inside).complete
