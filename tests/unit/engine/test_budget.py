import asyncio
import threading
import time
from dataclasses import replace

import pytest

from candor.engine.deadline import Deadline
from candor.engine.house import Landed
from candor.engine.watch import Watch
from candor.engine.workers import Limits
from candor.errors import DeadlineExceeded, Overloaded, Unavailable
from candor.explain.options import Gradient, IntegratedGradients, Lime, Occlusion
from unit.engine.builders import LinearModel, explain_request, rig, rows, settled

NEVER = Deadline()
LONG = Lime(n_samples=2000)
"""On six features every perturbation there is: 64 samples."""


def slow(slice_s=0.02):
    return LinearModel(slice_s=slice_s, slice_rows=1)


def only(explanation):
    return explanation.answers[0][0][0]


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("method", [Lime(2000), IntegratedGradients(100), Occlusion()])
async def test_a_budget_brings_the_best_so_far_soon_after_it_is_over(method):
    async with rig(slow(0.05)) as house:
        began = time.monotonic()
        explanation = await house.engine.explain(explain_request(method, budget_s=0.2), NEVER)
        answer = only(explanation)
        assert 0.2 <= time.monotonic() - began < 3  # to its end it would take five and more
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
        answer = only(await house.engine.explain(explain_request(Lime(200), budget_s=30), NEVER))
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


async def test_one_who_has_a_budget_does_not_cut_short_one_who_has_none():
    async with rig(slow(0.01)) as house:
        hurried = asyncio.create_task(
            house.engine.explain(explain_request(Lime(2000), budget_s=0.1), NEVER)
        )
        await until(lambda: house.model.n_calls("perturb") >= 1)
        patient = asyncio.create_task(house.engine.explain(explain_request(Lime(2000)), NEVER))
        assert not only(await hurried).complete
        assert not patient.done()
        answer = only(await patient)
        assert (answer.complete, answer.cache) == (True, "coalesced")
        assert house.model.n_calls("perturb") == 64  # computed once: every mask there is


async def test_the_largest_budget_aboard_decides_when_the_work_stops():
    async with rig(slow(0.01)) as house:
        budgets = (0.05, 0.3)
        asking = [
            asyncio.create_task(
                house.engine.explain(explain_request(Lime(2000), budget_s=budget), NEVER)
            )
            for budget in budgets
        ]
        short, long = [only(await task) for task in asking]
        assert not short.complete
        assert not long.complete
        evaluated = [a.attribution.trust["n_evaluations"] for a in (short, long)]
        assert evaluated[0] < evaluated[1] < 64
        await settled(house)
        assert house.model.n_calls("perturb") < 64


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
    async with rig(slow()) as house:
        with pytest.raises(DeadlineExceeded):
            await house.engine.explain(explain_request(LONG), Deadline.after(0.1))
        await settled(house)
        stopped_at = house.model.n_calls("perturb")
        await asyncio.sleep(0.1)
        assert house.model.n_calls("perturb") == stopped_at < 12


async def test_cancellation_stops_the_work_within_a_slice():
    hold = threading.Event()
    hold.set()
    async with rig(LinearModel(slice_rows=1, hold=hold)) as house:
        house.model.slice_s = 0.005
        task = asyncio.create_task(house.engine.explain(explain_request(LONG), NEVER))
        await until(lambda: house.model.n_calls("perturb") >= 3)
        hold.clear()  # the next slice stands still
        await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        before = house.model.n_calls("perturb")
        hold.set()
        await settled(house)
        await asyncio.sleep(0.05)
        assert house.model.n_calls("perturb") == before


async def test_predictions_go_on_at_once_while_long_explanations_fill_every_slot():
    async with rig(slow(1.0), limits=Limits(slots=2)) as house:
        long = [
            asyncio.create_task(house.engine.explain(explain_request(LONG, x=rows(1, n)), NEVER))
            for n in range(4)
        ]
        await until(lambda: house.model.n_calls("perturb") >= 2)
        house.model.slice_s = 0  # for what begins from now on; two slices still sleep
        began = time.monotonic()
        await house.engine.explain(explain_request(Gradient(), x=rows(1, 99)), NEVER)
        assert time.monotonic() - began < 0.9
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
    async with rig(slow(0.005), limits=limits) as house:
        first = asyncio.create_task(house.engine.explain(explain_request(Lime(50)), NEVER))
        await until(lambda: house.model.n_calls("perturb") >= 1)
        others = [house.engine.explain(explain_request(Lime(50)), NEVER) for _ in range(5)]
        statuses = [only(e).cache for e in await asyncio.gather(first, *others)]
        assert statuses == ["miss", *["coalesced"] * 5]


async def test_a_cached_long_explanation_is_served_even_when_every_place_is_taken():
    limits = Limits(slots=1, explain_queue=0)
    async with rig(limits=limits) as house:
        await house.engine.explain(explain_request(Lime(50)), NEVER)
        with house.workers.places.enter("linear"):
            assert only(await house.engine.explain(explain_request(Lime(50)), NEVER)).cache == "hit"


async def test_one_request_of_many_rows_takes_no_larger_share_than_one_of_few():
    async with rig(slow(0.004), limits=Limits(slots=1)) as house:
        few = explain_request(Lime(50), x=rows(1, 77))
        await house.engine.explain(replace(few, cache="bypass"), NEVER)
        own = house.model.n_calls("perturb")
        house.model.calls.clear()
        many = asyncio.create_task(
            house.engine.explain(explain_request(Lime(50), x=rows(12)), NEVER)
        )
        await until(lambda: house.model.n_calls("perturb") >= 1)
        began = house.model.n_calls("perturb")
        await house.engine.explain(few, NEVER)
        assert house.model.n_calls("perturb") - began <= 2 * own + 4
        await many


async def test_draining_finishes_what_is_inside_and_refuses_what_is_new_and_long():
    async with rig(slow(0.005)) as house:
        inside = asyncio.create_task(house.engine.explain(explain_request(Lime(50)), NEVER))
        await until(lambda: house.model.n_calls("perturb") >= 1)
        draining = asyncio.create_task(house.workers.drain(5))
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await house.engine.explain(explain_request(Lime(50), x=rows(1, 5)), NEVER)
        await house.engine.explain(explain_request(Gradient()), NEVER)
        assert await draining
        assert only(await inside).complete
