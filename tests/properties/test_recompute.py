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
from candor.runtime.programs.recompute import STAGE_NS, recomputation
from candor.runtime.programs.stages import HANDED
from candor.runtime.session import Session, SessionPolicy
from gradcheck.networks import SEED
from properties.convolutional import classifiers

POLICY = SessionPolicy(("cpu",), intra_op_threads=1)


@seed(SEED)
@settings(max_examples=40)
@given(classifiers(), st.integers(0, 2**31), st.sampled_from([0, 1_000, STAGE_NS]))
def test_scores_with_a_window_covered_are_those_of_the_whole(classifier, number, stage_ns):
    note(f"CANDOR_SEED={SEED}\n{classifier}")
    graph = prepare(classifier.model())
    kind = "image" if len(classifier.extents) == 2 else "series"
    blueprint = Blueprint(graph, anatomy(graph), "softmax", kind, 0, "x")
    try:
        programs = recomputation(blueprint, stage_ns)
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
    kept = Session(programs.first.made(), POLICY).run({"x": x})
    again = [Session(stage.made(), POLICY) for stage in programs.again]
    event(f"stages: {len(again)}")
    shapes = {name: kept[name].shape for name in programs.recipe.contexts}
    assert shapes == programs.recipe.contexts
    np.testing.assert_allclose(kept[SCORE], whole.run({"x": x})[SCORE], rtol=1e-5, atol=1e-6)
    contexts = {name: kept[name] for name in shapes}
    low, high = windows(rng, classifier.extents)
    places = programs.recipe.places((low, high))
    shared = {**contexts, BASELINE: programs.recipe.matrix(baseline)}
    feeder, n = programs.recipe.feeder, len(low)
    runs = [[window] for window in range(n)]
    if programs.recipe.at_once > 1:
        runs += [list(range(n)), rng.permutation(n)[:3].tolist()]
    event(f"windows a run: {programs.recipe.at_once}")
    covered = np.repeat(x, n, axis=0)
    for row, first, last in zip(covered, low, high, strict=True):
        at = (slice(None), *map(slice, first, last))
        row[at] = baseline[0][at]
    want = [whole.run({"x": row[None]}) for row in covered]
    for run in runs:
        got = {**shared, **feeder.fed(places, run)}
        for stage, takes in zip(again, programs.recipe.takes, strict=True):
            found = stage.run({name: got[name] for name in takes})
            got |= found | {HANDED + name: value for name, value in found.items()}
        assert got[SCORE].shape == (len(run), 5)
        for window, score, probability in zip(run, got[SCORE], got[PROBABILITY], strict=True):
            error = np.abs(score - want[window][SCORE]).max()
            scale = np.abs(want[window][SCORE]).max()
            assert error <= 1e-5 * scale, f"window {low[window]} to {high[window]} of {run}"
            np.testing.assert_allclose(probability, want[window][PROBABILITY][0], atol=2e-5)


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
