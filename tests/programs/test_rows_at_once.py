"""Large pictures run one by one, or by twos where no layer is wide: the answers stay their own."""

import secrets

import numpy as np
import pytest
import torch
from torch import nn

from candor.result import Geometry
from candor.runtime.batches import rows_at_once
from candor.runtime.compiled import Compiled
from candor.runtime.programs.blueprint import Blueprint
from programs.networks import compiled, export, one_hot

SEED = secrets.randbelow(2**31)


def network(width: int) -> tuple[Compiled, Blueprint]:
    """The first layer gives [width, 112, 112]."""
    torch.manual_seed(SEED)
    module = nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(8), nn.Conv2d(width, 16, 3),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip
    model = export(module.eval(), torch.randn(2, 3, 224, 224))
    return compiled(model, Geometry(kind="image", channel_axis=0), "softmax")


@pytest.mark.parametrize(("width", "wanted"), [(16, 2), (32, 2), (48, 1)])
def test_rows_together_are_answered_as_each_alone(width: int, wanted: int) -> None:
    subject, blueprint = network(width)
    assert rows_at_once(blueprint) == wanted
    x = np.random.default_rng(SEED).normal(size=(5, 3, 224, 224)).astype(np.float32)
    direction = one_hot([0, 1, 2, 3, 4], 5)
    alone = [subject.gradient(x[i : i + 1], direction[i : i + 1], "score") for i in range(5)]
    for n in (2, 3, 5):
        found = subject.gradient(x[:n], direction[:n], "score")
        for name in ("gradient", "value"):
            rows = np.concatenate([getattr(run, name) for run in alone[:n]])
            np.testing.assert_allclose(
                getattr(found, name), rows, rtol=0, atol=1e-6 * np.abs(rows).max(),
                err_msg=f"seed {SEED}, {n} rows, {name}",
            )  # fmt: skip


def test_points_made_of_one_row_share_its_direction_also_by_twos() -> None:
    subject, _ = network(16)
    rng = np.random.default_rng(SEED)
    x, absent = rng.normal(size=(2, 1, 3, 224, 224)).astype(np.float32)
    direction = one_hot([2], 5)
    alphas = np.array([0.9, 0.2, 0.5], dtype=np.float32)
    points = absent + alphas[:, None, None, None] * (x - absent)
    each = subject.gradient(points, direction.repeat(3, axis=0), "score").gradient
    for found in (
        subject.path(x, absent, alphas, direction, "score").gradient,
        subject.noisy(x, points - x, direction, "score").gradient,
    ):
        np.testing.assert_allclose(
            found, each, rtol=0, atol=1e-4 * np.abs(each).max(), err_msg=f"seed {SEED}"
        )
