"""Which models' requests may share a run."""

import numpy as np
import pytest

from candor.errors import InvalidInput
from candor.result import Images, Tensors, Texts
from candor.runtime.joining import (
    Batching,
    Joining,
    gain,
    max_small_rows,
    pair_of,
    rows_are_independent,
    rows_come_first,
)
from candor.runtime.manifest import BatchingSection, Manifest
from candor.runtime.preprocess import Preprocessing
from candor.runtime.session import Session, SessionPolicy
from candor.runtime.specs import TensorSpec
from unit.autodiff.build import model

RNG = np.random.default_rng(3)
W = RNG.normal(size=(6, 3)).astype(np.float32)
POLICY = SessionPolicy(("cpu",))
NO_PLAN = Preprocessing(())
HEAD = "(float[n, 6] x) => (float[n, 3] y)"


def session(text, **weights):
    return Session(model(text, **weights), POLICY)


def dense():
    return session(f"{HEAD} {{ y = MatMul(x, w) }}", w=W)


def spec(name, *shape, datatype="FP32"):
    sizes = tuple(size if isinstance(size, int) else -1 for size in shape)
    symbols = tuple(size if isinstance(size, str) else "" for size in shape)
    return TensorSpec(name, datatype, sizes, symbols)


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ([("n", 6)], [("n", 3)], True),
        ([("n", 6), ("n", 2)], [("n", 3)], True),
        ([("n", 6)], [("m", 3)], True),  # exporters lose the name on the way
        ([("n", 6), ("m", 2)], [("n", 3)], False),
        ([(1, 6)], [(1, 3)], False),
        ([("n", 6)], [(3,)], False),
        ([("n", 6)], [()], False),
        ([("n", 6), ()], [("n", 3)], False),
        ([("n", "n")], [("n", 3)], False),
        ([("n", "t")], [("n", "t")], True),
        ([("n", "t")], [("t", "n")], False),
    ],
)
def test_rows_come_first(inputs, outputs, expected):
    made = [[spec(f"v{at}", *shape) for at, shape in enumerate(all_)] for all_ in (inputs, outputs)]
    assert rows_come_first(*made) is expected


@pytest.mark.parametrize(
    ("text", "weights", "expected"),
    [
        (f"{HEAD} {{ y = MatMul(x, w) }}", {"w": W}, True),
        (
            f"{HEAD} {{ h = MatMul(x, w) m = ReduceMean(h, axis) y = Sub(h, m) }}",
            {"w": W, "axis": np.array([0])},
            False,
        ),
        (f"{HEAD} {{ h = MatMul(x, w) y = Softmax <axis = 0>(h) }}", {"w": W}, False),
        (
            f"{HEAD} {{ q, s, z = DynamicQuantizeLinear(x) r = DequantizeLinear(q, s, z) "
            "y = MatMul(r, w) }",
            {"w": W},
            False,
        ),
        # every step sees those before it: the first axis is time
        (
            f"{HEAD} {{ c = CumSum(x, zero) y = MatMul(c, w) }}",
            {"w": W, "zero": np.array(0)},
            False,
        ),
        # twice as many rows come out as go in
        (f"{HEAD} {{ c = Concat <axis = 0>(x, x) y = MatMul(c, w) }}", {"w": W}, False),
    ],
    ids=["dense", "mean of the rows", "softmax over rows", "quantised", "time first", "twice"],
)
def test_rows_that_depend_on_each_other_are_found_out(text, weights, expected):
    found = session(text, **weights)
    one, other = pair_of({"x": RNG.normal(size=(2, 6)).astype(np.float32)})
    assert rows_are_independent(found.run, one, other) is expected


def test_the_other_row_is_of_the_same_kind_and_another_one():
    tensors = {
        "ids": np.array([[3, 1, 2]]),
        "flags": np.array([[True, False]]),
        "words": np.array([["a", "b"]], dtype=object),
        "x": np.array([[1.0, 2.0]], np.float32),
    }
    one, other = pair_of(tensors)
    assert other["ids"].tolist() == [[2, 3, 1]]  # ids that the model knows
    assert other["words"].tolist() == [["b", "a"]]
    for name, array in other.items():
        assert array.shape == one[name].shape
        assert array.dtype == one[name].dtype
        assert not np.array_equal(array, one[name])


def test_a_model_that_refuses_the_other_row_shares_nothing():
    def run(tensors):
        raise InvalidInput("no such id")

    assert rows_are_independent(run, *pair_of({"x": np.ones((1, 2))})) is False


def test_outputs_that_are_no_numbers_have_to_be_equal():
    def run(tensors):
        return {"label": (tensors["x"].sum(axis=1) > 0).astype(object)}

    assert rows_are_independent(run, *pair_of({"x": np.array([[1.0, 2.0]])})) is True


@pytest.mark.parametrize(
    ("payload", "least", "most"),
    [
        (Tensors({"x": np.zeros((1, 3, 224, 224), np.float32)}), 1, 1),
        (Tensors({"x": np.zeros((1, 1024, 1024), np.float32)}), 1, 1),
        (Tensors({"x": np.zeros((1, 1, 28, 28), np.float32)}), 100, 1000),
        (Tensors({"x": np.zeros((0, 5), np.float32)}), 1000, 10**6),
        (Tensors({"x": np.zeros((), np.float32)}), 1000, 10**6),
        (Texts(("some words",)), 1000, 10**6),
        (Images((b"",)), 1000, 10**6),  # there is no plan for them: they are refused later
    ],
)
def test_large_rows_are_not_worth_joining(payload, least, most):
    assert least <= max_small_rows(payload, NO_PLAN) <= most


def test_what_two_rows_gain_is_counted_in_time(monkeypatch):
    now = [0.0]

    def run(tensors):
        now[0] += 1.0 + 0.25 * len(tensors["x"])

    monkeypatch.setattr("candor.runtime.joining.perf_counter", lambda: now[0])
    assert gain(run, *pair_of({"x": np.ones((1, 2))})) == pytest.approx(2.5 / 1.5)


@pytest.mark.parametrize(("fixed_s", "expected"), [(0.1, False), (10.0, True)])
def test_requests_share_where_two_rows_take_little_more_than_one(monkeypatch, fixed_s, expected):
    now = [0.0]
    named = joining()
    real = named._run

    def run(tensors):
        now[0] += fixed_s + len(tensors["x"])
        return real(tensors)

    named._run = run
    monkeypatch.setattr("candor.runtime.joining.perf_counter", lambda: now[0])
    assert not named.tried
    assert named.most_brief_rows == 1
    assert named.alike({"x": RNG.normal(size=(1, 6)).astype(np.float32)})
    assert named.tried
    assert named.max_rows(ROW) == (32 if expected else 1)
    assert named.most_brief_rows == 32  # those wait for each other anyhow


def joining(policy=Batching(), **section):
    return Joining(dense(), Manifest(batching=BatchingSection(**section)), policy, NO_PLAN)


ROW = Tensors({"x": np.zeros((1, 6), np.float32)})
LARGE = Tensors({"x": np.zeros((1, 3, 224, 224), np.float32)})


def test_the_manifest_has_the_last_word():
    assert joining().max_rows(ROW) == 32
    assert joining().max_rows(LARGE) == 1
    assert joining(Batching(5, 0.25)).max_rows(ROW) == 5
    assert joining(Batching(5, 0.25)).delay_s == 0.25
    named = joining(Batching(5, 0.25), max_batch_size=9, max_queue_delay_ms=2.0)
    assert (named.max_rows(ROW), named.max_rows(LARGE), named.delay_s) == (9, 9, 0.002)
    assert joining(max_batch_size=1).max_rows(ROW) == 1


def test_what_was_found_out_is_remembered():
    named = joining(max_batch_size=9)
    assert named.alike({"x": RNG.normal(size=(3, 6)).astype(np.float32)})
    runs = []
    named._run = runs.append
    assert named.alike({"x": np.zeros((1, 6), np.float32)})
    assert runs == []


def test_a_model_that_mixes_its_rows_is_not_asked_to_share_again():
    mixing = session(
        f"{HEAD} {{ h = MatMul(x, w) m = ReduceMean(h, axis) y = Sub(h, m) }}",
        w=W,
        axis=np.array([0]),
    )
    named = Joining(mixing, Manifest(batching=BatchingSection(8)), Batching(), NO_PLAN)
    assert named.max_rows(ROW) == 8
    assert not named.alike({"x": RNG.normal(size=(1, 6)).astype(np.float32)})
    assert (named.max_rows(ROW), named.most_brief_rows) == (1, 1)
