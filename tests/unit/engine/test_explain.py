import asyncio
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from candor.engine.deadline import Deadline
from candor.engine.extent import MAX_ANSWERS
from candor.engine.request import TargetSpec
from candor.errors import (
    InvalidArgument,
    InvalidInput,
    InvalidOption,
    InvalidTarget,
    NotFound,
    TooLarge,
    Unsupported,
)
from candor.explain.explainers import INTERACTIVE
from candor.explain.options import Cam, Gradient, IntegratedGradients, Lime, Occlusion
from candor.explain.question import Question
from candor.result import Target
from unit.engine.builders import (
    PATIENCE_S,
    LinearModel,
    explain_request,
    gauges,
    idle,
    long_lime,
    rig,
    rows,
    settled,
)

NEVER = Deadline()
ALL = (Gradient(), IntegratedGradients(), Occlusion(), long_lime())


def statuses(explanation):
    return [answer.cache for method in explanation.answers for row in method for answer in row]


async def test_answers_stand_by_method_row_and_target():
    async with rig() as house:
        x = rows(3)
        targets = ((TargetSpec("cat"), TargetSpec("dog-cat")), (TargetSpec(2),), ())
        request = explain_request(*ALL, x=x, targets=targets)
        explanation = await house.engine.explain(request, NEVER)
        names = [method[0][0].attribution.method for method in explanation.answers]
        assert names == ["gradient", "integrated_gradients", "occlusion", "lime"]
        assert [[len(row) for row in method] for method in explanation.answers] == [[2, 1, 1]] * 4
        top = int(house.model._quiet(x).score[2].argmax())
        for method in explanation.answers:
            aims = [
                (trust["target"]["plus"], trust["target"]["minus"])
                for row in method
                for trust in (answer.attribution.trust for answer in row)
            ]
            assert aims == [(0, None), (1, 0), (2, None), (top, None)]


async def test_each_row_gets_the_answer_it_would_get_alone():
    async with rig() as house:
        x = rows(4)
        together = await house.engine.explain(explain_request(*ALL, x=x, cache="bypass"), NEVER)
        for row in range(4):
            request = explain_request(*ALL, x=x[row : row + 1], cache="bypass")
            alone = await house.engine.explain(request, NEVER)
            for method in range(len(ALL)):
                np.testing.assert_allclose(
                    together.answers[method][row][0].attribution.values,
                    alone.answers[method][0][0].attribution.values,
                    rtol=1e-5,
                    atol=1e-6,
                )


async def test_the_values_are_the_explainers_own():
    async with rig() as house:
        x = rows()
        explanation = await house.engine.explain(explain_request(x=x), NEVER)
        question = Question(x, Target())
        (expected,) = INTERACTIVE[Gradient](LinearModel(), [question], Gradient())
        answer = explanation.answers[0][0][0]
        np.testing.assert_array_equal(answer.attribution.values, expected.values)
        assert answer.attribution.trust == expected.trust
        assert answer.complete


async def test_the_prediction_comes_out_of_the_explaining_run_itself():
    async with rig() as house:
        x = rows(3)
        explanation = await house.engine.explain(explain_request(x=x), NEVER)
        assert house.model.calls == [("gradient", 3)]
        prediction = explanation.prediction
        expected = house.model._quiet(x)
        np.testing.assert_array_equal(prediction.outputs["probabilities"], expected.probability)
        np.testing.assert_array_equal(prediction.scores.score, expected.score)


async def test_several_methods_and_targets_of_a_row_bring_one_prediction():
    async with rig() as house:
        targets = ((TargetSpec(0), TargetSpec(1)),)
        request = explain_request(Gradient(), Occlusion(), x=rows(2), targets=targets)
        explanation = await house.engine.explain(request, NEVER)
        assert house.model.n_calls("gradient") == 1
        assert house.model.calls[0] == ("gradient", 4)  # two rows, two targets, one run
        assert house.model.n_calls("run") == 0
        assert explanation.prediction.outputs["probabilities"].shape == (2, 3)


async def test_where_scores_cannot_tell_the_outputs_the_model_runs_once():
    async with rig(LinearModel(rebuilds=False)) as house:
        request = explain_request(Gradient(), Gradient("signed"), Occlusion(), x=rows(2))
        explanation = await house.engine.explain(request, NEVER)
        assert house.model.n_calls("run") == 1
        assert set(explanation.prediction.outputs) == {"probabilities", "twice"}


async def test_an_output_of_ones_choice_is_not_taken_for_the_default_one():
    async with rig() as house:
        request = explain_request(output="probabilities")
        await house.engine.explain(request, NEVER)
        assert house.model.n_calls("run") == 1
        with pytest.raises(NotFound):
            await house.engine.explain(replace(request, output="other"), NEVER)


async def test_bulk_methods_alone_bring_one_prediction_a_row():
    async with rig() as house:
        request = explain_request(Occlusion(), Lime(50), Lime(60), x=rows(3))
        explanation = await house.engine.explain(request, NEVER)
        assert [call for call in house.model.calls if call[0] == "run"] == [("run", 1)] * 3
        # Row by row, as it was run: matrices are multiplied in other orders.
        expected = np.concatenate([house.model._quiet(row[None]).probability for row in rows(3)])
        np.testing.assert_array_equal(explanation.prediction.outputs["probabilities"], expected)


async def test_large_batches_are_cut_so_that_none_holds_its_slot_for_long():
    async with rig() as house:
        explanation = await house.engine.explain(explain_request(x=rows(150)), NEVER)
        assert sorted(size for _, size in house.model.calls) == [22, 64, 64]
        assert len(explanation.answers[0]) == 150
        assert explanation.prediction.scores.score.shape == (150, 3)


async def test_the_same_question_twice_in_a_request_is_computed_once():
    async with rig() as house:
        x = np.repeat(rows(1), 2, axis=0)
        request = explain_request(x=x)
        explanation = await house.engine.explain(request, NEVER)
        assert house.model.calls == [("gradient", 1)]
        assert statuses(explanation) == ["miss"] * 2
        assert explanation.prediction.scores.score.shape == (2, 3)


async def test_answers_say_what_they_cost_and_how_long_each_stage_took():
    async with rig() as house:
        explanation = await house.engine.explain(explain_request(Occlusion()), NEVER)
        timings = explanation.timings_s
        assert set(timings) == {"queue", "prepare", "look_up", "compute", "total"}
        parts = sum(timings[name] for name in ("queue", "prepare", "look_up", "compute"))
        assert timings["total"] == pytest.approx(parts)
        assert explanation.answers[0][0][0].attribution.trust["n_evaluations"] == 7


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (explain_request(model="other"), NotFound, "other"),
        (replace(explain_request(), methods=()), InvalidArgument, "no explanation method"),
        (explain_request(Cam()), Unsupported, "'linear' does not support cam: its head is not"),
        (explain_request(Lime(n_samples=1)), InvalidOption, "n_samples"),
        (explain_request(Occlusion(window=(99,))), InvalidOption, "window"),
        (explain_request(x=rows(0)), InvalidInput, "nothing to explain"),
        (explain_request(x=rows().astype("f8")), InvalidInput, "float32"),
        (explain_request(targets=((TargetSpec("bird"),),)), InvalidTarget, "bird"),
        (explain_request(targets=((TargetSpec(3),),)), InvalidTarget, "0 to 2"),
        (explain_request(x=rows(3), targets=((), ())), InvalidTarget, "2 rows"),
        (explain_request(segments=np.zeros((2, 6), int)), InvalidInput, "segments"),
        (explain_request(segments=np.zeros((1, 6))), InvalidInput, "segments"),
        (explain_request(*ALL, x=rows(1500)), TooLarge, f"6000 .* {MAX_ANSWERS}"),
        (
            explain_request(Gradient(), Lime(50), Gradient()),
            InvalidOption,
            "gradient is asked for twice with the same options",
        ),
        # the output is wrong before the targets are: these are looked up among its classes
        (explain_request(output="nope", targets=((TargetSpec("bird"),),)), NotFound, "'nope'"),
    ],
)
async def test_a_wrong_request_says_what_is_wrong_before_anything_runs(request_, error, words):
    async with rig() as house:
        with pytest.raises(error, match=words) as caught:
            await house.engine.explain(request_, NEVER)
        assert type(caught.value) is error
        assert house.model.calls == []
        assert gauges(house.metrics) == {}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_a_row_that_is_not_finite_is_named_with_its_place(value):
    async with rig() as house:
        x = rows(3)
        x[2, 4] = value
        with pytest.raises(InvalidInput, match=rf"^row 2: input 'x' holds {value} at \[4\]"):
            await house.engine.explain(explain_request(x=x), NEVER)


async def test_a_row_that_only_its_run_shows_to_be_wrong_is_named_and_fails_alone():
    # "why the top class rather than this one" means nothing where this one is the top class
    model = LinearModel()
    x = rows(20)
    top = model._quiet(x).score.argmax(axis=1)
    good, bad = x[top != 1][:2], x[top == 1][:1]
    mixed = np.concatenate([good, bad])
    versus = ((TargetSpec(None, 1),),)
    async with rig(model) as house:
        asking = asyncio.gather(
            house.engine.explain(explain_request(x=mixed, targets=versus), NEVER),
            house.engine.explain(explain_request(x=good[:1], targets=versus), NEVER),
            return_exceptions=True,
        )
        failed, answered = await asking
        assert isinstance(failed, InvalidTarget)
        assert str(failed).startswith("row 2: ")
        assert not isinstance(answered, BaseException)
        again = await house.engine.explain(explain_request(x=good, targets=versus), NEVER)
        assert len(again.answers[0]) == 2


async def test_a_long_explanation_that_fails_names_its_row_and_stops_the_others():
    class Stands(LinearModel):
        """Perturbs the wrong row at once, and the others when they may."""

        def perturb(self, x, baseline, segments, masks):
            if (x != wrong).any():
                assert may.wait(PATIENCE_S)
            return super().perturb(x, baseline, segments, masks)

    may, model = threading.Event(), Stands()
    x = rows(20)
    top = model._quiet(x).score.argmax(axis=1)
    good, wrong = x[top != 1], x[top == 1][:1]
    mixed = np.concatenate([good[:1], wrong, good[1:3]])
    async with rig(model) as house:
        request = explain_request(Lime(2000), x=mixed, targets=((TargetSpec(None, 1),),))
        with pytest.raises(InvalidTarget, match=r"^row 1: "):
            await house.engine.explain(request, NEVER)
        may.set()
        await settled(house)
        await idle(house)
        assert house.model.n_calls("perturb") <= 2  # of the 28 that four rows take


async def test_a_defect_travels_as_it_is_and_is_not_kept():
    model = LinearModel(fail=ZeroDivisionError("defect"))
    async with rig(model) as house:
        for methods in ((Gradient(),), (Occlusion(),)):
            with pytest.raises(ZeroDivisionError):
                await house.engine.explain(explain_request(*methods), NEVER)
        model.fail = None
        explanation = await house.engine.explain(explain_request(Gradient(), Occlusion()), NEVER)
        assert statuses(explanation) == ["miss", "miss"]


async def test_every_answer_is_reported_and_progress_comes_before_it():
    async with rig(LinearModel(slice_rows=2)) as house:
        reports = []
        request = explain_request(Gradient(), Occlusion(), x=rows(2))
        explanation = await house.engine.explain(request, NEVER, reports.append)
        for method, name in enumerate(["gradient", "occlusion"]):
            for row in range(2):
                mine = [r for r in reports if (r.method, r.row, r.target) == (name, row, 0)]
                shares = [report.progress for report in mine]
                assert shares == sorted(shares)
                assert shares.count(1.0) == 1
                assert shares[-1] == 1.0
                expected = explanation.answers[method][row][0].attribution
                assert mine[-1].partial is expected
        assert any(0 < report.progress < 1 for report in reports)


async def test_partial_maps_come_on_the_way_of_a_long_one():
    async with rig(LinearModel(slice_s=0.02, slice_rows=4)) as house:
        reports = []
        request = explain_request(Lime(n_samples=200))
        await house.engine.explain(request, NEVER, reports.append)
        partials = [r.partial for r in reports if r.progress < 1 and r.partial is not None]
        assert partials
        assert not partials[0].trust["complete"]


async def test_trust_is_plain_json():
    async with rig() as house:
        explanation = await house.engine.explain(explain_request(*ALL), NEVER)
        for method in explanation.answers:
            json.dumps(dict(method[0][0].attribution.trust), allow_nan=False)
