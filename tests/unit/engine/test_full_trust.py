"""Full trust in the engine: a key of its own, slices, and what a budget leaves."""

import pytest

from candor.engine.deadline import Deadline
from candor.errors import DeadlineExceeded
from candor.explain.examination import FIGURES
from candor.explain.explainers import INTERACTIVE
from candor.explain.options import Gradient
from unit.engine.builders import LinearModel, explain_request, rig

NEVER = Deadline()


def only(explanation):
    return explanation.answers[0][0][0]


def slow(slice_s=0.05):
    return LinearModel(slice_s=slice_s, slice_rows=4)


async def test_full_and_basic_answers_are_kept_apart():
    async with rig() as house:
        basic = only(await house.engine.explain(explain_request(Gradient()), NEVER))
        full = only(await house.engine.explain(explain_request(Gradient(), trust="full"), NEVER))
        assert (basic.cache, full.cache) == ("miss", "miss")
        assert len({basic.key, full.key}) == 2
        assert basic.attribution.trust["trust"] == "basic"
        assert full.attribution.trust["trust"] == "full"
        for level, key in (("basic", basic.key), ("full", full.key)):
            again = only(
                await house.engine.explain(explain_request(Gradient(), trust=level), NEVER)
            )
            assert (again.cache, again.key) == ("hit", key)


async def test_a_method_of_one_run_leaves_its_map_when_the_budget_is_over():
    assert Gradient in INTERACTIVE
    async with rig(slow()) as house:
        request = explain_request(Gradient(), trust="full", budget_s=0.3)
        answer = only(await house.engine.explain(request, NEVER))
        assert house.model.n_calls() <= 8  # of 26: no more than the budget has room for
        assert not answer.complete
        trust = answer.attribution.trust
        assert answer.attribution.values.shape == (6,)
        assert answer.attribution.values.any()
        missing = {figure for figure in FIGURES if trust["figures"][figure] is None}
        assert missing
        assert set(trust["examined"]["not_measured"]) == missing
        assert len(house.memory) == 0


async def test_a_deadline_ends_an_examination():
    async with rig(slow()) as house:
        request = explain_request(Gradient(), trust="full")
        with pytest.raises(DeadlineExceeded):
            await house.engine.explain(request, Deadline.after(0.2))


async def test_the_estimate_is_what_it_takes():
    async with rig() as house:
        request = explain_request(Gradient(), trust="full")
        estimate = await house.engine.estimate(request)
        answer = only(await house.engine.explain(request, NEVER))
        n_prediction = 1
        assert estimate.model_calls == answer.attribution.trust["n_evaluations"] + n_prediction
