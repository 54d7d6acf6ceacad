"""What is recomputed where windows reach is what the whole gives, of any convolutional network."""

import numpy as np
from hypothesis import event, given, note, reject, seed, settings
from hypothesis import strategies as st

from candor.autodiff import anatomy, prepare
from candor.errors import InvalidInput, Unsupported
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.forward import forward
from candor.runtime.programs.gradient import BASELINE
from candor.runtime.programs.heads import PROBABILITY, SCORE
from candor.runtime.programs.recompute import recomputation
from candor.runtime.session import Session, SessionPolicy
from gradcheck.networks import SEED
from properties.convolutional import classifiers

POLICY = SessionPolicy(("cpu",), intra_op_threads=1)


@seed(SEED)
@settings(max_examples=40)
@given(classifiers(), st.integers(0, 2**31))
def test_scores_with_a_window_covered_are_those_of_the_whole(classifier, number):
    note(f"CANDOR_SEED={SEED}\n{classifier}")
    graph = prepare(classifier.model())
    kind = "image" if len(classifier.extents) == 2 else "series"
    blueprint = Blueprint(graph, anatomy(graph), "softmax", kind, 0, "x")
    try:
        programs = recomputation(blueprint)
    except Unsupported as error:
        event(f"refused: {error.message}")
        return
    rng = np.random.default_rng(number)
    x, baseline = rng.normal(size=(2, 1, 3, *classifier.extents)).astype(np.float32)
    whole = Session(forward(blueprint), POLICY)
    try:
        whole.run({"x": x})
    except InvalidInput:  # onnx infers a window in the padding alone, and the head is too large
        reject()
    kept, again = Session(programs.first, POLICY).run({"x": x}), Session(programs.again, POLICY)
    shapes = {name: kept[name].shape for name in programs.recipe.contexts}
    assert shapes == programs.recipe.contexts
    np.testing.assert_allclose(kept[SCORE], whole.run({"x": x})[SCORE], rtol=1e-5, atol=1e-6)
    contexts = {name: kept[name] for name in shapes}
    low, high = windows(rng, classifier.extents)
    each = programs.recipe.places((low, high))
    shown = programs.recipe.matrix(baseline)
    for first, last, places in zip(low, high, each, strict=True):
        covered = x.copy()
        at = (slice(None), slice(None), *map(slice, first, last))
        covered[at] = baseline[at]
        want = whole.run({"x": covered})
        got = again.run({**contexts, BASELINE: shown, **programs.recipe.fed(places)})
        error = np.abs(got[SCORE] - want[SCORE]).max()
        assert error <= 1e-5 * np.abs(want[SCORE]).max(), f"window {first} to {last}"
        np.testing.assert_allclose(got[PROBABILITY], want[PROBABILITY], atol=2e-5)


def windows(rng, extents):
    """At every corner, of one position, of all, and some at random: low and high ends."""
    sizes = np.array(extents)
    ends = [(np.zeros_like(sizes), sizes // 3 + 1), (sizes - sizes // 4 - 1, sizes)]
    ends += [(sizes // 2, sizes // 2 + 1), (np.zeros_like(sizes), sizes), (sizes - 1, sizes)]
    for _ in range(6):
        one, two = rng.integers(0, sizes + 1), rng.integers(0, sizes + 1)
        low = np.minimum(np.minimum(one, two), sizes - 1)
        ends.append((low, np.maximum(np.maximum(one, two), low + 1)))
    low, high = zip(*ends, strict=True)
    return np.array(low), np.array(high)
