"""Layers of graphs whose channels come last, and what of them is on the way to the scores."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from candor.autodiff import Anatomy, anatomy, gradient, prepare
from candor.autodiff.recurrent_layers import STATES
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


ATTENTION = """scored = Conv(deep, point)  flat = Reshape(scored, to_row)
    weight = Softmax <axis = 2>(flat)  columns = Reshape(deep, to_row)
    weighed = Mul(columns, weight)  read = ReduceSum <keepdims = 0>(weighed, last)
    y = MatMul(read, head)"""
SINGLE = "scored = Conv(deep, point)  read = GlobalAveragePool(scored)  y = Flatten(read)"


@pytest.mark.parametrize(("rest", "layer"), [(ATTENTION, "deep"), (SINGLE, "scored")])
def test_a_single_channel_is_mapped_unasked_where_it_is_the_class_itself(rest, layer):
    rng = np.random.default_rng(SEED)
    normal = partial(rng.standard_normal, dtype=np.float32)
    graph = prepare(
        model(
            f"""(float[n, 3, 8, 8] x) => (float[n, k] y) {{
                first = Conv(x, kernel)  deep = Relu(first)  {rest} }}""",
            kernel=normal((4, 3, 3, 3)),
            point=normal((1, 4, 1, 1)),
            head=normal((4, 2)),
            to_row=np.array([0, 0, -1]),
            last=np.array([2]),
        )
    )
    found = anatomy(graph)
    assert "scored" in {layer.name for layer in found.layers}
    assert found.layer == layer


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


def test_a_convolution_beside_the_class_token_is_not_mapped_unasked():
    """As in CoaT: the last attention convolves the patches, which adds zero to the class token."""
    rng = np.random.default_rng(SEED)
    normal = partial(rng.standard_normal, dtype=np.float32)
    graph = prepare(
        model(
            """(float[n, 3, 8, 8] x) => (float[n, 2] y) {
        embedded = Conv <strides = [4, 4]>(x, embed)
        flat = Reshape(embedded, flat_shape)
        patches = Transpose <perm = [0, 2, 1]>(flat)
        token = ReduceMax(patches, one)
        tokens = Concat <axis = 1>(token, patches)
        normal = LayerNormalization(tokens, scale)
        mixed = MatMul(mix, normal)
        image_tokens = Slice(normal, one, five, one)
        turned = Transpose <perm = [0, 2, 1]>(image_tokens)
        image = Reshape(turned, image_shape)
        near = Conv <group = 4, pads = [1, 1, 1, 1]>(image, depthwise)
        heads = Reshape(near, heads_shape)
        back = Transpose <perm = [0, 3, 1, 2]>(heads)
        merged = Reshape(back, tokens_shape)
        beside = Pad(merged, pads)
        sum = Sum(tokens, mixed, beside)
        scored = Gather <axis = 1>(sum, zero)
        y = MatMul(scored, head)
    }""",
            embed=normal((4, 3, 4, 4)),
            scale=normal(4),
            mix=normal((1, 5, 5)),
            depthwise=normal((4, 1, 3, 3)),
            head=normal((4, 2)),
            pads=np.array([0, 1, 0, 0, 0, 0]),
            one=np.array([1]),
            five=np.array([5]),
            zero=np.array(0),
            flat_shape=np.array([0, 4, 4]),
            image_shape=np.array([0, 4, 2, 2]),
            heads_shape=np.array([0, 2, 2, 4]),
            tokens_shape=np.array([0, 4, 4]),
        )
    )
    found = anatomy(graph)
    assert "near" in {layer.name for layer in found.layers}
    assert found.layer == "normal"
    slopes = gradient(graph, {"y": "y"}, ["normal", "near"])
    graph.add_output(slopes["normal"], "at_layer")
    graph.add_output(slopes["near"], "beside_it")
    run = session(graph.finish(["at_layer", "beside_it"]))
    at_layer, beside_it = run.run(None, {"x": normal((2, 3, 8, 8))})
    assert np.abs(at_layer[:, 1:]).min(axis=(0, 2)).max() > 0, f"{SEED=}"
    assert not beside_it.any(), f"{SEED=}"


def test_patches_that_stand_among_the_rows_are_no_layer():
    """As in TNT, where a transformer looks into each patch as if it were a picture."""
    graph = prepare(
        model(
            """(float[n, 3, 8, 8] x) => (float[n, 2] y) {
        whole = Conv <kernel_shape = [1, 1]>(x, square)
        patches = Reshape(whole, patch_shape)
        inner = Conv <kernel_shape = [1, 1]>(patches, square)
        m = ReduceMean <keepdims = 0>(inner, space)
        flat = Reshape(m, flat_shape)
        y = MatMul(flat, head)
    }""",
            square=np.ones((3, 3, 1, 1), np.float32),
            head=np.ones((12, 2), np.float32),
            space=np.array([2, 3]),
            patch_shape=np.array([-1, 3, 4, 4]),
            flat_shape=np.array([-1, 12]),
        )
    )
    assert graph.shape("inner") == ("4*n", 3, 4, 4)
    found = anatomy(graph)
    assert [layer.name for layer in found.layers] == ["whole"]
    assert found.layer == "whole"


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


RECURRENT = """(float[n, t, 3] x) => (float[n, 2] y) {{
    s = Transpose <perm = [1, 0, 2]>({read})
    h, last = GRU <hidden_size = 4>(s, w, r)
    m = ReduceMean <keepdims = 0>(h, time)
    f = Reshape(m, flat)
    y = MatMul(f, v)
}}"""


def recurrent(read: str = "x", before: str = "") -> Anatomy:
    given = {
        "w": np.ones((1, 12, 3), np.float32),
        "r": np.ones((1, 12, 4), np.float32),
        "v": np.ones((4, 2), np.float32),
        "time": np.array([0], np.int64),
        "flat": np.array([-1, 4], np.int64),
        "half": np.array([2], np.int64),
        "none": np.array([0], np.int64),
        "axis": np.array([1], np.int64),
    }
    text = RECURRENT.format(read=read).replace("{\n", "{\n" + before, 1)
    return anatomy(prepare(model(text, **given)))


def test_states_of_a_recurrent_layer_are_a_layer():
    found = recurrent()
    assert [layer.name for layer in found.layers] == ["h"]
    assert found.layer == "h"
    assert found.layers[0].layout is STATES


def test_states_of_other_steps_than_the_inputs_are_none():
    assert recurrent("p", "p = Slice(x, none, half, axis)\n").layers == ()
