"""Full trust against captum, given the same perturbations, and against runs done by hand.

Infidelity and max-sensitivity: captum 0.9.0 in float64, to 1e-6 (the sums are in another order).
Deletion and insertion: the committed model in ONNX Runtime on inputs masked pixel by pixel, to 1e-5
of a probability, which is what float32 leaves where rows run in other batches.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from captum.attr import Saliency
from captum.metrics import infidelity, sensitivity_max
from scipy.ndimage import gaussian_filter

from agreement import networks
from candor.cli.local import open_model
from candor.explain.blur import rise_blurred
from candor.explain.examination import N_REMOVALS, Found, curves, losses, trial_of
from candor.explain.explainers import in_slices
from candor.explain.options import Gradient, IntegratedGradients
from candor.explain.question import Question
from candor.explain.removals import draw_removals
from candor.explain.repeats import N_NOISY, RADIUS
from candor.result import Geometry, Images, Target
from serving import REPOSITORY
from unit.explain.told import finish


def examined(subject, x, options, target=1):
    question = Question(x, Target(target), trust="full")
    return finish(in_slices(subject, question, options))[1]


def random_picture(seed):
    return np.random.default_rng(seed).normal(size=(1, 3, 16, 16))


def captum_infidelity(subject, x, attribution, *, normalize):
    removals = draw_removals(
        "image", np.ones((16, 16), dtype=bool), N_REMOVALS, np.random.default_rng(0)
    )
    masks = removals.masks(slice(0, N_REMOVALS)).reshape(-1, 1, 16, 16)
    removed = torch.tensor(np.broadcast_to(masks, (N_REMOVALS, 3, 16, 16)).copy())

    def perturb(inputs):
        # what is removed becomes 0, and a share of the target is lost with the whole of its place
        return removed.to(inputs.dtype), torch.where(removed, 0.0, inputs)

    found = infidelity(
        subject.classify,
        perturb,
        torch.tensor(x),
        torch.tensor(np.broadcast_to(attribution.values / 3, (1, 3, 16, 16)).astype(float)),
        target=1,
        n_perturb_samples=N_REMOVALS,
        normalize=normalize,
    )
    lost = subject.predict(x).score[0, 1] - subject.predict(np.where(masks, 0.0, x)).score[:, 1]
    return float(found[0]), float(np.mean(lost**2))


def test_infidelity_of_shares_is_captums(seed):
    subject, x = networks.convolutional(seed), random_picture(seed)
    answer = examined(subject, x, IntegratedGradients())
    plain, _ = captum_infidelity(subject, x, answer, normalize=False)
    scaled, of_nothing = captum_infidelity(subject, x, answer, normalize=True)
    assert answer.trust["figures"]["infidelity"] == pytest.approx(plain, rel=1e-6)
    relative = answer.trust["figures"]["relative_infidelity"]
    if relative < 1.0:  # else captum's factor is negative
        assert relative == pytest.approx(scaled / of_nothing, rel=1e-6)


def test_infidelity_of_slopes_is_captums_of_the_gradient(seed):
    subject, x = networks.convolutional(seed), random_picture(seed)
    answer = examined(subject, x, Gradient("signed", channels="keep"))
    masks = draw_removals(
        "image", np.ones((16, 16), dtype=bool), N_REMOVALS, np.random.default_rng(0)
    ).masks(slice(0, N_REMOVALS))
    removed = torch.tensor(masks.reshape(-1, 1, 16, 16))
    found = infidelity(
        subject.classify,
        lambda inputs: (removed * inputs, torch.where(removed, 0.0, inputs)),
        torch.tensor(x),
        torch.tensor(answer.values[None].astype(float)),
        target=1,
        n_perturb_samples=N_REMOVALS,
    )
    assert answer.trust["figures"]["infidelity"] == pytest.approx(float(found[0]), rel=1e-5)


def test_max_sensitivity_is_captums(seed):
    subject, x = networks.convolutional(seed), random_picture(seed)
    answer = examined(subject, x, Gradient())
    radius = RADIUS * np.ptp(x)
    assert answer.trust["examined"]["radius"] == pytest.approx(radius)
    rng = np.random.default_rng([0, 1])
    noise = torch.tensor(rng.uniform(-radius, radius, (N_NOISY, *x.shape[1:])))
    saliency = Saliency(subject.classify)

    def explain(inputs, **_):
        pictures = inputs[0] if isinstance(inputs, tuple) else inputs
        return (saliency.attribute(pictures.requires_grad_(), target=1).sum(dim=1),)

    found = sensitivity_max(
        explain, torch.tensor(x), lambda inputs: inputs[0] + noise, n_perturb_samples=N_NOISY
    )
    measured = answer.trust["figures"]["max_sensitivity"]
    assert measured == pytest.approx(float(found[0]), rel=1e-5)


# Deletion and insertion on a committed model ---------------------------------------------------


@pytest.fixture(scope="module")
def photos():
    """The photograph model, a photograph as its input, and its bare session."""
    file, model = open_model(REPOSITORY / "photos" / "1" / "model.onnx")
    picture = Path(skimage.data.__file__).with_name("chelsea.png").read_bytes()
    x = model.encode(Images((picture,))).tensors[model.input_name]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.proto.SerializeToString(), options)
    return model, x, session


def probability(session, x, target):
    (logits,) = session.run(None, {session.get_inputs()[0].name: x})
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True))[:, target]


def by_hand(session, x, values, target, *, insertion):
    """RISE's evaluation, state by state: how many pixels are changed, and what is said then."""
    height, width = values.shape
    order = np.flip(np.argsort(values.ravel(), kind="stable"))
    per_step = -(-height * width // 28)
    kernel = np.zeros((11, 11))
    kernel[5, 5] = 1
    kernel = torch.tensor(gaussian_filter(kernel, 5), dtype=torch.float32)
    filters = kernel.expand(1, 1, 11, 11)
    soft = torch.cat(
        [torch.nn.functional.conv2d(torch.tensor(x[:, c : c + 1]), filters, padding=5)
         for c in range(3)], dim=1,
    ).numpy()  # fmt: skip
    start, finish_ = (soft, x) if insertion else (x, np.zeros_like(x))
    current = start.copy().reshape(1, 3, -1)
    curve = [probability(session, start, target)[0]]
    for step in range(0, height * width, per_step):
        changed = order[step : step + per_step]
        current[:, :, changed] = finish_.reshape(1, 3, -1)[:, :, changed]
        curve.append(probability(session, current.reshape(x.shape), target)[0])
    curve = np.array(curve)
    return curve, (curve.sum() - curve[0] / 2 - curve[-1] / 2) / (len(curve) - 1)


@pytest.mark.parametrize("options", [Gradient(), IntegratedGradients(8)], ids=repr)
def test_deletion_and_insertion_are_those_done_by_hand(photos, options):
    model, x, session = photos
    answer = finish(in_slices(model.subject(), Question(x, trust="full"), options))[1]
    target = answer.trust["target"]["plus"]
    for way in ("deletion", "insertion"):
        curve, area = by_hand(session, x, answer.values, target, insertion=way == "insertion")
        np.testing.assert_allclose(answer.trust["examined"][way], curve, atol=1e-5)
        assert answer.trust["figures"][f"{way}_auc"] == pytest.approx(area, abs=1e-5)


def test_the_blur_is_rises_for_other_layouts_too(photos):
    _, x, _ = photos
    first = rise_blurred(x, Geometry("image", 0))
    last = rise_blurred(np.moveaxis(x, 1, -1), Geometry("image", 2))
    np.testing.assert_array_equal(np.moveaxis(last, -1, 1), first)
    np.testing.assert_array_equal(rise_blurred(x[:, 0], Geometry("image", None)), first[:, 0])


def test_a_faithful_map_is_told_from_a_random_and_an_inverted_one(photos):
    model, x, _ = photos
    question, options = Question(x), Gradient("signed", times_input=True)
    answer = finish(in_slices(model.subject(), question, IntegratedGradients(30)))[1]
    shuffled = np.random.default_rng(1).permutation(answer.values.ravel())

    def figures(values):
        found = Found()
        of = trial_of(model.subject(), question, options, replace(answer, values=values))
        for stage in (curves(of, found), losses(of, found)):
            assert sum(stage) > 0
        return found.figures

    true = figures(answer.values)
    inverted = figures(-answer.values)
    for worse in (figures(shuffled.reshape(answer.values.shape)), inverted):
        assert true["deletion_auc"] < worse["deletion_auc"]
        assert true["insertion_auc"] > worse["insertion_auc"]
        assert true["faithfulness_correlation"] > worse["faithfulness_correlation"]
    # An even map, which a shuffled one nearly is, tells losses well that have much in common.
    assert true["relative_infidelity"] < inverted["relative_infidelity"] == 1.0
    assert true["infidelity"] < inverted["infidelity"]
