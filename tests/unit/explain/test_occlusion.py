import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor.errors import InvalidOption, TooLarge
from candor.explain.occlusion import occlusion, resolve_occlusion
from candor.explain.options import Occlusion
from candor.explain.parse import describe
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.result import Target
from unit.explain.numpy_subject import linear
from unit.explain.told import finish

draw = np.random.default_rng(0)
WEIGHTS = draw.normal(size=(3, 2, 16, 24))
ROW = draw.normal(size=(1, 2, 16, 24)).astype(np.float32)


def by_definition(x, weights, window, stride, baseline):
    """One window after the other, in a linear model."""
    total, times = np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    counts = [-(-(n - w) // s) + 1 for n, w, s in zip(x.shape[1:], window, stride, strict=True)]
    for i, j in np.ndindex(*counts):
        at = np.s_[
            i * stride[0] : i * stride[0] + window[0], j * stride[1] : j * stride[1] + window[1]
        ]
        total[at] += (weights * (x - baseline))[:, *at].sum()
        times[at] += 1
    return total / times


@settings(max_examples=30)
@given(st.tuples(st.integers(1, 16), st.integers(1, 24)), st.data(), st.floats(-1, 1))
def test_occlusion_is_the_mean_loss_over_the_windows_that_cover_a_position(window, data, baseline):
    stride = tuple(data.draw(st.integers(max(1, side // 3), side)) for side in window)
    options = Occlusion(window, stride, baseline)
    _, answer = finish(occlusion(linear(WEIGHTS), Question(ROW, Target(1)), options))
    want = by_definition(ROW[0], WEIGHTS[1], window, stride, np.float32(baseline))
    np.testing.assert_allclose(answer.values, want, atol=1e-4 * np.abs(want).max())


def test_a_region_that_the_model_ignores_gets_exactly_zero():
    weights = WEIGHTS.copy()
    weights[:, :, 8:, :] = 0
    _, answer = finish(
        occlusion(linear(weights), Question(ROW, Target(0)), Occlusion((4, 4), (4, 4)))
    )
    assert (answer.values[8:] == 0).all()
    assert (answer.values[:8] != 0).all()


def test_windows_that_hold_the_baseline_already_are_not_run():
    x = ROW.copy()
    x[:, :, :, 12:] = 0
    subject = linear(WEIGHTS)
    _, answer = finish(occlusion(subject, Question(x, Target(0)), Occlusion((4, 4), (4, 4))))
    assert answer.trust["figures"]["n_windows"] == 24
    assert answer.trust["figures"]["n_unchanged"] == 12
    assert answer.trust["n_evaluations"] == subject.n_rows == 13
    assert (answer.values[:, 12:] == 0).all()
    assert answer.trust["figures"]["covered"] == 1.0


def test_kept_channels_all_carry_the_windows_value():
    _, summed = finish(occlusion(linear(WEIGHTS), Question(ROW, Target(0)), Occlusion()))
    options = Occlusion(channels="keep")
    _, kept = finish(occlusion(linear(WEIGHTS), Question(ROW, Target(0)), options))
    assert kept.values.shape == (2, 16, 24)
    for channel in kept.values:
        np.testing.assert_array_equal(channel, summed.values)


def test_defaults_are_resolved_to_numbers_that_repeat_the_call():
    _, answer = finish(occlusion(linear(WEIGHTS), Question(ROW), Occlusion()))
    assert answer.trust["options"] == {
        "window": "2,3", "stride": "1,1", "baseline": 0.0, "channels": "sum"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("geometry", "row", "window", "stride"),
    [
        (Geometry("image", 2), (224, 112, 3), (28, 14), (14, 7)),
        (Geometry("image", 0), (1, 5, 5), (1, 1), (1, 1)),
        (Geometry("series", 1), (100, 4), (12,), (6,)),
        (Geometry("tokens", None, pad=0), (60,), (1,), (1,)),
        (Geometry("tabular", None), (30,), (1,), (1,)),
    ],
)
def test_default_windows_are_an_eighth_or_one_of_what_has_no_extent(geometry, row, window, stride):
    subject = linear(np.zeros((3, *row)), geometry=geometry)
    resolved = resolve_occlusion(subject, Question(np.zeros((1, *row))), Occlusion())
    assert (resolved.window, resolved.stride) == (window, stride)


def test_one_number_serves_every_axis():
    resolved = resolve_occlusion(linear(WEIGHTS), Question(ROW), Occlusion((6,), (2,)))
    assert (resolved.window, resolved.stride) == ((6, 6), (2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Occlusion((17, 2)), r"window is '17,2', expected at most the input's '16,24'"),
        (Occlusion((4, 4), (5, 1)), r"stride is '5,1', expected at most the window's '4,4'"),
        (Occlusion((2, 2, 2)), r"expected one number, or one for each of the 2 axes of '16,24'"),
    ],
)
def test_windows_that_do_not_fit_are_refused_before_any_run(options, message):
    subject = linear(WEIGHTS)
    with pytest.raises(InvalidOption, match=message):
        next(occlusion(subject, Question(ROW), options))
    assert subject.calls == []


def test_too_many_windows_are_refused():
    row = np.zeros((1, 1, 400, 400), np.float32)
    subject = linear(np.zeros((3, 1, 400, 400)))
    with pytest.raises(TooLarge, match="160000 windows, the most is 100000; use a larger stride"):
        next(occlusion(subject, Question(row), Occlusion((1,), (1,))))


def test_what_is_known_after_a_slice_covers_the_row_coarsely():
    subject = linear(WEIGHTS)
    reports, answer = finish(
        occlusion(subject, Question(ROW, Target(0)), Occlusion((4, 4), (2, 2)))
    )
    assert reports[0].best is None
    assert reports[-1].done == reports[-1].total == answer.trust["n_evaluations"]
    early = reports[2].best()
    assert early.trust["complete"] is False
    assert early.trust["n_evaluations"] == 16
    assert early.trust["figures"]["covered"] > 0.4
    covered = early.values != 0
    assert covered[:8, :12].any()
    assert covered[8:, 12:].any(), "not one corner first"
    np.testing.assert_array_equal(reports[-1].best().values, answer.values)


def test_a_part_of_the_work_is_a_coarse_map_of_everything():
    rows, columns = np.mgrid[:32, :32]
    hill = np.exp(-((rows - 8) ** 2 + (columns - 20) ** 2) / 60)
    subject = linear(np.stack([np.zeros_like(hill), hill])[:, None])
    x = np.ones((1, 1, 32, 32), np.float32)
    reports, answer = finish(occlusion(subject, Question(x, Target(1)), Occlusion((4, 4), (2, 2))))
    parts = [report.best() for report in reports[2:]]
    likeness = [np.corrcoef(part.values.ravel(), answer.values.ravel())[0, 1] for part in parts]
    seen = [part.trust["figures"]["n_seen"] for part in parts]
    assert seen == [part.trust["n_evaluations"] - 1 for part in parts]
    assert seen[0] == 15
    assert answer.trust["figures"]["n_seen"] == answer.trust["figures"]["n_windows"] == 225
    assert (parts[0].values != 0).all()
    assert likeness[0] > 0.5
    assert likeness[seen.index(63)] > 0.9
    assert likeness[-1] == pytest.approx(1)


def test_features_not_seen_yet_are_no_ones_neighbours():
    weights = np.ones((3, 30))
    subject = linear(weights, geometry=Geometry("tabular", None))
    reports, _ = finish(occlusion(subject, Question(np.ones((1, 30)), Target(1)), Occlusion()))
    early = reports[1].best()
    assert (early.values != 0).sum() == early.trust["figures"]["n_seen"] == 7


def test_tokens_are_replaced_by_padding_one_by_one():
    embedding, weights = draw.normal(size=(10, 6)), draw.normal(size=(3, 5, 6))
    subject = linear(weights, geometry=Geometry("tokens", None, pad=0), embedding=embedding)
    ids = np.array([[3, 9, 4, 0, 0]])
    _, answer = finish(occlusion(subject, Question(ids, Target(1)), Occlusion()))
    want = (weights[1] * (embedding[ids[0]] - embedding[0])).sum(1)
    np.testing.assert_allclose(answer.values, want, rtol=1e-5, atol=1e-12)
    assert subject.n_rows == 4, "three words and the sentence itself; padding is not run"


def test_a_probability_can_be_asked_for():
    subject = linear(WEIGHTS / 20)
    question = Question(ROW, Target(1), "probability")
    _, answer = finish(occlusion(subject, question, Occlusion((16, 24), (1, 1))))
    p = subject.predict(np.concatenate([ROW, np.zeros_like(ROW)])).probability[:, 1]
    np.testing.assert_allclose(answer.values, p[0] - p[1], rtol=1e-5)
    assert answer.trust["warnings"] == [
        "constant: every position has the same value, the map shows no place; use a smaller window"
    ]


def test_one_window_over_everything_is_answered_with_the_cure():
    subject = linear(np.ones((3, 1, 4, 4)))
    question = Question(np.ones((1, 1, 4, 4)), Target(1))
    _, answer = finish(occlusion(subject, question, Occlusion(window=(4,), stride=(4,))))
    assert answer.trust["warnings"][0].endswith("; use a smaller window")


def test_the_help_tells_that_a_window_covers_all_channels():
    options = {found["name"]: found for found in describe("occlusion")["options"]}
    assert "the same value repeated for each channel" in options["channels"]["help"]
    np.testing.assert_array_equal(
        *finish(
            occlusion(
                linear(draw.normal(size=(3, 2, 6, 6))),
                Question(draw.normal(size=(1, 2, 6, 6))),
                Occlusion(channels="keep"),
            )
        )[1].values
    )
