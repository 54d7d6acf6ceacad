import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor.errors import InvalidOption
from candor.explain.options import METHODS, GradCam, Gradient, IntegratedGradients, Lime, Occlusion
from candor.explain.parse import (
    _number,
    _specs,
    check_options,
    describe,
    method_name,
    parse_options,
    to_json,
)
from candor.explain.spec import Spec

RANGED = [
    (method, name, spec)
    for method, kind in METHODS.items()
    for name, spec in _specs(kind).items()
    if spec.low is not None
]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_given_is_the_contracts_defaults(method):
    assert parse_options(method, {}) == METHODS[method]()
    check_options(METHODS[method]())


def test_numbers_may_be_written_as_text():
    given = {"n_samples": "500", "kernel_width": " 2.5e-1", "baseline": "-0.5", "seed": "7"}
    assert parse_options("lime", given) == Lime(500, kernel_width=0.25, baseline=-0.5, seed=7)


def test_whole_numbers_may_come_as_double_and_numbers_as_int():
    parsed = parse_options("lime", {"n_samples": 500.0, "baseline": 1, "kernel_width": 1})
    assert parsed == Lime(500, baseline=1.0, kernel_width=1.0)
    assert type(parsed.n_samples) is int
    assert type(parsed.baseline) is float


@pytest.mark.parametrize(
    ("text", "sides"), [("8,8", (8, 8)), ("8, 4", (8, 4)), ("8", (8,)), (8, (8,))]
)
def test_windows_are_one_number_or_one_for_each_axis(text, sides):
    assert parse_options("occlusion", {"window": text, "stride": 2}) == Occlusion(sides, (2,))


@pytest.mark.parametrize(
    ("raw", "flag"), [("true", True), ("False", False), ("1", True), (0, False), (True, True)]
)
def test_flags_are_read_as_written(raw, flag):
    assert parse_options("gradient", {"times_input": raw}) == Gradient(times_input=flag)


def test_layers_are_names():
    assert parse_options("grad_cam", {"layer": "relu_16"}) == GradCam(layer="relu_16")


def test_unknown_method_says_which_and_suggests_the_nearest():
    with pytest.raises(InvalidOption, match=r"'grad-cam'; did you mean 'grad_cam'\?.*occlusion"):
        parse_options("grad-cam", {})
    with pytest.raises(InvalidOption, match="unknown method 'zzz'; There are: cam"):
        describe("zzz")


def test_unknown_option_says_which_and_suggests_the_nearest():
    with pytest.raises(InvalidOption, match=r"lime 'samples'; did you mean 'n_samples'\?"):
        parse_options("lime", {"samples": 5})


@pytest.mark.parametrize(("method", "name", "spec"), RANGED)
def test_ranges_hold_at_both_ends_and_the_message_names_them(method, name, spec):
    for inside in (spec.low, spec.high):
        parse_options(method, {name: str(inside) if spec.kind == "number" else int(inside)})
    for outside in (spec.low - 1, spec.high + 1, spec.low - 1e-6):
        with pytest.raises(InvalidOption, match=rf"{method}\.{name} is .* from .* to "):
            parse_options(method, {name: outside})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "nan", "inf", "1e999"], ids=repr)
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("lime", "kernel_width"),
        ("lime", "baseline"),
        ("lime", "n_samples"),
        ("integrated_gradients", "baseline"),
        ("integrated_gradients", "tolerance"),
        ("occlusion", "window"),
    ],
)
def test_what_is_not_finite_is_refused(method, name, bad):
    with pytest.raises(InvalidOption, match=rf"{method}\.{name} is "):
        parse_options(method, {name: bad})


@pytest.mark.parametrize(
    ("method", "name", "raw", "right"),
    [
        ("lime", "n_samples", True, "an integer from 2 to 100,000"),
        ("integrated_gradients", "n_steps", True, "an integer from 1 to 10,000"),
        ("lime", "n_samples", "many", "an integer from 2 to 100,000"),
        ("lime", "n_samples", 10.5, "an integer"),
        ("lime", "n_samples", "1_000", "an integer"),
        ("lime", "n_samples", "٣٣", "an integer"),
        ("lime", "n_samples", "9" * 5000, "an integer"),
        ("lime", "segments", "slick", r"'grid' \| 'change_points'; did you mean 'slic'\?"),
        ("lime", "baseline", "meen", r"'training' or a number .*; did you mean 'mean'\?"),
        ("gradient", "times_input", "maybe", "true or false"),
        ("gradient", "reduction", "ABS", "'abs' | 'signed'"),
        ("occlusion", "window", "8,x", "like '8' or '8,8'"),
        ("occlusion", "window", "", "like '8'"),
        ("occlusion", "window", "8,0", "from 1 to"),
        ("occlusion", "window", ",".join("1" * 40), "like '8'"),
        ("grad_cam", "layer", "", "name of a value"),
    ],
)
def test_wrong_values_are_named_with_what_would_be_right(method, name, raw, right):
    with pytest.raises(InvalidOption, match=right) as refusal:
        parse_options(method, {name: raw})
    assert f"{method}.{name} is " in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "options",
    [
        Lime(n_samples=1),
        Lime(n_samples="50"),
        Lime(n_samples=True),
        Lime(kernel_width=math.nan),
        Lime(baseline="median"),
        Lime(baseline=math.inf),
        Lime(baseline="0.5"),
        Lime(seed=-2),
        IntegratedGradients(n_steps=0),
        IntegratedGradients(tolerance=0.0),
        Occlusion(window=(0,)),
        Occlusion(window="8,8"),
        Occlusion(stride=(2, -1)),
        Gradient(reduction="max"),
        GradCam(layer=""),
        GradCam(layer=3),
        GradCam(normalise="yes"),
    ],
)
def test_values_built_by_hand_are_checked_as_strictly(options):
    with pytest.raises(InvalidOption, match=rf"{method_name(options)}\."):
        check_options(options)


def test_values_built_by_hand_and_in_range_pass():
    check_options(Lime(baseline=3, kernel_width=1))
    check_options(Occlusion(window=(8, 8), stride=(4,), baseline=0.0))
    check_options(IntegratedGradients(tolerance=0.01, baseline=1.0))


def test_infinity_is_refused_even_where_no_range_is_given():
    assert _number(1e300, Spec("number", "")) == 1e300
    assert _number(math.inf, Spec("number", "")) is None
    assert _number("1e999", Spec("number", "")) is None


def a_value(spec):
    return {
        "integer": st.integers(int(spec.low or 0), int(spec.high or 1)),
        "number": st.floats(spec.low, spec.high),
        "flag": st.booleans(),
        "choice": st.sampled_from(spec.choices or ("",)),
        "name": st.text(min_size=1, max_size=9),
        "integers": st.lists(st.integers(1, 99), min_size=1, max_size=3).map(tuple),
        "choice or number": st.sampled_from(spec.choices or ("",)) | st.floats(-1e6, 1e6),
    }[spec.kind]


any_options = st.one_of(
    st.builds(kind, **{name: a_value(spec) for name, spec in _specs(kind).items()})
    for kind in METHODS.values()
)


@given(any_options)
def test_options_survive_the_way_through_json(options):
    check_options(options)
    flat = json.loads(json.dumps(to_json(options)))
    assert parse_options(method_name(options), flat) == options


@settings(max_examples=300)
@given(
    st.sampled_from([*METHODS, "nothing"]),
    st.dictionaries(
        st.sampled_from([name for kind in METHODS.values() for name in _specs(kind)] + ["x"]),
        st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.booleans()),
        max_size=2,
    ),
)
def test_whatever_is_given_is_parsed_into_range_or_refused(method, given):
    try:
        options = parse_options(method, given)
    except InvalidOption:
        return
    check_options(options)


@pytest.mark.parametrize("method", METHODS)
def test_every_option_describes_itself(method):
    described = json.loads(json.dumps(describe(method)))
    assert described["help"].endswith(".")
    assert [option["name"] for option in described["options"]] == list(_specs(METHODS[method]))
    for option in described["options"]:
        assert option["help"]
        if option["default"] is not None:
            parse_options(method, {option["name"]: option["default"]})
