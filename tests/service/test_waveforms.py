"""A series of one number a step, [n, t] of any t: served, and explained by every method."""

import copy
import json
import secrets
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from candor.client import Client
from candor.explain.options import METHODS
from candor.result import Array
from cli.running import candor
from serving import Server, running
from tolerance import assert_gradients_agree
from wire.protocol import Protocol, infer_request

SEED = secrets.randbelow(2**31)
RNG = np.random.default_rng(SEED)
STEPS = 240
MANIFEST = """
labels = ["hum", "click", "hiss"]

[input]
kind = "series"
features = ["pressure"]
"""


class WaveNet(nn.Module):
    """Convolutions over a waveform that keep its length, and a mean over what is not silent."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(1, 8, 9, padding=4)
        self.two = nn.Conv1d(8, 12, 5, padding=2)
        self.head = nn.Linear(12, 3)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """wave [n, t] -> logits [n, 3]."""
        mask = (wave.unsqueeze(1).abs() > 0).to(wave.dtype)
        x = self.two(torch.tanh(self.one(wave.unsqueeze(1)))).relu() * mask
        return self.head(x.sum(2) / mask.sum(2).clamp(min=1.0))


@dataclass(frozen=True)
class Case:
    """A network in torch, and served."""

    net: WaveNet
    server: Server
    client: Client
    file: Path


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    torch.manual_seed(SEED)
    net, root = WaveNet().eval(), tmp_path_factory.mktemp("models")
    (root / "sounds" / "1").mkdir(parents=True)
    file = root / "sounds" / "1" / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have its newer exporter used
        torch.onnx.export(
            net, (torch.randn(2, STEPS),), str(file), dynamo=False, opset_version=18,
            input_names=["wave"], output_names=["logits"],
            dynamic_axes={"wave": {0: "n", 1: "t"}, "logits": {0: "n"}},
        )  # fmt: skip
    (root / "sounds" / "model.toml").write_text(MANIFEST, encoding="utf-8")
    with (
        running(tmp_path_factory.mktemp("log"), root) as server,
        Client(server.grpc_target) as client,
    ):
        yield Case(net, server, client, file)


def waves(n: int, steps: int = STEPS) -> Array:
    """Bursts in noise."""
    rows = 0.1 * RNG.normal(size=(n, steps))
    for row in rows:
        at = RNG.integers(0, steps - 40)
        row[at : at + 40] += np.sin(np.arange(40) * RNG.uniform(0.2, 1.5))
    return rows.astype(np.float32)


def explained(case: Case, method: str, x: Array, **options: object) -> list[Array]:
    found = case.client.explain("sounds", [{method: options}], targets=2, tensors={"wave": x})
    assert [answer.values.shape for answer in found.answers] == [x.shape[1:]] * len(x)
    return [answer.values for answer in found.answers]


def scores(case: Case, x: Array) -> Array:
    with torch.no_grad():
        found: Array = case.net(torch.from_numpy(x)).numpy()
    return found


def test_the_service_takes_it_for_a_series_and_has_every_method(case: Case) -> None:
    model = case.client.model("sounds")
    assert model.kind == "series"
    assert model.inputs[0][2] == (-1, -1)
    assert model.methods == dict.fromkeys(METHODS)


@pytest.mark.parametrize("steps", [STEPS, 57, 1000])
def test_gradient_is_autograds_at_any_length(case: Case, steps: int) -> None:
    x = waves(8, steps)
    found = np.stack(explained(case, "gradient", x, reduction="signed"))
    point = torch.from_numpy(x).double().requires_grad_()
    copy.deepcopy(case.net).double()(point)[:, 2].sum().backward()
    assert point.grad is not None
    assert_gradients_agree(found, point.grad.numpy(), SEED)


def test_integrated_gradients_are_captums(case: Case) -> None:
    x = waves(8)
    found = np.stack(explained(case, "integrated_gradients", x, n_steps=32))
    wanted = IntegratedGradients(copy.deepcopy(case.net).double()).attribute(
        torch.from_numpy(x).double(), target=2, n_steps=32, method="gausslegendre"
    )
    assert_gradients_agree(found, wanted.numpy(), SEED)


def test_occlusion_is_what_the_score_loses_without_a_step(case: Case) -> None:
    x = waves(1, 60)
    (found,) = explained(case, "occlusion", x, window=6, stride=6)
    covered = np.repeat(x, 10, axis=0)
    for number, row in enumerate(covered):
        row[6 * number : 6 * number + 6] = 0
    loss = scores(case, x)[0, 2] - scores(case, covered)[:, 2]
    np.testing.assert_allclose(found, np.repeat(loss, 6), atol=2e-5, err_msg=f"seed {SEED}")


def test_lime_weighs_slices_of_time_as_taking_them_away_does(case: Case) -> None:
    options = {"n_segments": 6, "n_samples": 400}
    slices = np.repeat(np.arange(6), STEPS // 6)
    correlations = []
    for _ in range(5):  # of single rows one in 160 is far from linear
        x = waves(1)
        found = case.client.explain("sounds", [{"lime": options}], targets=2, tensors={"wave": x})
        answer = found.of("lime")
        assert answer.segments is not None
        np.testing.assert_array_equal(answer.segments, slices)
        weights = answer.values[:: STEPS // 6]
        np.testing.assert_array_equal(answer.values, weights[slices])
        without = np.repeat(x, 6, axis=0)
        for number, row in enumerate(without):
            row[slices == number] = x.mean()
        exact = [
            np.exp(s) / np.exp(s).sum(1, keepdims=True)
            for s in (scores(case, x), scores(case, without))
        ]
        losses = exact[0][0, 2] - exact[1][:, 2]
        correlations.append(np.corrcoef(weights, losses)[0, 1])
    assert np.median(correlations) > 0.8, f"seed {SEED}: {correlations}"


def test_cam_under_a_mask_adds_up_to_the_score(case: Case) -> None:
    x = waves(3)
    x[1, 200:] = 0  # silence at the end, which the mask takes out of the mean
    maps = explained(case, "cam", x, normalise=False)
    bias = case.net.head.bias[2].item()
    for row, found in enumerate(maps):
        present = x[row] != 0
        assert not found[~present].any()
        mean = found[present].mean()
        assert mean == pytest.approx(scores(case, x)[row, 2] - bias, abs=2e-5), f"seed {SEED}"


def test_grad_cam_is_of_steps_and_positive(case: Case) -> None:
    for found in explained(case, "grad_cam", waves(2)):
        assert found.min() >= 0
        assert found.max() in (0, pytest.approx(1))


def test_the_open_inference_protocol_answers_a_number_a_step(case: Case) -> None:
    protocol, x = Protocol(case.server.grpc_target), waves(2)
    parameters = {"candor.explain": "gradient,occlusion"}
    try:
        arrays, _ = protocol.infer(infer_request("sounds", parameters=parameters, wave=x))
    finally:
        protocol.close()
    assert arrays["candor.gradient"].shape == arrays["candor.occlusion"].shape == x.shape
    np.testing.assert_allclose(arrays["logits"], scores(case, x), atol=1e-5)


def test_the_command_line_inspects_and_explains_it(case: Case, tmp_path: Path) -> None:
    told = candor("inspect", str(case.file), "--json")
    assert all(reason is None for reason in json.loads(told.stdout)["methods"].values())
    np.save(tmp_path / "waves.npy", waves(2))
    done = candor(
        "explain", str(tmp_path / "waves.npy"), "--model", "sounds", "--json",
        "--methods", "gradient,cam,lime", "--server", case.server.grpc_target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for record in json.loads(done.stdout):
        assert [np.shape(answer["values"]) for answer in record["answers"]] == [(STEPS,)] * 3
    checked = candor("verify", str(case.file), "--size", "80", "--seed", str(SEED % 1000))
    assert checked.returncode == 0, checked.stdout + checked.stderr
