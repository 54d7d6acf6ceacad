"""The typed methods of candor.v1 are exactly the methods and options of the explain package."""

import dataclasses

import pytest

from candor.errors import InvalidOption
from candor.explain.options import METHODS
from candor.explain.parse import parse_options, to_json
from candor.protocol.options import METHOD_NAMES, from_method, to_method
from candor.v1 import method_pb2 as pb

EVERYTHING = {
    "cam": {"layer": "relu", "normalise": False},
    "grad_cam": {"layer": "relu", "normalise": False},
    "grad_cam_plus_plus": {"layer": "relu", "normalise": False},
    "hires_cam": {"layer": "relu", "normalise": False},
    "layer_cam": {"layer": "relu", "normalise": False},
    "xgrad_cam": {"layer": "relu", "normalise": False},
    "smooth_grad": {
        "n_samples": 9,
        "noise": 0.5,
        "reduction": "signed",
        "channels": "keep",
        "seed": 4,
    },
    "gradient": {"reduction": "squared", "times_input": True, "channels": "keep"},
    "integrated_gradients": {
        "n_steps": 7,
        "tolerance": 0.01,
        "baseline": -1.5,
        "channels": "keep",
    },
    "occlusion": {"window": "8,4", "stride": "2,1", "baseline": 0.5, "channels": "keep"},
    "lime": {
        "n_samples": 77,
        "tolerance": 0.2,
        "segments": "grid",
        "n_segments": 9,
        "kernel_width": 0.5,
        "baseline": "blur",
        "seed": -1,
        "discretise": False,
        "channels": "keep",
    },
}


def test_the_message_names_exactly_the_methods_that_there_are():
    assert set(METHOD_NAMES) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_each_message_has_exactly_the_options_of_its_method(method):
    message = pb.Method.DESCRIPTOR.fields_by_name[method].message_type
    # LIME's baseline is a word or a number, and so a oneof of two fields.
    names = {field.name.split("baseline_")[0] or "baseline" for field in message.fields}
    assert names == {field.name for field in dataclasses.fields(METHODS[method])}


@pytest.mark.parametrize("method", METHODS)
def test_every_option_survives_the_wire(method):
    given = EVERYTHING[method]
    assert set(given) == {field.name for field in dataclasses.fields(METHODS[method])}
    message = pb.Method.FromString(to_method(method, given).SerializeToString())
    options = parse_options(*from_method(message))
    assert to_json(options) == given
    defaults = METHODS[method]()
    assert all(getattr(options, name) != getattr(defaults, name) for name in given)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_without_options_takes_the_defaults(method):
    message = pb.Method.FromString(to_method(method, {}).SerializeToString())
    assert parse_options(*from_method(message)) == METHODS[method]()


@pytest.mark.parametrize("method", METHODS)
def test_every_choice_of_every_option_has_a_value_on_the_wire(method):
    for field in dataclasses.fields(METHODS[method]):
        for choice in field.metadata["spec"].choices:
            read = parse_options(*from_method(to_method(method, {field.name: choice})))
            assert getattr(read, field.name) == choice


def test_an_option_that_is_set_to_its_zero_is_not_taken_for_unset():
    assert from_method(to_method("lime", {"seed": 0, "baseline": 0.0})) == (
        "lime",
        {"seed": 0, "baseline": 0.0},
    )


def test_numbers_may_be_written_as_text_as_on_a_command_line():
    _, flat = from_method(to_method("lime", {"n_samples": "50", "baseline": "0.5"}))
    assert flat == {"n_samples": 50, "baseline": 0.5}
    assert from_method(to_method("cam", {"normalise": "false"}))[1] == {"normalise": False}
    assert from_method(to_method("occlusion", {"window": "3,4"}))[1] == {"window": "3,4"}


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("lim", {}, "unknown method 'lim'"),
        ("lime", {"n_sample": 1}, "no option 'n_sample'; there are n_samples"),
        ("lime", {"baseline_fill": "mean"}, "no option 'baseline_fill'"),
        ("lime", {"segments": "circles"}, "auto, slic, quickshift, grid"),
        ("lime", {"n_samples": "many"}, "n_samples cannot be 'many'"),
        ("lime", {"n_samples": 2**40}, "n_samples cannot be"),
        ("occlusion", {"window": "a"}, "window cannot be 'a'"),
        ("cam", {"normalise": "perhaps"}, "expected true or false"),
    ],
)
def test_a_method_that_cannot_be_written_is_refused(method, options, says):
    with pytest.raises(InvalidOption, match=says):
        to_method(method, options)


def test_an_empty_method_is_refused_with_the_list_of_methods():
    with pytest.raises(InvalidOption, match="set one of cam, grad_cam"):
        from_method(pb.Method())


def test_an_enum_number_without_a_name_is_refused():
    method = pb.Method(gradient=pb.Gradient(reduction=17))
    with pytest.raises(InvalidOption, match=r"gradient.reduction is 17"):
        from_method(method)
