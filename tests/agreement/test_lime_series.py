"""LIME of series equals Lime-For-Time's definition: all channels together, and each apart."""

import numpy as np
import pytest
import torch
from torch import nn

from agreement import networks
from agreement.lime_for_time import explain_series
from agreement.test_lime import assert_same
from agreement.torch_subject import TorchSubject
from candor.explain import options
from candor.explain.lime import lime
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.told import finish

N_SAMPLES, N_STEPS = 250, 20


@pytest.mark.parametrize("replacement", ["mean", "total_mean"])
@pytest.mark.parametrize("n_slices", [5, 7])
def test_one_signal(replacement, n_slices, seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(N_STEPS, 9), nn.Tanh(), nn.Linear(9, 3))
    subject = TorchSubject(network, Geometry("series", None))
    x = np.random.default_rng(seed).normal(size=N_STEPS)
    chosen = options.Lime(N_SAMPLES, n_segments=n_slices, baseline=replacement, seed=seed)
    _, answer = finish(lime(subject, Question(x[None], Target(1)), chosen))
    reference = explain_series(
        x,
        lambda rows: subject.predict(rows).probability,
        n_slices=n_slices,
        label=1,
        n_samples=N_SAMPLES,
        replacement=replacement,
        seed=seed,
    )
    assert_same(answer, reference, seed)
    assert answer.trust["figures"]["segmentation"] == "slices"


@pytest.mark.parametrize("replacement", ["mean", "total_mean"])
def test_several_signals_apart(replacement, seed):
    subject = networks.series(seed)
    x = np.random.default_rng(seed).normal(size=(N_STEPS, 4))
    chosen = options.Lime(N_SAMPLES, n_segments=5, baseline=replacement, channels="keep", seed=seed)
    _, answer = finish(lime(subject, Question(x[None], Target(1)), chosen))
    reference = explain_series(
        x.T,
        lambda rows: subject.predict(np.moveaxis(rows, 1, 2)).probability,
        n_slices=5,
        label=1,
        n_samples=N_SAMPLES,
        replacement=replacement,
        seed=seed,
    )
    assert_same(answer, reference, seed)
    assert answer.values.shape == answer.segments.shape == x.shape
    by_channel = dict(reference.local_exp[1])
    for channel in range(4):
        for step in range(N_STEPS):
            wanted = by_channel[channel * 5 + step // 4]
            assert answer.values[step, channel] == pytest.approx(wanted, abs=1e-6)


def test_several_signals_together_are_drawn_as_one(seed):
    subject = networks.series(seed)
    x = np.random.default_rng(seed).normal(size=(N_STEPS, 4))
    chosen = options.Lime(N_SAMPLES, n_segments=5, baseline="total_mean", seed=seed)
    _, answer = finish(lime(subject, Question(x[None], Target(1)), chosen))

    steps = np.arange(N_STEPS, dtype=np.float64)  # none of them is their mean

    def probabilities(rows):
        return subject.predict(np.where((rows == steps)[..., None], x, x.mean(0))).probability

    reference = explain_series(
        steps,
        probabilities,
        n_slices=5,
        label=1,
        n_samples=N_SAMPLES,
        replacement="total_mean",
        seed=seed,
    )
    assert_same(answer, reference, seed)
    assert answer.values.shape == (N_STEPS,)
