"""Gradients that fade over time, in networks that forget and in networks that do not."""

import numpy as np
import torch
from torch import nn

from agreement.torch_subject import TorchSubject
from candor.explain.gradient import gradient
from candor.explain.integrated_gradients import integrated_gradients
from candor.explain.occlusion import occlusion
from candor.explain.options import Gradient, IntegratedGradients, Occlusion, SmoothGrad
from candor.explain.question import Question
from candor.explain.smooth_grad import smooth_grad
from candor.explain.steps import ended
from candor.explain.subject import Geometry

SERIES = Geometry("series", 1)


class Reader(nn.Module):
    """A tanh network over [n, t, 3] that answers from its last state, or from all of them."""

    def __init__(self, recall: float, *, last: bool) -> None:
        super().__init__()
        self.memory = nn.RNN(3, 6, bias=False, batch_first=True)
        self.head, self.last = nn.Linear(6, 3), last
        with torch.no_grad():
            turned = torch.linalg.qr(torch.randn(6, 6))[0]
            self.memory.weight_hh_l0.copy_(recall * turned)
            self.memory.weight_ih_l0.mul_(0.05)  # states stay where tanh is straight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = self.memory(x)[0]
        return self.head(states[:, -1] if self.last else states.mean(1))


def words_of(answer):
    return [warning.split(":")[0] for warning in answer.trust["warnings"]]


def test_a_network_that_forgets_is_told_whichever_way_the_row_is_read(seed):
    torch.manual_seed(seed)
    x = np.random.default_rng(seed).normal(size=(1, 24, 3))
    forgetful = TorchSubject(Reader(0.6, last=True), SERIES)
    for row in (x, x[:, ::-1].copy()):
        found = [
            gradient(forgetful, [Question(row)], Gradient())[0],
            ended(smooth_grad(forgetful, Question(row), SmoothGrad(5))),
            ended(integrated_gradients(forgetful, Question(row), IntegratedGradients(5))),
        ]
        for answer in found:
            (warning,) = [w for w in answer.trust["warnings"] if w.startswith("fading")]
            assert warning.startswith("fading: from the last to the first step"), f"seed {seed}"
        assert "fading" not in words_of(ended(occlusion(forgetful, Question(row), Occlusion())))


def test_a_network_that_remembers_is_not(seed):
    torch.manual_seed(seed)
    x = np.random.default_rng(seed).normal(size=(1, 24, 3))
    for network in (Reader(1.0, last=True), Reader(0.3, last=False)):
        answer = gradient(TorchSubject(network, SERIES), [Question(x)], Gradient())[0]
        assert "fading" not in words_of(answer), f"seed {seed}"
