"""In a full house long explanations are looked up only where that has answered some lately."""

import pytest
from prometheus_client import CollectorRegistry

from candor.engine.deadline import Deadline
from candor.engine.prospects import Prospects
from candor.engine.share import NOBODY, Share
from candor.engine.workers import Limits, Workers
from candor.errors import InvalidInput, Overloaded
from candor.metrics import Metrics
from unit.engine.builders import explain_request, long_lime, rig, rows

ME = Share("me", "1")


@pytest.fixture
async def workers():
    made = Workers(Limits(slots=1, explain_queue=0), Metrics(CollectorRegistry()))
    yield made
    await made.close()


def ask(prospects, outcome=None, share=ME):
    """Whether one was let in; there it is answered, or fails."""
    inside = False
    try:
        with prospects.let_in("m", share):
            inside = True
            if outcome is not None:
                raise outcome
    except (Overloaded, InvalidInput):
        pass
    return inside


def _let_in(prospects):
    with prospects.let_in("m", ME):
        raise AssertionError("nobody is to be here")


async def test_where_there_is_room_all_come_in(workers):
    prospects = Prospects(workers.places)
    assert all(ask(prospects, Overloaded("no", 1.0)) for _ in range(100))


async def test_where_looking_answers_nobody_most_are_refused_at_once(workers):
    prospects = Prospects(workers.places)
    with workers.places.enter("m", ME):
        before = [ask(prospects, Overloaded("no", 1.0)) for _ in range(200)]
        assert before[:30] == [True] * 30
        assert sum(before[-96:]) == 96 / 16
        with pytest.raises(Overloaded, match=r"1 long explanations are waiting .* try again in"):
            _let_in(prospects)
        # What is wrong with a request says nothing of the cache.
        assert sum(ask(prospects, InvalidInput("odd")) for _ in range(96)) == 96 / 16
        # Inputs repeat now: those that are tried are answered, and soon all are.
        after = [ask(prospects) for _ in range(64)]
        assert after[-30:] == [True] * 30
    assert ask(prospects, Overloaded("no", 1.0))


async def test_who_has_less_than_others_always_comes_in():
    workers = Workers(Limits(slots=1, explain_queue=2), Metrics(CollectorRegistry()))
    places = workers.places
    prospects = Prospects(places)
    with places.enter("m", ME), places.enter("m", ME), places.enter("m", ME):
        assert not all(ask(prospects, Overloaded("no", 1.0)) for _ in range(100))
        you = Share("you", "2")
        assert all(ask(prospects, Overloaded("no", 1.0), you) for _ in range(100))
    await workers.close()


async def test_a_full_house_answers_what_the_cache_knows_and_refuses_the_rest():
    async with rig(limits=Limits(slots=1, explain_queue=0)) as built:
        known = explain_request(long_lime(), x=rows(1, seed=1))
        await built.engine.explain(known, Deadline())
        with built.workers.places.enter("linear", NOBODY):
            hit = await built.engine.explain(known, Deadline())
            for seed in range(2, 80):
                with pytest.raises(Overloaded):
                    await built.engine.explain(
                        explain_request(long_lime(), x=rows(1, seed=seed)), Deadline()
                    )
            n_runs = built.model.n_calls()
        assert hit.statuses == {"hit"}
        assert built.value("candor_shed_total", model="linear", reason="queue_full",
                           **{"class": "bulk"}) == 78  # fmt: skip
        # The last of them cost nothing but their refusal.
        with built.workers.places.enter("linear", NOBODY), pytest.raises(Overloaded):
            await built.engine.explain(explain_request(long_lime(), x=rows(1, seed=99)), Deadline())
        assert built.model.n_calls() == n_runs
