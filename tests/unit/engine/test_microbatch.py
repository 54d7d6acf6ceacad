"""Brief work that comes at the same time shares a run, and nothing else."""

import asyncio
import threading
from contextlib import nullcontext

import numpy as np
import pytest

from candor.engine import microbatch
from candor.engine.deadline import Deadline
from candor.engine.request import PredictRequest
from candor.engine.workers import Limits
from candor.errors import InvalidInput, Unavailable
from candor.result import Tensors
from candor.spans import Trace, enter
from unit.engine.builders import Brevity, Joining, LinearModel, gauges, rig, rows

NEVER = Deadline()


def brief(**parts):
    return LinearModel(brevity=Brevity(brief=True), **parts)


async def ask(house, x, deadline=NEVER):
    return await house.engine.predict(PredictRequest("linear", Tensors({"x": x})), deadline)


async def ask_all(house, inputs):
    return await asyncio.gather(*(ask(house, x) for x in inputs), return_exceptions=True)


def sizes(model):
    return [n for _, n in model.calls]


async def test_who_comes_together_shares_a_run_and_gets_the_own_answer():
    model, inputs = brief(), [rows(n, seed=n) for n in (1, 2, 1, 3)]
    async with rig(model) as house:
        together = await ask_all(house, inputs)
        assert sizes(model) == [7]
        alone = [await ask(house, x) for x in inputs]
    assert sizes(model) == [7, 1, 2, 1, 3]
    for shared, own in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            shared.outputs["probabilities"], own.outputs["probabilities"], rtol=1e-6
        )
    assert not gauges(house.metrics)


@pytest.mark.parametrize(("longest_s", "runs"), [(60.0, [5]), (-1.0, [1] * 5)])
async def test_who_comes_some_turns_later_is_waited_for_but_not_for_long(
    monkeypatch, longest_s, runs
):
    monkeypatch.setattr(microbatch, "_LONGEST_S", longest_s)
    model = brief()

    async def later(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        return await ask(house, rows(1))

    async with rig(model) as house:
        await asyncio.gather(*(later(3 * n) for n in range(5)))
    assert sizes(model) == runs


async def test_nobody_waits_for_who_comes_much_later():
    model = brief()
    async with rig(model) as house:
        async with asyncio.timeout(30):
            first = await ask(house, rows(1))
        second = await ask(house, rows(1))
    assert sizes(model) == [1, 1]
    assert first.n_rows == second.n_rows == 1


async def test_one_bad_row_fails_alone():
    model = brief()
    wrong = rows(1).astype(np.float64)
    async with rig(model) as house:
        first, bad, last = await ask_all(house, [rows(1), wrong, rows(1)])
    assert isinstance(bad, InvalidInput)
    assert first.n_rows == last.n_rows == 1


async def test_a_run_is_no_larger_than_it_may_be():
    model = brief(joining=Joining(most=4))
    async with rig(model) as house:
        answers = await ask_all(house, [rows(3), rows(2), rows(2), rows(9), rows(1)])
    assert [answer.n_rows for answer in answers] == [3, 2, 2, 9, 1]
    assert sizes(model) == [3, 4, 9, 1]


async def test_so_many_requests_share_a_run_and_no_more():
    model = brief(joining=Joining(most=1000))
    async with rig(model) as house:
        await ask_all(house, [rows(1)] * 40)
    assert sum(sizes(model)) == 40
    assert max(sizes(model)) == 16


@pytest.mark.parametrize(
    "joining", [Joining(independent=False), Joining(most=1)], ids=["mixes", "single"]
)
async def test_rows_that_may_not_share_a_run_do_not(joining):
    model = brief(joining=joining)
    async with rig(model) as house:
        await ask_all(house, [rows(1)] * 3)
    assert sizes(model) == [1, 1, 1]


async def test_whether_rows_are_alike_is_found_out_in_a_thread_as_soon_as_they_are_brief():
    class Learning(Brevity):
        def timed(self, job, rows):
            self.brief = rows == 1
            return nullcontext()

    class Watched(Joining):
        def alike(self, tensors):
            self.thread = threading.current_thread()
            return super().alike(tensors)

    model = LinearModel(joining=Watched(tried=False), brevity=Learning())
    async with rig(model) as house:
        await ask(house, rows(2))
        assert not model.joining.tried
        await ask(house, rows(1))
        assert model.joining.tried
        assert model.joining.thread is not threading.current_thread()
        model.calls.clear()
        await ask_all(house, [rows(1)] * 2)
    assert sizes(model) == [2]


async def test_other_shapes_and_outputs_run_by_themselves():
    model = brief()
    async with rig(model) as house:
        plain = PredictRequest("linear", Tensors({"x": rows(1)}))
        scored = PredictRequest("linear", Tensors({"x": rows(1)}), scores=True)
        await asyncio.gather(*(house.engine.predict(one, NEVER) for one in (plain, scored, plain)))
    assert sorted(sizes(model)) == [1, 2]


async def test_who_goes_away_costs_the_others_nothing():
    model = brief()
    async with rig(model) as house:
        leaves = asyncio.ensure_future(ask(house, rows(1)))
        stays = asyncio.ensure_future(ask(house, rows(1)))
        await asyncio.sleep(0)
        leaves.cancel()
        async with asyncio.timeout(30):
            assert (await stays).n_rows == 1
        with pytest.raises(asyncio.CancelledError):
            await leaves


async def test_a_run_that_fails_fails_who_is_to_blame():
    class Odd(LinearModel):
        def run(self, tensors, outputs=()):
            if (tensors["x"] > 100).any():
                raise InvalidInput("too large")
            return super().run(tensors, outputs)

    model = Odd(brevity=Brevity(brief=True))
    async with rig(model) as house:
        first, bad, last = await ask_all(house, [rows(1), rows(1) + 1000, rows(1)])
    assert isinstance(bad, InvalidInput)
    assert first.n_rows == last.n_rows == 1


async def test_where_no_slot_is_spare_the_threads_do_it():
    model = brief()
    async with rig(model, limits=Limits(slots=1)) as house:
        with house.workers.spare_slot():
            waiting = asyncio.gather(ask(house, rows(1)), ask(house, rows(1)))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        async with asyncio.timeout(30):
            assert [answer.n_rows for answer in await waiting] == [1, 1]


async def test_traced_requests_keep_no_company():
    class Watched(LinearModel):
        def run(self, tensors, outputs=()):
            threads.append((len(tensors["x"]), threading.current_thread()))
            return super().run(tensors, outputs)

    async def traced():
        enter(Trace(None))
        return await ask(house, rows(2))

    threads = []
    async with rig(Watched(brevity=Brevity(brief=True))) as house:
        first = asyncio.create_task(ask(house, rows(1)))
        await asyncio.gather(first, asyncio.create_task(traced()))
    assert all(thread is not threading.current_thread() for n, thread in threads if n > 1)
    assert sum(n for n, _ in threads) == 3


async def test_who_waits_when_the_house_closes_is_told():
    model = brief()
    async with rig(model) as house:
        waiting = asyncio.ensure_future(ask(house, rows(1)))
        await asyncio.sleep(0)
        await house.workers.close()
        with pytest.raises(Unavailable):
            await waiting
