"""Occlusion equals captum's, cut-off windows and channel axes included."""

import numpy as np
import pytest
import torch

from agreement import networks
from agreement.references import Occlusion
from candor.explain import options
from candor.explain.occlusion import occlusion
from candor.explain.question import Question
from candor.result import Target
from unit.explain.told import finish


@pytest.mark.parametrize(
    ("window", "stride"),
    [((4, 4), (2, 2)), ((5, 3), (3, 2)), ((7, 16), (6, 40)), ((16, 1), (1, 1)), ((1, 2), (1, 2))],
)
def test_occlusion_of_a_picture_equals_captum(window, stride, seed):
    subject = networks.convolutional(seed)
    subject.slice_size = 32
    x = np.random.default_rng(seed).normal(size=(1, 3, 16, 16))
    chosen = options.Occlusion(window=window, stride=stride, baseline=0.2, channels="keep")
    _, answer = finish(occlusion(subject, Question(x, Target(1)), chosen))
    want = Occlusion(subject.classify).attribute(
        torch.tensor(x),
        (3, *window),
        strides=(3, *stride),
        baselines=0.2,
        target=1,
        perturbations_per_eval=16,
    )
    assert_equal(answer, want[0].numpy(), seed)


def test_occlusion_of_a_series_equals_captum(seed):
    subject = networks.series(seed)
    x = np.random.default_rng(seed).normal(size=(1, 20, 4))
    chosen = options.Occlusion(window=(6,), stride=(4,), channels="keep")
    _, answer = finish(occlusion(subject, Question(x, Target(0)), chosen))
    want = Occlusion(subject.classify).attribute(torch.tensor(x), (6, 4), strides=(4, 4), target=0)
    assert_equal(answer, want[0].numpy(), seed)


def test_occlusion_of_tokens_equals_captum_with_padding_as_baseline(seed):
    subject = networks.recurrent(seed)
    ids = np.random.default_rng(seed).integers(2, 30, (1, 9))
    ids[0, 7:] = 0
    _, answer = finish(occlusion(subject, Question(ids, Target(2)), options.Occlusion()))

    def scores(tokens):
        return torch.tensor(subject.predict(tokens.numpy()).score)

    want = Occlusion(scores).attribute(torch.tensor(ids), (1,), baselines=0, target=2)
    assert_equal(answer, want[0].numpy(), seed)
    assert (answer.values[7:] == 0).all(), f"seed {seed}: padding covers nothing"


def assert_equal(answer, want, seed):
    scale = np.abs(want).max()
    np.testing.assert_allclose(
        answer.values, want, rtol=0, atol=1e-6 * scale, err_msg=f"seed {seed}"
    )
    assert answer.trust["figures"]["covered"] == 1.0
