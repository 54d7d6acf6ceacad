import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest

from candor.engine.deadline import Deadline
from candor.engine.request import TargetSpec
from candor.errors import InvalidInput
from candor.explain.options import Gradient, IntegratedGradients, Lime, Occlusion
from unit.engine.builders import (
    Doled,
    LinearModel,
    aboard,
    explain_request,
    long_lime,
    rig,
    rows,
    until,
)

NEVER = Deadline()


def statuses(explanation):
    return [answer.cache for method in explanation.answers for row in method for answer in row]


def flat(explanation):
    return [answer for method in explanation.answers for row in method for answer in row]


async def test_what_was_answered_is_answered_again_without_the_model():
    async with rig() as house:
        request = explain_request(Gradient(), Occlusion(), long_lime(), x=rows(2))
        first = await house.engine.explain(request, NEVER)
        house.model.calls.clear()
        second = await house.engine.explain(request, NEVER)
        assert house.model.calls == []
        assert statuses(first) == ["miss"] * 6
        assert statuses(second) == ["hit"] * 6
        for one, other in zip(flat(first), flat(second), strict=True):
            assert one.key == other.key != ""
            np.testing.assert_array_equal(one.attribution.values, other.attribution.values)
            assert one.attribution.trust == other.attribution.trust
        for name, array in first.prediction.outputs.items():
            np.testing.assert_array_equal(second.prediction.outputs[name], array)
        np.testing.assert_array_equal(second.prediction.scores.score, first.prediction.scores.score)
        assert house.value("candor_cache_total", kind="explanation", status="hit") == 6
        assert house.value("candor_cache_total", kind="explanation", status="miss") == 6


async def test_only_what_is_missing_is_computed():
    async with rig() as house:
        await house.engine.explain(explain_request(x=rows(2)), NEVER)
        house.model.calls.clear()
        explanation = await house.engine.explain(explain_request(x=rows(4)), NEVER)
        # the generator's first rows are the same
        np.testing.assert_array_equal(rows(4)[:2], rows(2))
        assert statuses(explanation) == ["hit", "hit", "miss", "miss"]
        assert house.model.calls == [("gradient", 2)]
        expected = house.model._quiet(rows(4)).score
        np.testing.assert_allclose(explanation.prediction.scores.score, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"methods": (Gradient("signed"),)},
        {"targets": ((TargetSpec(0),),)},
        {"explained": "probability"},
        {"output": "probabilities"},
        {"segments": np.zeros((1, 6), np.int32)},
    ],
)
async def test_another_question_is_another_answer(change):
    async with rig() as house:
        request = explain_request()
        await house.engine.explain(request, NEVER)
        explanation = await house.engine.explain(replace(request, **change), NEVER)
        assert statuses(explanation) == ["miss"]


async def test_another_model_behind_the_same_name_is_another_answer():
    async with rig() as house:
        await house.engine.explain(explain_request(), NEVER)
        house.model.id = replace(house.model.id, digest="e" * 64)
        explanation = await house.engine.explain(explain_request(), NEVER)
        assert statuses(explanation) == ["miss"]


async def test_options_spelt_out_are_those_left_to_the_default():
    async with rig() as house:
        await house.engine.explain(explain_request(Occlusion()), NEVER)
        spelt = explain_request(Occlusion(window=(1,), stride=(1,), baseline=0.0))
        assert statuses(await house.engine.explain(spelt, NEVER)) == ["hit"]


async def test_bypass_neither_reads_nor_writes():
    async with rig() as house:
        request = explain_request(Gradient(), Occlusion(), cache="bypass")
        assert statuses(await house.engine.explain(request, NEVER)) == ["bypass"] * 2
        assert len(house.memory) == 0
        stored = await house.engine.explain(replace(request, cache="use"), NEVER)
        assert statuses(stored) == ["miss"] * 2
        house.model.calls.clear()
        assert statuses(await house.engine.explain(request, NEVER)) == ["bypass"] * 2
        assert house.model.n_calls("gradient") == 1


async def test_refresh_computes_anew_and_writes():
    async with rig() as house:
        request = explain_request(Gradient(), Occlusion())
        await house.engine.explain(request, NEVER)
        house.model.weights[:] += 1
        fresh = await house.engine.explain(replace(request, cache="refresh"), NEVER)
        assert statuses(fresh) == ["miss"] * 2
        again = await house.engine.explain(request, NEVER)
        assert statuses(again) == ["hit"] * 2
        for one, other in zip(flat(fresh), flat(again), strict=True):
            np.testing.assert_array_equal(one.attribution.values, other.attribution.values)


async def test_a_fresh_seed_is_never_kept_and_differs():
    async with rig() as house:
        request = explain_request(Lime(n_samples=20, seed=-1))
        first, second = [await house.engine.explain(request, NEVER) for _ in range(2)]
        assert statuses(first) == statuses(second) == ["bypass"]
        assert flat(first)[0].key == ""
        assert len(house.memory) == 0
        seeds = {flat(e)[0].attribution.trust["options"]["seed"] for e in (first, second)}
        assert len(seeds) == 2


@pytest.mark.parametrize(
    ("method", "call"),
    [(Gradient(), "gradient"), (IntegratedGradients(), "path"), (Lime(50), "perturb")],
)
async def test_twenty_equal_questions_at_once_are_one_computation(method, call):
    async with rig() as house:
        request = explain_request(method)
        await house.engine.explain(replace(request, cache="bypass"), NEVER)
        n_calls = house.model.n_calls(call)
        house.model.calls.clear()
        house.model.hold = threading.Event()
        asking = [asyncio.create_task(house.engine.explain(request, NEVER)) for _ in range(20)]
        await until(lambda: aboard(house) == 20)
        house.model.hold.set()
        explanations = await asyncio.gather(*asking)
        assert house.model.n_calls(call) == n_calls
        assert house.model.n_calls("run") <= 1
        assert sorted(status for e in explanations for status in statuses(e)) == [
            *["coalesced"] * 19,
            "miss",
        ]
        values = [flat(e)[0].attribution.values for e in explanations]
        assert all(np.array_equal(value, values[0]) for value in values)
        assert house.value("candor_cache_total", kind="explanation", status="coalesced") == 19


async def test_requests_that_overlap_share_what_they_have_in_common():
    hold = threading.Event()
    async with rig(LinearModel(hold=hold)) as house:
        one = asyncio.create_task(house.engine.explain(explain_request(x=rows(2)), NEVER))
        await until(lambda: aboard(house) == 2)
        two = asyncio.create_task(house.engine.explain(explain_request(x=rows(3)), NEVER))
        await until(lambda: aboard(house) == 2 + 3)
        hold.set()
        assert statuses(await one) == ["miss"] * 2
        assert statuses(await two) == ["coalesced", "coalesced", "miss"]
        assert sorted(size for _, size in house.model.calls) == [1, 2]


@pytest.mark.parametrize("cache", ["bypass", "refresh"])
async def test_who_wants_it_computed_anew_does_not_join_others(cache):
    hold = threading.Event()
    async with rig(LinearModel(hold=hold)) as house:
        request = explain_request()
        both = [
            asyncio.create_task(house.engine.explain(each, NEVER))
            for each in (request, replace(request, cache=cache))
        ]
        await until(lambda: aboard(house) == 2)
        hold.set()
        await asyncio.gather(*both)
        # computed twice, though perhaps in one run
        assert sum(rows for name, rows in house.model.calls if name == "gradient") == 2


async def test_a_leader_who_leaves_does_not_take_the_answer_from_those_who_follow():
    hold = Doled()
    async with rig(LinearModel(hold=hold, holds="perturb")) as house:
        request = explain_request(Lime(300))
        leader = asyncio.create_task(house.engine.explain(request, NEVER))
        hold.let(1)
        await until(lambda: house.model.n_calls("perturb") == 2)
        follower = asyncio.create_task(house.engine.explain(request, NEVER))
        await until(lambda: aboard(house) == 2)
        leader.cancel()
        await asyncio.wait({leader})
        hold.let(100)
        explanation = await follower
        assert statuses(explanation) == ["coalesced"]
        assert len(house.memory) == 1


async def test_a_failure_reaches_all_who_share_it_and_is_not_kept():
    model = LinearModel(fail=InvalidInput("no"), hold=threading.Event())
    async with rig(model) as house:
        asking = [
            asyncio.create_task(house.engine.explain(explain_request(), NEVER)) for _ in range(5)
        ]
        await until(lambda: aboard(house) == 5)
        model.hold.set()
        failures = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(failure) for failure in failures] == [InvalidInput] * 5
        assert house.model.n_calls("gradient") == 1
        model.fail = None
        assert statuses(await house.engine.explain(explain_request(), NEVER)) == ["miss"]


async def test_answers_that_are_shared_cannot_be_changed_by_one_who_got_them():
    async with rig() as house:
        explanation = await house.engine.explain(explain_request(long_lime()), NEVER)
        answer = flat(explanation)[0].attribution
        for array in (answer.values, answer.segments):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


async def test_a_kept_answer_does_not_hold_its_whole_batch_in_memory():
    async with rig() as house:
        await house.engine.explain(explain_request(x=rows(50)), NEVER)
        for kept in house.memory._kept.values():
            entry = kept.value
            arrays = [entry.attribution.values, entry.scores.score, *entry.outputs.values()]
            assert all(array.base is None for array in arrays)


async def test_a_cache_that_is_too_small_is_no_error_and_says_so():
    async with rig(memory_bytes=100) as house:
        for _ in range(2):
            explanation = await house.engine.explain(explain_request(), NEVER)
            assert statuses(explanation) == ["miss"]
        assert house.value("candor_cache_errors_total", tier="memory", reason="too_large") == 2


async def test_a_cache_that_is_turned_off_complains_of_nothing():
    async with rig(memory_bytes=0) as house:
        await house.engine.explain(explain_request(), NEVER)
        assert house.value("candor_cache_errors_total", tier="memory", reason="too_large") == 0


def test_fresh_event_loops_one_after_another_find_the_house_in_order():
    async def ask():
        async with rig() as house:
            request = explain_request(Gradient(), long_lime(), x=rows(2))
            explanations = await asyncio.gather(
                *(house.engine.explain(request, NEVER) for _ in range(5))
            )
            return statuses(explanations[0])

    for _ in range(5):
        assert set(asyncio.run(ask())) <= {"miss", "coalesced", "hit"}
