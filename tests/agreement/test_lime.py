"""LIME equals the lime package: same draws, same segments, same probabilities, same answer."""

import numpy as np
import pytest
import skimage

from agreement import networks
from agreement.references import LimeImageExplainer, LimeTextExplainer, SegmentationAlgorithm
from candor.explain import options
from candor.explain.lime import lime
from candor.explain.question import Question
from candor.explain.segments import cut
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.told import finish

N_SAMPLES = 300


@pytest.mark.parametrize("baseline", ["mean", 0.25])
def test_lime_of_a_picture_equals_the_package(baseline, seed):
    subject = networks.convolutional(seed)
    draw = np.random.default_rng(seed)
    x = draw.random((1, 3, 16, 16))
    segments = np.arange(16)[:, None] // 3 * 4 + np.arange(16) // 4
    chosen = options.Lime(n_samples=N_SAMPLES, seed=seed, baseline=baseline)
    question = Question(x, Target(1), segments=segments.astype(np.int32))
    _, answer = finish(lime(subject, question, chosen))

    explanation = LimeImageExplainer(random_state=seed).explain_instance(
        np.moveaxis(x[0], 0, -1),
        lambda pictures: subject.predict(np.moveaxis(pictures, -1, 1)).probability,
        labels=(1,),
        top_labels=None,
        hide_color=None if baseline == "mean" else baseline,
        num_samples=N_SAMPLES,
        segmentation_fn=lambda _: segments,
        random_seed=0,
    )
    assert_same(answer, explanation, seed)
    by_segment = np.array([answer.values[segments == s][0] for s in range(segments.max() + 1)])
    np.testing.assert_array_equal(by_segment, coefficients_of(answer).astype(np.float32))
    np.testing.assert_array_equal(answer.segments, segments)


def test_lime_of_a_sentence_equals_the_package(seed):
    subject = networks.recurrent(seed)
    draw = np.random.default_rng(seed)
    words = draw.permutation(np.arange(2, 30))[:11]
    chosen = options.Lime(n_samples=N_SAMPLES, seed=seed)
    padded = np.concatenate([words, np.zeros(4, np.int64)])[None]
    _, answer = finish(lime(subject, Question(padded, Target(2)), chosen))

    def probabilities(sentences):
        unknown = {"UNKWORDZ": 1}
        ids = [[unknown.get(w) or int(w[1:]) for w in s.split(" ")] for s in sentences]
        return subject.predict(np.pad(np.array(ids), ((0, 0), (0, 4)))).probability

    explanation = LimeTextExplainer(
        bow=False, mask_string="UNKWORDZ", random_state=seed
    ).explain_instance(
        " ".join(f"w{word}" for word in words),
        probabilities,
        labels=(2,),
        num_features=100,
        num_samples=N_SAMPLES,
    )
    assert_same(answer, explanation, seed, label=2)
    assert (answer.values[11:] == 0).all(), f"seed {seed}: padding is no word"
    assert (answer.segments[11:] == -1).all()


def test_quickshift_is_the_segmentation_that_the_package_runs_by_default():
    cat = skimage.transform.resize(skimage.data.chelsea(), (60, 80))
    stretched = (cat - cat.min()) / (cat.max() - cat.min())
    want = SegmentationAlgorithm(
        "quickshift", kernel_size=4, max_dist=200, ratio=0.2, random_seed=7
    )(stretched)
    question = Question(np.moveaxis(3 * cat - 1, -1, 0)[None])
    segmentation = cut(question, options.Lime(segments="quickshift"), Geometry("image", 0))
    assert segmentation.n > 5
    np.testing.assert_array_equal(segmentation.positions, want)


def assert_same(answer, explanation, seed, label=1):
    want = np.array([value for _, value in sorted(explanation.local_exp[label])])
    figures = answer.trust["figures"]
    spread = {"rtol": 0, "atol": 1e-9, "err_msg": f"seed {seed}"}
    np.testing.assert_allclose(coefficients_of(answer), want, **spread)
    np.testing.assert_allclose(figures["intercept"], explanation.intercept[label], **spread)
    np.testing.assert_allclose(figures["r2"], explanation.score, **spread)
    np.testing.assert_allclose(figures["local_prediction"], explanation.local_pred[0], **spread)
    assert np.abs(want).max() > 1e-4, f"seed {seed}: a flat model would agree with anything"


def coefficients_of(answer):
    return np.array(answer.trust["figures"]["coefficients"])
