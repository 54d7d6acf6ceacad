"""Gradient, path and perturbation programs against torch in float64 and their definition."""

import copy
import secrets

import numpy as np
import pytest
import torch

from candor.result import Geometry
from programs.networks import Case, ConvNet, compiled, export, one_hot
from tolerance import assert_gradients_agree

SEED = secrets.randbelow(2**31)


@pytest.fixture(scope="module", params=["gap", "mlp"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(SEED)
    module = ConvNet(request.param).eval()
    model = export(module, torch.randn(2, 3, 24, 24))
    subject, blueprint = compiled(model, Geometry(kind="image", channel_axis=0), "softmax")
    return Case(module, subject, blueprint)


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(SEED).normal(size=(n, 3, 24, 24)).astype(np.float32)


def reference(
    module: torch.nn.Module, x: np.ndarray, direction: np.ndarray, head: str
) -> np.ndarray:
    """Autograd in float64."""
    exact = copy.deepcopy(module).double()
    point = torch.from_numpy(x).double().requires_grad_()
    score = exact(point)
    value = score if head == "score" else score.softmax(1)
    (value * torch.from_numpy(direction)).sum().backward()
    assert point.grad is not None
    return point.grad.numpy()


@pytest.mark.parametrize("head", ["score", "probability"])
def test_gradient_equals_autograd(case: Case, head: str) -> None:
    x = pictures(8)
    direction = one_hot([0, 1, 2, 3, 4, 5, 6, 0], 7)
    direction[4, 6] = -1  # why this rather than that
    run = case.compiled.gradient(x, direction, head)
    assert_gradients_agree(run.gradient, reference(case.module, x, direction, head), SEED)
    np.testing.assert_array_equal(run.value, x)


def test_path_gradients_are_gradients_at_the_points(case: Case) -> None:
    x, alphas = pictures(1), np.linspace(0, 1, 8)
    baseline = np.full_like(x, 0.3)
    direction = one_hot([2], 7)
    run = case.compiled.path(x, baseline, alphas, direction, "score")
    points = baseline + alphas[:, None, None, None].astype(np.float32) * (x - baseline)
    wanted = reference(case.module, points, direction, "score")
    assert_gradients_agree(run.gradient, wanted, SEED)
    np.testing.assert_allclose(run.displacement, (x - baseline)[0])
    np.testing.assert_allclose(run.scores.score, case.compiled.predict(points).score, atol=1e-5)


@pytest.mark.parametrize("provider", ["cpu", "elsewhere"])
def test_perturbations_are_the_row_with_segments_replaced(
    case: Case, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Away from CPUs the masking is part of the graph, which a CPU can run as well.
    monkeypatch.setattr(case.compiled, "_provider", provider)
    rng = np.random.default_rng(SEED)
    x, baseline = pictures(1), pictures(2)[1:]
    segments = rng.integers(0, 5, (1, 24, 24))
    masks = rng.random((6, 5)) < 0.5
    kept = masks[:, segments]
    wanted = case.compiled.predict(np.where(kept, x, baseline))
    found = case.compiled.perturb(x, baseline, segments, masks)
    np.testing.assert_allclose(found.score, wanted.score, atol=1e-5)
    np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-6)


@pytest.mark.parametrize("size", [1, 4])
def test_graph_with_a_fixed_number_of_rows_explains_any_number(case: Case, size: int) -> None:
    fixed, _ = compiled(
        export(case.module, torch.randn(size, 3, 24, 24), dynamic=False),
        Geometry(kind="image", channel_axis=0),
        "softmax",
    )
    x, direction = pictures(6), one_hot([0, 1, 2, 3, 4, 5], 7)
    wanted = case.compiled.gradient(x, direction, "score").gradient
    np.testing.assert_allclose(fixed.gradient(x, direction, "score").gradient, wanted, atol=1e-5)
    alphas = np.linspace(0, 1, 5)
    np.testing.assert_allclose(
        fixed.path(x[:1], x[1:2], alphas, direction[:1], "score").scores.score,
        case.compiled.path(x[:1], x[1:2], alphas, direction[:1], "score").scores.score,
        atol=1e-5,
    )
