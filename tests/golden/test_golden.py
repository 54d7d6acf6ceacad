"""Attributions equal what the reference packages said when the golden values were made.

Needs neither torch nor any reference package: the networks run in numpy, on the stored weights.
"""

from pathlib import Path

import numpy as np
import pytest

from agreement import reference_cam
from candor.explain import options
from candor.explain.explainers import BULK, INTERACTIVE
from candor.explain.question import Question
from candor.result import Target
from golden.networks import (
    last_layer,
    picture_subject,
    record_subject,
    sentence_subject,
    to_last_layer,
)
from unit.explain.told import finish


class Golden:
    def __init__(self, name, build):
        with np.load(Path(__file__).with_name(f"{name}.npz")) as stored:
            self.values = dict(stored)
        weights = {
            key.removeprefix("weights/"): value.astype(np.float64)
            for key, value in self.values.items()
            if key.startswith("weights/")
        }
        self.weights, self.subject = weights, build(weights)

    def __getitem__(self, key):
        return self.values[key]

    def explain(self, chosen, row):
        x = self["x"][row : row + 1]
        x = x if x.dtype.kind == "i" else x.astype(np.float64)
        segments = self.values.get("segments")
        question = Question(x, Target(int(self["targets"][row])), segments=segments)
        if type(chosen) in INTERACTIVE:
            return INTERACTIVE[type(chosen)](self.subject, [question], chosen)[0]
        return finish(BULK[type(chosen)](self.subject, question, chosen))[1]


@pytest.fixture(scope="module")
def picture():
    return Golden("picture", picture_subject)


@pytest.fixture(scope="module")
def sentence():
    return Golden("sentence", sentence_subject)


@pytest.fixture(scope="module")
def record():
    with np.load(Path(__file__).with_name("record.npz")) as stored:
        training = stored["training"].astype(np.float64)
    return Golden("record", lambda weights: record_subject(weights, training))


@pytest.fixture(params=["picture", "sentence", "record"])
def golden(request):
    return request.getfixturevalue(request.param)


def test_the_numpy_networks_are_those_that_the_references_saw(golden):
    scores = golden.subject.predict(golden["x"]).score
    np.testing.assert_allclose(scores, golden["score"], rtol=1e-12)


@pytest.mark.parametrize("row", [0, 1])
def test_gradient_is_captums(golden, row):
    chosen = options.Gradient(reduction="signed", channels="keep")
    found, wanted = golden.explain(chosen, row).values, golden["gradient"][row]
    if golden.subject.geometry.pad is not None:  # captum differentiates padding too
        padding = golden["x"][row] == golden.subject.geometry.pad
        assert not found[padding].any()
        wanted = np.where(padding[:, None], 0, wanted)
    assert_close(found, wanted, 1e-6)


@pytest.mark.parametrize("row", [0, 1])
def test_integrated_gradients_are_captums(golden, row):
    chosen = options.IntegratedGradients(int(golden["n_steps"]), channels="keep")
    assert_close(golden.explain(chosen, row).values, golden["integrated_gradients"][row], 1e-5)


@pytest.mark.parametrize("row", [0, 1])
def test_occlusion_is_captums(golden, row):
    window, stride = (tuple(golden.values.get(key, [])) for key in ("window", "stride"))
    chosen = options.Occlusion(window, stride, channels="keep")
    assert_close(golden.explain(chosen, row).values, golden["occlusion"][row], 1e-6)


@pytest.mark.parametrize("row", [0, 1])
def test_lime_is_the_packages(golden, row):
    chosen = options.Lime(int(golden["n_samples"]), seed=int(golden["seed"]))
    figures = golden.explain(chosen, row).trust["figures"]
    for figure in ("coefficients", "intercept", "r2"):
        np.testing.assert_allclose(
            figures[figure], golden[f"lime/{row}/{figure}"], rtol=0, atol=1e-9
        )


def test_numpy_grad_cam_is_pytorch_grad_cams(picture):
    toward = np.eye(3)[picture["targets"]]
    activations = last_layer(picture.weights, picture["x"].astype(np.float64))
    gradients = to_last_layer(picture.weights, toward).reshape(activations.shape)
    maps = reference_cam.grad_cam(activations, gradients, (12, 12), raw=False)
    np.testing.assert_allclose(maps, picture["grad_cam"], atol=2e-6)


@pytest.mark.parametrize("method", reference_cam.UNSCALED)
def test_numpy_formulas_are_pytorch_grad_cams(picture, method):
    toward = np.eye(3)[picture["targets"]]
    activations = last_layer(picture.weights, picture["x"].astype(np.float64))
    gradients = to_last_layer(picture.weights, toward).reshape(activations.shape)
    raw = reference_cam.UNSCALED[method](activations, gradients)
    maps = reference_cam.normalise(np.maximum(raw, 0), (12, 12))
    np.testing.assert_allclose(maps, picture[method], atol=2e-5)


def test_the_stored_values_say_what_made_them(golden):
    made_by = dict(entry.split("==") for entry in golden["versions"])
    assert set(made_by) == {"captum", "grad-cam", "lime", "numpy", "torch"}


def assert_close(got, want, tolerance):
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())
