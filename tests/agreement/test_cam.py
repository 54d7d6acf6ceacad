"""The numpy reference for class activation maps equals pytorch-grad-cam."""

import numpy as np
import pytest
import torch
from torch import nn

from agreement import reference_cam
from agreement.references import CAMS, ClassifierOutputTarget, GradCAM


def mlp_head(layer: nn.Module) -> nn.Module:
    """Gradients at the layer differ from place to place, as they cannot above average pooling."""
    return nn.Sequential(
        layer, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 12), nn.ReLU(), nn.Linear(12, 5)
    )


def convolutional_head(layer: nn.Module) -> nn.Module:
    return nn.Sequential(
        layer, nn.Conv2d(6, 5, 3, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def pooling_head(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


def layer_of_stride_two() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU())


@pytest.mark.parametrize("head", [mlp_head, convolutional_head, pooling_head])
def test_numpy_grad_cam_equals_pytorch_grad_cam(head, seed):
    torch.manual_seed(seed)
    layer = layer_of_stride_two()
    network = head(layer).eval()
    x, targets = torch.randn(4, 3, 16, 16), [0, 1, 4, 1]
    with GradCAM(network, [layer]) as reference:
        want = reference(x, [ClassifierOutputTarget(target) for target in targets])

    activations, gradients = at_layer(layer, network, x, targets)
    got = reference_cam.grad_cam(activations, gradients, (16, 16), raw=False)
    np.testing.assert_allclose(got, want, atol=2e-6, err_msg=f"seed {seed}")
    assert got.max() > 0.5, f"seed {seed}: an empty map would agree with anything"


@pytest.mark.parametrize("method", reference_cam.UNSCALED)
@pytest.mark.parametrize("head", [mlp_head, convolutional_head, pooling_head])
def test_numpy_formulas_equal_pytorch_grad_cams(method, head, seed):
    torch.manual_seed(seed)
    layer = layer_of_stride_two()
    network = head(layer).eval()
    x, targets = torch.randn(4, 3, 16, 16), [0, 1, 4, 1]
    with CAMS[method](network, [layer]) as reference:
        want = reference(x, [ClassifierOutputTarget(target) for target in targets])

    raw = reference_cam.UNSCALED[method](*at_layer(layer, network, x, targets))
    got = reference_cam.normalise(np.maximum(raw, 0), (16, 16))
    np.testing.assert_allclose(got, want, atol=2e-5, err_msg=f"seed {seed}")
    assert got.max() > 0.5, f"seed {seed}: an empty map would agree with anything"


def test_exact_cam_of_a_pooling_head_is_grad_cam_times_the_number_of_positions(seed):
    torch.manual_seed(seed)
    layer = layer_of_stride_two()
    network = pooling_head(layer).eval()
    x, targets = torch.randn(4, 3, 16, 16), [0, 1, 4, 1]
    activations, gradients = at_layer(layer, network, x, targets)
    weights = network[-1].weight.detach().numpy()[targets]

    exact = reference_cam.cam(activations, weights, (8, 8), raw=True)
    by_gradient = reference_cam.grad_cam(activations, gradients, (8, 8), raw=True)
    np.testing.assert_allclose(
        np.maximum(exact, 0), by_gradient * 64, atol=1e-4, err_msg=f"seed {seed}"
    )


def test_cam_is_linear_in_the_head():
    draw = np.random.default_rng(0)
    activations, one, two = (
        draw.normal(size=(2, 6, 4, 4)),
        draw.normal(size=(2, 6)),
        draw.normal(size=(2, 6)),
    )

    def of(weights):
        return reference_cam.cam(activations, weights, (9, 7), raw=True)

    np.testing.assert_allclose(of(one - 3 * two), of(one) - 3 * of(two), atol=1e-12)


def test_resizing_equals_torch_bilinear_without_aligned_corners(seed):
    torch.manual_seed(seed)
    for old, new in (((5, 7), (13, 9)), ((1, 4), (6, 6)), ((8, 8), (3, 8))):
        maps = torch.randn(2, *old, dtype=torch.float64)
        want = nn.functional.interpolate(maps[:, None], new, mode="bilinear")[:, 0]
        got = reference_cam.resize(maps.numpy(), new)
        np.testing.assert_allclose(got, want.numpy(), atol=1e-12, err_msg=f"seed {seed}")


def at_layer(layer, network, x, targets):
    """Activations of a layer, and the targets' gradients to them."""
    activations = layer(x)
    rest = nn.Sequential(*list(network.children())[1:])
    picked = rest(activations)[torch.arange(len(targets)), targets].sum()
    (gradients,) = torch.autograd.grad(picked, activations)
    return activations.detach().numpy(), gradients.numpy()
