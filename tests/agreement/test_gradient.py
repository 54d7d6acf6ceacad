"""Gradients, and gradients along a path, equal captum's on the same model."""

import numpy as np
import pytest
import torch
from torch import nn

from agreement import networks
from agreement.references import (
    InputXGradient,
    IntegratedGradients,
    LayerIntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from candor.explain import options
from candor.explain.gradient import gradient
from candor.explain.integrated_gradients import integrated_gradients
from candor.explain.question import Question
from candor.explain.smooth_grad import smooth_grad
from candor.result import Target
from unit.explain.told import finish


@pytest.mark.parametrize("times_input", [False, True])
@pytest.mark.parametrize("reduction", ["abs", "signed", "squared"])
def test_gradient_equals_captum(reduction, times_input, seed):
    subject = networks.convolutional(seed)
    x = np.random.default_rng(seed).normal(size=(4, 3, 16, 16))
    targets = [2, 0, 1, 0]
    chosen = options.Gradient(reduction=reduction, times_input=times_input, channels="keep")
    answers = gradient(subject, [asked(row, t) for row, t in zip(x, targets, strict=True)], chosen)

    tensor = torch.tensor(x, requires_grad=True)
    method = InputXGradient if times_input else Saliency
    extra = {} if times_input else {"abs": False}
    signed = method(subject.classify).attribute(tensor, target=torch.tensor(targets), **extra)
    signed = signed.detach()
    want = {"abs": signed.abs(), "signed": signed, "squared": signed**2}[reduction]
    got = np.stack([answer.values for answer in answers])
    scale = float(want.abs().max())
    assert_close(got, want.numpy(), 1e-6 * scale, seed)


def test_channels_are_summed_after_the_reduction(seed):
    subject = networks.convolutional(seed)
    x = np.random.default_rng(seed).normal(size=(3, 16, 16))
    (kept,) = gradient(subject, [asked(x, 1)], options.Gradient(channels="keep"))
    (summed,) = gradient(subject, [asked(x, 1)], options.Gradient())
    assert summed.values.shape == (16, 16)
    assert_close(summed.values, np.abs(kept.values).sum(0), 1e-5 * summed.values.max(), seed)


def test_gradient_of_a_difference_and_of_the_probability_equal_autograd(seed):
    subject = networks.convolutional(seed)
    x = np.random.default_rng(seed).normal(size=(3, 16, 16))
    question = Question(x[None], Target(2, 0), "probability")
    (answer,) = gradient(subject, [question], options.Gradient(reduction="signed"))

    tensor = torch.tensor(x[None], requires_grad=True)
    probability = subject.classify(tensor).softmax(1)[0]
    (want,) = torch.autograd.grad(probability[2] - probability[0], tensor)
    want = want[0].sum(0).numpy()
    assert_close(answer.values, want, 1e-6 * np.abs(want).max(), seed)


@pytest.mark.parametrize("n_samples", [1, 20])
def test_smooth_grad_equals_captum_given_the_same_noise(n_samples, seed, monkeypatch):
    """captum draws by torch.normal; its draws are replaced by candor's, in their order."""
    subject = networks.convolutional(seed)
    x = np.random.default_rng(seed).normal(size=(3, 16, 16))
    chosen = options.SmoothGrad(n_samples, 0.2, reduction="signed", channels="keep", seed=5)
    _, answer = finish(smooth_grad(subject, asked(x, 1), chosen))

    scale = 0.2 * float(np.ptp(x))
    drawn = np.random.default_rng(5).standard_normal((n_samples, 3, 16, 16)) * scale
    noise = torch.tensor(drawn.astype(np.float32)).double()
    monkeypatch.setattr(torch, "normal", lambda mean, std: mean + noise)
    tunnel = NoiseTunnel(Saliency(subject.classify))
    want = tunnel.attribute(
        torch.tensor(x[None]), nt_type="smoothgrad", nt_samples=n_samples, stdevs=scale,
        target=1, abs=False,
    )  # fmt: skip
    want = want[0].detach().numpy()
    assert_close(answer.values, want, 1e-6 * np.abs(want).max(), seed)
    assert answer.trust["n_evaluations"] == n_samples + 1


@pytest.mark.parametrize("n_steps", [1, 13, 50])
def test_integrated_gradients_equal_captum(n_steps, seed):
    subject = networks.convolutional(seed)
    x = np.random.default_rng(seed).normal(size=(3, 16, 16))
    chosen = options.IntegratedGradients(n_steps=n_steps, channels="keep", baseline=0.3)
    _, answer = finish(integrated_gradients(subject, asked(x, 1), chosen))

    want, gap = IntegratedGradients(subject.classify).attribute(
        torch.tensor(x[None]), 0.3, target=1, n_steps=n_steps, return_convergence_delta=True
    )
    want = want[0].numpy()
    assert_close(answer.values, want, 1e-5 * np.abs(want).max(), seed)
    figures = answer.trust["figures"]
    assert abs(figures["completeness_gap"] - abs(float(gap))) < 1e-5 * np.abs(want).sum()


def test_integrated_gradients_of_tokens_equal_captum_on_the_embedding(seed):
    subject = networks.recurrent(seed)
    ids = np.random.default_rng(seed).integers(2, 30, (1, 9))
    ids[0, 7:] = 0
    _, answer = finish(
        integrated_gradients(subject, Question(ids, Target(1)), options.IntegratedGradients())
    )
    network = nn.Sequential(subject.embed, subject.classify)
    want = LayerIntegratedGradients(network, network[0]).attribute(
        torch.tensor(ids), torch.zeros(1, 9, dtype=torch.int64), target=1, n_steps=50
    )
    want = want[0].sum(-1).detach().numpy()
    assert_close(answer.values, want, 1e-5 * np.abs(want).max(), seed)
    assert (answer.values[7:] == 0).all(), f"seed {seed}: padding must get exactly 0"


def asked(row, target):
    return Question(row[None], Target(target))


def assert_close(got, want, atol, seed):
    np.testing.assert_allclose(got, want, rtol=0, atol=atol, err_msg=f"seed {seed}")
