"""Windows of committed models run in part: chosen where it pays, and equal to whole rows."""

import gc
import secrets
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import onnx
import pytest

from candor.autodiff import Graph
from candor.explain.occlusion import occlusion
from candor.explain.options import Occlusion
from candor.explain.question import Question
from candor.runtime import covered
from candor.runtime.blueprints import plan_explanations
from candor.runtime.compiled import Compiled
from candor.runtime.manifest import load_manifest
from candor.runtime.programs.recompute import recomputation
from candor.runtime.session import Session
from programs.networks import POLICY
from unit.explain.told import finish

SEED = secrets.randbelow(2**31)
REPOSITORY = Path(__file__).resolve().parents[2] / "models" / "repository"


class Served:
    """A committed model, and which programs it has run on how many rows."""

    def __init__(self, name: str) -> None:
        folder = REPOSITORY / name
        self.file, self.manifest = onnx.load(folder / "1" / "model.onnx"), load_manifest(folder)
        plan = plan_explanations(self.file, self.manifest, None, None)
        self.ran: list[tuple[str, int]] = []
        self.subject = Compiled(
            plan.blueprint,
            plan.geometry,
            lambda program, rows: Session(program, POLICY, rows=rows),
            lambda program, rows, _seconds: self.ran.append((program, rows)),
        )
        shape = plan.blueprint.graph.shape(plan.blueprint.input) or ()
        self.x = np.random.default_rng(SEED).normal(size=(1, *shape[1:])).astype(np.float32)


@pytest.fixture(scope="module")
def photos() -> Served:
    return Served("photos")


@pytest.mark.parametrize(("window", "stride"), [(8, 6), (5, 5)])
def test_windows_of_photographs_are_run_in_part_and_say_the_same(photos, window, stride):
    options = Occlusion((window, window), (stride, stride), baseline=0.3)
    photos.ran.clear()
    trial = 0 if photos.subject._covering._tried else 2
    _, part = finish(occlusion(photos.subject, Question(photos.x), options))
    assert photos.ran.count(("remember", 1)) == 1
    windows = [rows for program, rows in photos.ran if program == "recompute"]
    assert sum(windows) == part.trust["n_evaluations"] - 1 + trial  # the row needs none
    assert max(windows) > 1
    assert len(windows) + 1 == len(photos.ran)
    _, whole = finish(occlusion(Whole(photos.subject), Question(photos.x), options))
    # Differences of scores near 6 are known to some units in the last place of these.
    scale = np.abs(photos.subject.predict(photos.x).score).max()
    np.testing.assert_allclose(part.values, whole.values, atol=1e-6 * scale, err_msg=f"{SEED}")
    assert part.trust["figures"] == whole.trust["figures"]


def test_in_stages_they_say_the_same_and_the_clock_is_looked_at_in_between(monkeypatch):
    made = []

    def cut(blueprint):
        made.append(recomputation(blueprint, stage_ns=2e6))
        return made[-1]

    monkeypatch.setattr(covered, "recomputation", cut)
    served, options = Served("photos"), Occlusion((16, 16), (12, 12))
    looks, part = finish(occlusion(served.subject, Question(served.x), options))
    n_stages = len(made[0].again)
    assert n_stages > 1
    # what stands for the stages that are at hand is made once: to plan, to remember, for the stages
    assert len(made) == 3
    assert served.subject._covering._drafts == {}
    n_runs = sum(program == "recompute" for program, _rows in served.ran) - 1  # one for trial
    assert len(looks) >= n_runs * n_stages
    assert [look.done for look in looks] == sorted(look.done for look in looks)
    assert all(look.best is None for look in looks if look.done == 0)
    _, whole = finish(occlusion(Whole(served.subject), Question(served.x), options))
    scale = np.abs(served.subject.predict(served.x).score).max()
    np.testing.assert_allclose(part.values, whole.values, atol=1e-6 * scale, err_msg=f"{SEED}")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("digits-lenet", "a window would take"),
        ("digits-mlp", "no convolution works on parts of the row"),
    ],
)
def test_where_it_does_not_pay_whole_rows_are_run(name, reason):
    served = Served(name)
    side = served.x.shape[2]
    options = Occlusion((side // 4, side // 4), (side // 7, side // 7))
    finish(occlusion(served.subject, Question(served.x), options))
    assert {program for program, _rows in served.ran} == {"perturb"}
    ends = np.array([[[0, 0], [side // 4] * 2]] * 9)
    assert reason in (served.subject._covering.refusal(ends) or "")


def test_a_few_windows_are_not_worth_the_memory(photos):
    few = np.array([[[0, 0], [8, 8]]] * 3)
    assert photos.subject._covering.refusal(few) == "3 windows are too few"


def test_a_plan_shares_the_weights_and_what_is_kept_of_it_holds_none(photos):
    blueprint = plan_explanations(photos.file, photos.manifest, None, None).blueprint
    own = blueprint.graph.apart(blueprint.graph.outputs).weights
    made = recomputation(blueprint, stage_ns=2e6)
    programs = [draft.made() for draft in (made.first, *made.again)]
    shared = [name for program in programs for name in program.weights if name in own]
    assert set(shared) == set(own)
    for program in programs:
        assert all(tensor is own[name] for name, tensor in program.weights.items() if name in own)
    seen: dict[int, object] = {}
    todo: list[object] = [made.recipe]
    while todo:
        item = todo.pop()
        if id(item) not in seen and not isinstance(item, type | ModuleType):
            seen[id(item)] = item
            held = item.__closure__ or () if isinstance(item, FunctionType) else ()
            todo += held if isinstance(item, FunctionType) else gc.get_referents(item)
    assert not any(isinstance(item, Graph | onnx.TensorProto) for item in seen.values())


class Whole:
    """A subject that runs whole rows only."""

    def __init__(self, subject: Compiled) -> None:
        self._subject = subject

    def __getattr__(self, name: str) -> object:
        return getattr(self._subject, name)

    def covered(self, x: object, baseline: object, windows: object) -> None:
        return None
