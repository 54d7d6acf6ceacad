"""The `candor.*` parameters: each is understood or refused."""

import pytest

from candor.engine.request import TargetSpec
from candor.errors import InvalidOption
from candor.explain.options import METHODS, GradCam, Lime, Occlusion
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.wire.oip_parameters import read_question, scalars


def ask(outputs=(), **parameters):
    named = {f"candor.{name.replace('__', '.')}": value for name, value in parameters.items()}
    return read_question(named, outputs)


def test_a_request_without_candor_asks_nothing():
    assert read_question({}, ()) is None
    assert read_question({"priority": 1, "sequence_id": 7, "custom": "x"}, ()) is None


def test_methods_are_asked_for_by_parameter_and_by_output_in_that_order():
    question = ask(["cam", "lime"], explain=" lime, grad_cam ")
    assert list(question.methods) == ["lime", "grad_cam", "cam"]


def test_options_reach_their_method_and_only_that():
    question = ask(
        explain="lime,occlusion,grad_cam",
        lime__n_samples="300",
        occlusion__window="8,4",
        occlusion__baseline="0.5",
        grad_cam__normalise=False,
    )
    assert question.methods == {
        "lime": Lime(n_samples=300),
        "occlusion": Occlusion(window=(8, 4), baseline=0.5),
        "grad_cam": GradCam(normalise=False),
    }


@pytest.mark.parametrize("value", [0.5, "0.50", "5e-1"])
def test_a_float_may_be_a_double_or_text(value):
    assert ask(explain="lime", lime__kernel_width=value).methods["lime"] == Lime(kernel_width=0.5)


def test_shared_options_reach_every_method_that_takes_them_unless_it_has_its_own():
    question = ask(explain="lime,cam,grad_cam", seed=3, layer="a", cam__layer="b")
    assert question.methods["lime"].seed == 3
    assert question.methods["grad_cam"].layer == "a"
    assert question.methods["cam"].layer == "b"


def test_one_target_is_an_index_or_a_label_even_with_commas():
    assert ask(explain="cam", target=3).targets == (TargetSpec(3),)
    assert ask(explain="cam", target="cat, wild").targets == (TargetSpec("cat, wild"),)
    assert not ask(explain="cam", target=3).several


def test_several_targets_are_split_at_commas_and_give_the_answer_an_axis():
    question = ask(explain="cam", targets="3, 7-3,cat")
    assert question.targets == (TargetSpec("3"), TargetSpec("7-3"), TargetSpec("cat"))
    assert question.several


def test_the_rest_is_read():
    question = ask(
        explain="cam", output="logits", explain_output="probability", cache="refresh", budget_ms=250
    )
    assert question.output == "logits"
    assert question.explained == "probability"
    assert question.cache == "refresh"
    assert question.trust == "basic"
    assert ask(explain="cam", trust="full").trust == "full"
    assert question.budget_s == 0.25


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"explain": "limee"}, "did you mean 'lime'"),
        ({"explain": 3}, "candor.explain is 3; expected text"),
        ({"explian": "lime"}, "unknown parameter 'candor.explian'; did you mean 'candor.explain'"),
        ({"explain": "lime", "lime.n_sample": 1}, "did you mean 'candor.lime.n_samples'"),
        ({"explain": "lime", "lime.n_samples": 0}, "lime.n_samples is 0, expected an integer"),
        ({"explain": "lime", "lime.n_samples": "x"}, "lime.n_samples is 'x'"),
        ({"explain": "cam", "lime.n_samples": 10}, "lime is not asked for"),
        ({"explain": "lime", "layer": "relu"}, "lime takes no layer"),
        ({"target": 3}, "no explanation is asked for"),
        ({"cache": "bypass"}, "'candor.cache' is given, but no explanation"),
        ({"explain": "cam", "target": 1, "targets": "1,2"}, "both given"),
        ({"explain": "cam", "target": True}, "is True; expected a class index or a label"),
        ({"explain": "cam", "target": 1.0}, "expected a class index or a label"),
        ({"explain": "cam", "targets": "1,,2"}, "between its commas"),
        ({"explain": "cam", "targets": ""}, "candor.targets is ''"),
        ({"explain": "cam", "cache": "sometimes"}, "one of use, refresh, bypass"),
        ({"explain": "cam", "explain_output": "logit"}, "one of score, probability"),
        ({"explain": "cam", "trust": "most"}, "'most'; expected one of basic, full"),
        ({"explain": "cam", "trust": True}, "candor.trust is True; expected one of basic, full"),
        ({"explain": "cam", "output": 1}, "candor.output is 1; expected text"),
        ({"explain": "cam", "budget_ms": 0}, "candor.budget_ms is 0"),
        ({"explain": "cam", "budget_ms": "soon"}, "candor.budget_ms is 'soon'"),
        ({"explain": "cam", "budget_ms": float("nan")}, "candor.budget_ms is nan"),
        ({"explain": "cam", "budget_ms": True}, "candor.budget_ms is True"),
    ],
)
def test_what_is_not_understood_is_refused(parameters, says):
    with pytest.raises(InvalidOption) as caught:
        read_question({f"candor.{name}": value for name, value in parameters.items()}, ())
    assert says in caught.value.message


def test_an_unknown_parameter_is_answered_with_all_that_are_valid():
    with pytest.raises(InvalidOption) as caught:
        ask(explain="lime", color="red")
    for name in ("candor.explain", "candor.targets", "candor.lime.kernel_width"):
        assert name in caught.value.message


@pytest.mark.parametrize("method", METHODS)
def test_every_option_of_every_method_has_a_parameter(method):
    for option, default in (
        (name, getattr(METHODS[method](), name)) for name in METHODS[method].__dataclass_fields__
    ):
        if default is None or default == ():
            continue
        question = read_question(
            {"candor.explain": method, f"candor.{method}.{option}": default}, ()
        )
        assert question.methods[method] == METHODS[method]()


def test_scalars_of_every_kind_are_read_and_foreign_ones_without_value_passed_over():
    message = pb.ModelInferRequest()
    message.parameters["a"].bool_param = False
    message.parameters["b"].int64_param = -1
    message.parameters["c"].string_param = ""
    message.parameters["d"].double_param = 0.5
    message.parameters["e"].uint64_param = 2**64 - 1
    message.parameters["f"].SetInParent()
    assert scalars(message.parameters) == {"a": False, "b": -1, "c": "", "d": 0.5, "e": 2**64 - 1}


def test_a_candor_parameter_without_a_value_is_refused():
    message = pb.ModelInferRequest()
    message.parameters["candor.explain"].SetInParent()
    with pytest.raises(InvalidOption, match=r"'candor\.explain' has no value"):
        scalars(message.parameters)
