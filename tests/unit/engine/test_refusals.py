"""What cannot be explained is refused: overflowing scores, targets of another output, too much."""

from dataclasses import replace

import numpy as np
import pytest

from candor.engine.deadline import Deadline
from candor.engine.extent import MAX_ANSWERS
from candor.engine.request import TargetSpec
from candor.errors import InvalidInput, InvalidTarget, TooLarge
from candor.explain.options import Gradient, IntegratedGradients, Occlusion
from unit.engine.builders import N_FEATURES, LinearModel, explain_request, long_lime, rig, rows

NEVER = Deadline()
ALL = (Gradient(), IntegratedGradients(), Occlusion(), long_lime())


class TwoHeads(LinearModel):
    """Has an output of five classes, "wide", beside that of its three."""

    def subject(self, output: str | None = None) -> LinearModel:
        if output != "wide":
            return super().subject(output)
        head = LinearModel(n_classes=5, labels=())
        head.weights = np.random.default_rng(8).normal(size=(N_FEATURES, 5)).astype(np.float32)
        return head


@pytest.mark.filterwarnings("ignore:(overflow|invalid)")
@pytest.mark.parametrize("method", ALL, ids=lambda options: type(options).__name__)
async def test_a_row_whose_scores_overflow_is_named_and_no_map_is_made_of_them(method):
    x = rows(3)
    x[1] = 3e38
    async with rig() as house:
        with pytest.raises(
            InvalidInput, match=r"^row 1: the model's scores are not finite \((nan|-?inf)"
        ):
            await house.engine.explain(explain_request(method, x=x), NEVER)
        with pytest.raises(InvalidInput, match=r"^row 0: the model's scores are not finite"):
            await house.engine.explain(explain_request(method, x=x[1:2]), NEVER)
        explanation = await house.engine.explain(explain_request(method, x=x[::2]), NEVER)
        assert len(explanation.answers[0]) == 2


# numpy says in words of its own that the square overflows
@pytest.mark.filterwarnings("ignore:overflow")
async def test_a_map_that_overflows_where_the_scores_do_not_is_refused():
    model = LinearModel()
    model.weights[:, 0] = 0
    model.weights[0, 0] = 3e38
    x = np.full((1, 6), 0, dtype=np.float32)
    x[0, 0] = 1
    async with rig(model) as house:
        request = explain_request(Gradient("squared"), x=x, targets=((TargetSpec(0),),))
        with pytest.raises(InvalidInput, match=r"^row 0: the map of gradient is not finite"):
            await house.engine.explain(request, NEVER)


async def test_targets_are_looked_up_among_the_classes_of_the_output_explained():
    async with rig(TwoHeads()) as house:
        asked = explain_request(output="wide")
        explanation = await house.engine.explain(
            replace(asked, targets=((TargetSpec(4), TargetSpec("3-1")),)), NEVER
        )
        aims = [answer.attribution.trust["target"]["plus"] for answer in explanation.answers[0][0]]
        assert aims == [4, 3]
        assert explanation.labels == ()
        with pytest.raises(InvalidTarget, match="0 to 4"):
            await house.engine.explain(replace(asked, targets=((TargetSpec(5),),)), NEVER)
        # the model's labels name the three classes of its other output
        with pytest.raises(InvalidTarget, match="no labels"):
            await house.engine.explain(replace(asked, targets=((TargetSpec("cat"),),)), NEVER)
        with pytest.raises(InvalidTarget, match="0 to 2"):
            await house.engine.explain(explain_request(targets=((TargetSpec(4),),)), NEVER)


async def test_too_many_targets_are_refused_before_one_is_looked_up(monkeypatch):
    monkeypatch.setattr("candor.engine.plan.resolve_targets", None)
    for targets in (((TargetSpec("x"),) * 5000,), ((TargetSpec("x"),) * 2500,) * 2):
        async with rig() as house:
            request = explain_request(x=rows(2), targets=targets)
            with pytest.raises(TooLarge, match=str(MAX_ANSWERS)):
                await house.engine.explain(request, NEVER)
