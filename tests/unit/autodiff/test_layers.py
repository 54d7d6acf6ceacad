"""Layers of graphs whose channels come last, and what of them is on the way to the scores."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from candor.autodiff import anatomy, prepare
from candor.result import Array
from candor.runtime.blueprints import plan_explanations
from candor.runtime.manifest import Manifest
from candor.runtime.programs.cam import MAP, cam_program
from candor.runtime.programs.heads import DIRECTION
from gradcheck.networks import SEED, build, exported
from gradcheck.test_networks import session
from unit.autodiff.build import model


def token_cam(name: str, x: torch.Tensor, target: int) -> Array:
    """Grad-CAM at the input of the block, over the 4 x 4 patches behind the class token."""
    network, held = build(name), []
    hook = network.norm_1.register_forward_hook(lambda *call: held.append(call[2]))
    score = network(x)[:, target].sum()
    hook.remove()
    (slope,) = torch.autograd.grad(score, held[0])
    tokens, slope = held[0][:, 1:], slope[:, 1:]
    weights = slope.mean(1, keepdim=True)
    raw = torch.relu((weights * tokens).sum(-1)).reshape(-1, 1, 4, 4)
    return functional.interpolate(raw, size=(16, 16), mode="bilinear")[:, 0].detach().numpy()


@pytest.mark.parametrize("name", ["patches", "patches_legacy"])
def test_the_map_of_a_transformer_is_that_of_its_patches(name):
    """After the last attention only the class token counts: the layer is the norm before it."""
    plan = plan_explanations(exported(name), Manifest(), None, None)
    layer = plan.blueprint.anatomy.layer
    program = cam_program(plan.blueprint, "grad_cam", layer, normalise=False)
    x = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(SEED))
    toward = np.eye(5, dtype=np.float32)[[2, 2, 2]]
    (found,) = session(program).run([MAP], {"x": x.numpy(), DIRECTION: toward})
    expected = token_cam(name, x, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max(), err_msg=f"{SEED=}")
    assert expected.max() > 0


@pytest.mark.parametrize("name", ["windows", "windows_legacy"])
def test_windows_are_followed_to_the_last_norm(name):
    graph = prepare(exported(name))
    found = anatomy(graph)
    assert graph.shape(found.layer)[1:] == (4, 4, 16)
    assert found.cam_head.layer == found.layer
    assert (found.cam_head.layout.channel, found.cam_head.layout.spatial) == (3, (1, 2))


def test_a_mean_over_something_else_than_positions_is_no_head():
    weights = {"w": np.ones((8, 2), np.float32), "shape": np.array([0, 4, 8]), "at": np.array([1])}
    graph = prepare(
        model(
            """(float[n, 1, 4, 8] x) => (float[n, 2] y) {
        r = Reshape(x, shape)
        t = Tanh(r)
        m = ReduceMean <keepdims = 0>(t, at)
        y = MatMul(m, w)
    }""",
            **weights,
        )
    )
    found = anatomy(graph)
    assert found.cam_head is None
    assert "are not those of the input" in found.cam_refusal
