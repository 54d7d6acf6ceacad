"""Explanations only of the rows that call for one."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from candor.engine.condition import parse_condition
from candor.engine.deadline import Deadline
from candor.engine.request import Condition
from candor.errors import InvalidInput, InvalidOption
from candor.explain.options import Gradient, IntegratedGradients, Lime, Occlusion
from unit.engine.builders import N_FEATURES, LinearModel, explain_request, gauges, rig, rows

NEVER = Deadline()
METHODS = (Gradient(), IntegratedGradients(), Occlusion(), Lime(n_samples=40))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("top_probability<0.6", Condition("<", 0.6)),
        (" top_probability >= 1e-3 ", Condition(">=", 0.001)),
        ("top_probability<=1", Condition("<=", 1.0)),
        ("top_probability>0", Condition(">", 0.0)),
    ],
)
def test_conditions_are_read(text, expected):
    assert parse_condition(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "always", "top_probability", "top_probability<", "top_probability=0.5", "0.6<0.7",
     "top_probability<1.5", "top_probability<-0.1", "top_probability<nan", "top_probability<1e",
     "top_probability<0.6 or true", "top_probability<\u0660.\u0665", "x" * 10_000],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(InvalidOption, match="expected top_probability, one of") as caught:
        parse_condition(text)
    assert len(str(caught.value)) < 300


def certain_and_not(model, n=8):
    """Rows, their top probabilities, and a bound that parts them in the middle."""
    x = rows(n, seed=11)
    top = model._quiet(x).probability.max(axis=1)
    return x, top, float(np.median(top))


@pytest.mark.parametrize("method", METHODS, ids=lambda options: type(options).__name__)
@pytest.mark.parametrize("sense", ["<", ">="])
async def test_only_rows_that_meet_the_condition_are_explained(method, sense):
    async with rig() as house:
        x, top, bound = certain_and_not(house.model)
        request = explain_request(method, x=x, condition=Condition(sense, bound))
        explanation = await house.engine.explain(request, NEVER)
        wanted = top < bound if sense == "<" else top >= bound
        assert 0 < wanted.sum() < len(x)
        everywhere = await house.engine.explain(replace(request, condition=None), NEVER)
        for row, (answer,) in enumerate(explanation.answers[0]):
            full = everywhere.answers[0][row][0].attribution
            assert answer.attribution.values.shape == full.values.shape
            if wanted[row]:
                assert answer.not_explained == ""
                np.testing.assert_array_equal(answer.attribution.values, full.values)
            else:
                assert np.isnan(answer.attribution.values).all()
                trust = answer.attribution.trust
                assert trust["not_explained"] == answer.not_explained
                assert f"{top[row]:.4g} is not {sense} {bound:g}" in answer.not_explained
                assert trust["probability"] == pytest.approx(top[row], rel=1e-5)
                assert trust["target"] == full.trust["target"]
                assert (trust["n_evaluations"], answer.key) == (0, "")
        np.testing.assert_allclose(explanation.prediction.scores.probability.max(axis=1), top)


async def test_the_work_is_saved():
    async with rig() as house:
        x, top, bound = certain_and_not(house.model)
        request = explain_request(Lime(n_samples=40), x=x, condition=Condition("<", bound))
        await house.engine.explain(request, NEVER)
        perturbed = sum(n for name, n in house.model.calls if name == "perturb")
        assert house.model.n_calls("run") == 1  # all rows together; none is predicted again
        house.model.calls.clear()
        await house.engine.explain(replace(request, condition=None, cache="bypass"), NEVER)
        everything = sum(n for name, n in house.model.calls if name == "perturb")
        assert perturbed * len(x) == everything * (top < bound).sum() > 0  # as many samples a row
        house.model.calls.clear()
        nobody = explain_request(Lime(), x=x, condition=Condition(">", 1.0), cache="bypass")
        explanation = await house.engine.explain(nobody, NEVER)
        assert house.model.calls == [("run", len(x))]
        assert explanation.statuses == {"bypass"}


async def test_what_is_known_is_not_told_of_a_row_that_does_not_call_for_it():
    async with rig() as house:
        request = explain_request(Gradient(), x=rows(2))
        await house.engine.explain(request, NEVER)
        over = await house.engine.explain(replace(request, condition=Condition(">", 1.0)), NEVER)
        assert all(answer[0].not_explained for answer in over.answers[0])
        again = await house.engine.explain(replace(request, condition=Condition("<=", 1.0)), NEVER)
        assert again.statuses == {"hit"}
        # nothing of what was not explained was kept or counted
        assert len(house.memory) == 2
        assert house.value("candor_cache_total", kind="explanation", status="hit") == 2
        assert house.value("candor_cache_total", kind="explanation", status="bypass") == 0


async def test_rows_that_hit_need_no_run_to_be_judged():
    async with rig() as house:
        x, _, bound = certain_and_not(house.model)
        request = explain_request(Gradient(), x=x, condition=Condition("<=", 1.0))
        await house.engine.explain(request, NEVER)
        house.model.calls.clear()
        await house.engine.explain(replace(request, condition=Condition("<", bound)), NEVER)
        assert house.model.calls == []


async def test_every_target_and_method_of_a_row_is_passed_over_with_it():
    async with rig() as house:
        x, top, bound = certain_and_not(house.model)
        request = explain_request(*METHODS, x=x, condition=Condition("<", bound))
        reports = []
        explanation = await house.engine.explain(request, NEVER, reports.append)
        for of_method in explanation.answers:
            passed = [bool(answer.not_explained) for (answer,) in of_method]
            assert passed == (top >= bound).tolist()
        done = {(r.method, r.row) for r in reports if r.progress == 1.0}
        assert len(done) == len(METHODS) * len(x)
        assert all(np.isfinite(report.partial.values).all() for report in reports if report.partial)


async def test_another_output_is_judged_by_its_own_probabilities():
    class TwoHeads(LinearModel):
        def subject(self, output=None):
            if output != "wide":
                return super().subject(output)
            head = LinearModel(n_classes=5, labels=(), calls=self.calls)
            rng = np.random.default_rng(8)
            head.weights = rng.normal(size=(N_FEATURES, 5)).astype(np.float32)
            return head

    async with rig(TwoHeads()) as house:
        x = rows(6, seed=3)
        top = house.model.subject("wide")._quiet(x).probability.max(axis=1)
        bound = float(np.median(top))
        request = explain_request(Gradient(), x=x, output="wide", condition=Condition("<", bound))
        explanation = await house.engine.explain(request, NEVER)
        passed = [bool(answer.not_explained) for (answer,) in explanation.answers[0]]
        assert passed == (top >= bound).tolist()


@pytest.mark.filterwarnings("ignore:(overflow|invalid)")
async def test_a_row_whose_scores_are_no_numbers_is_refused_not_passed_over():
    async with rig() as house:
        x = rows(2)
        x[1] = 3e38
        request = explain_request(Gradient(), x=x, condition=Condition("<", 0.5))
        with pytest.raises(InvalidInput, match="row 1"):
            await house.engine.explain(request, NEVER)
        assert gauges(house.metrics) == {}


async def test_conditions_of_others_at_the_same_time_are_their_own():
    async with rig() as house:
        x, top, bound = certain_and_not(house.model)
        senses = ("<", ">=")
        found = await asyncio.gather(*(
            house.engine.explain(
                explain_request(Lime(n_samples=40), x=x, condition=Condition(sense, bound)), NEVER
            )
            for sense in senses
        ))  # fmt: skip
        for sense, explanation in zip(senses, found, strict=True):
            passed = [bool(answer.not_explained) for (answer,) in explanation.answers[0]]
            assert passed == ((top >= bound) if sense == "<" else (top < bound)).tolist()


async def test_a_method_is_ready_when_its_own_answers_are():
    async with rig() as house:
        request = explain_request(Lime(n_samples=40), Gradient(), x=rows(2))
        found = await house.engine.explain(request, NEVER)
        assert 0 < found.ready_s["gradient"] <= found.ready_s["lime"] <= found.timings_s["total"]
        again = await house.engine.explain(request, NEVER)
        assert again.ready_s.keys() == {"gradient", "lime"}
