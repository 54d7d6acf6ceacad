"""The CAM programs against pytorch-grad-cam, on heads where the formulas differ."""

import copy
import secrets

import numpy as np
import pytest
import torch
from torch import nn

from agreement import references
from candor.errors import NotFound, Unsupported
from candor.result import CamFormula, Geometry
from programs.networks import Case, ConvNet, compiled, export, one_hot

IMAGE = Geometry(kind="image", channel_axis=0)
SEED = secrets.randbelow(2**31)


@pytest.fixture(scope="module", params=["gap", "mlp", "conv"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(SEED)
    module = ConvNet(request.param).eval()
    model = export(module, torch.randn(2, 3, 24, 24))
    subject, blueprint = compiled(model, IMAGE, "softmax")
    return Case(module, subject, blueprint)


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(SEED).normal(size=(n, 3, 24, 24)).astype(np.float32)


@pytest.mark.parametrize("method", references.CAMS)
def test_every_map_equals_pytorch_grad_cams(case: Case, method: CamFormula) -> None:
    x, targets = pictures(5), [0, 6, 3, 3, 1]
    layer = case.compiled.cam_layer(method, case.features)
    _, found = case.compiled.cam(x, one_hot(targets, 7), method, layer, normalise=True)
    network, wanted_targets = case.module, [references.ClassifierOutputTarget(t) for t in targets]
    made = references.CAMS[method]
    with made(model=network, target_layers=[network.features[-1]]) as reference:
        wanted = reference(torch.from_numpy(x), targets=wanted_targets)
    # Where a map is all but empty, its scaling divides rounding noise by rounding noise.
    alive = wanted.max(axis=(1, 2)) > 0
    assert alive.any(), f"seed {SEED}: every map is empty, the comparison would say nothing"
    np.testing.assert_allclose(found[alive], wanted[alive], atol=2e-5, err_msg=f"seed {SEED}")


def test_prediction_of_the_same_run_is_the_models_own(case: Case) -> None:
    x = pictures(3)
    layer = case.compiled.cam_layer("grad_cam", case.features)
    scores, _ = case.compiled.cam(x, one_hot([0, 1, 2], 7), "grad_cam", layer, normalise=True)
    with torch.no_grad():
        wanted = case.module(torch.from_numpy(x))
    np.testing.assert_allclose(scores.score, wanted, atol=1e-5)
    np.testing.assert_allclose(scores.probability, wanted.softmax(1), atol=1e-5)


def test_row_of_zeros_explains_the_top_class(case: Case) -> None:
    x = pictures(4)
    layer = case.compiled.cam_layer("grad_cam", case.features)
    top = case.compiled.predict(x).score.argmax(axis=1)
    directions = one_hot(list(top), 7)
    _, asked = case.compiled.cam(x, directions, "grad_cam", layer, normalise=True)
    mixed = directions * np.array([[0], [1], [0], [1]], np.float32)
    _, found = case.compiled.cam(x, mixed, "grad_cam", layer, normalise=True)
    np.testing.assert_allclose(found, asked, atol=1e-6)


def test_batch_equals_single_rows(case: Case) -> None:
    x, layer = pictures(4), case.compiled.cam_layer("grad_cam", case.features)
    directions = one_hot([1, 2, 3, 4], 7)
    _, batch = case.compiled.cam(x, directions, "grad_cam", layer, normalise=False)
    for row in range(4):
        one = slice(row, row + 1)
        _, single = case.compiled.cam(x[one], directions[one], "grad_cam", layer, normalise=False)
        np.testing.assert_allclose(single, batch[one], atol=1e-5 * np.abs(batch).max())


def test_cam_is_the_weighted_sum_of_the_last_maps(case: Case) -> None:
    if not isinstance(case.module.head[0], torch.nn.AdaptiveAvgPool2d):
        with pytest.raises(Unsupported, match="grad_cam"):
            case.compiled.cam_layer("cam", None)
        return
    x, layer = pictures(3), case.compiled.cam_layer("cam", None)
    _, found = case.compiled.cam(x, one_hot([0, 5, 2], 7), "cam", layer, normalise=False)
    with torch.no_grad():
        maps = case.module.features(torch.from_numpy(x))
        weights = case.module.head[2].weight[[0, 5, 2]]
        raw = torch.einsum("nc,nchw->nhw", weights, maps)[:, None]
        wanted = torch.nn.functional.interpolate(
            raw, size=(24, 24), mode="bilinear", align_corners=False
        )[:, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * float(wanted.abs().max()))


def test_unknown_layer_is_named_with_those_there_are(case: Case) -> None:
    with pytest.raises(NotFound, match="no layer 'nowhere'"):
        case.compiled.cam_layer("grad_cam", "nowhere")


class Normalised(nn.Module):
    """A layer that goes to a LayerNorm over its channels, and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU())
        self.norm, self.mix, self.head = nn.LayerNorm(24), nn.Linear(24, 32), nn.Linear(32, 5)
        with torch.no_grad():
            self.layer[0].weight.mul_(20)

    def rest(self, activation: torch.Tensor) -> torch.Tensor:
        mixed = torch.tanh(self.mix(self.norm(activation.permute(0, 2, 3, 1))))
        return self.head(mixed.mean((1, 2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.layer(x))


def test_hires_cam_in_front_of_a_normalisation_is_zero_to_rounding() -> None:
    """What is normalised may be scaled as one likes, so that sum_k g_k A_k = 0 (Euler's theorem).

    Scaled to 0..1, what rounding leaves of it differs from any reference's; so the terms are what
    the error is compared with, and float64 says what is right.
    """
    torch.manual_seed(SEED)
    module, targets = Normalised().eval(), [0, 4, 2]
    x = np.random.default_rng(SEED).normal(size=(3, 3, 9, 9)).astype(np.float32)
    subject, blueprint = compiled(export(module, torch.randn(2, 3, 9, 9)), IMAGE, "softmax")
    (layer, *_) = [each.name for each in blueprint.anatomy.layers if each.name.startswith("relu")]
    _, found = subject.cam(x, one_hot(targets, 5), "hires_cam", layer, normalise=False)

    double = copy.deepcopy(module).double()
    activation = double.layer(torch.from_numpy(x).double()).detach().requires_grad_()
    double.rest(activation)[range(3), targets].sum().backward()
    terms = (activation * activation.grad).detach().numpy()
    wanted, scale = np.maximum(terms.sum(axis=1), 0), np.abs(terms).sum(axis=1).max()
    assert wanted.max() < 1e-3 * scale, f"seed {SEED}: only the norm's epsilon is left"
    np.testing.assert_allclose(found, wanted, atol=1e-6 * scale, rtol=0, err_msg=f"seed {SEED}")
    by_channel = subject.cam(x, one_hot(targets, 5), "layer_cam", layer, normalise=False)[1]
    assert by_channel.max() > 0.1 * scale, f"seed {SEED}: the terms themselves are no zeros"
