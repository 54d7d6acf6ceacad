import os
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from candor.autodiff import apart
from candor.errors import InternalError, InvalidInput, InvalidModel, TooLarge
from candor.runtime import session as session_module
from candor.runtime.session import Session, SessionPolicy, choose_providers
from unit.runtime.builders import FLOAT, INT64, linear_model, model, value

CPU = SessionPolicy(providers=("cpu",))


def open_session(proto: onnx.ModelProto, **options) -> Session:
    return Session(proto, CPU, **options)


def test_a_session_says_what_it_takes_and_gives_and_computes_it():
    session = open_session(linear_model())
    assert [(s.name, s.spelled) for s in session.inputs] == [("x", "FP32[-1,4]")]
    assert [(s.name, s.spelled) for s in session.outputs] == [("scores", "FP32[-1,3]")]
    assert session.provider == "cpu"
    x = np.eye(4, dtype=np.float32)
    expected = np.add.outer(np.arange(4), np.arange(3) / 10)
    np.testing.assert_allclose(session.run({"x": x})["scores"], expected, rtol=1e-6)


def test_a_transposed_factor_of_16_bits_does_not_end_the_process():
    """The runtime casts it itself, having no such product, and fuses what it must not."""
    turn = helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])
    half, weight = TensorProto.FLOAT16, np.arange(16, dtype=np.float16).reshape(4, 4) / 16
    proto = model(
        [turn, helper.make_node("MatMul", ["t", "w"], ["scores"])],
        inputs=[value("x", half, ["n", 3, 4])],
        outputs=[value("scores", half, [3, "n", 4])],
        initializers=[numpy_helper.from_array(weight, "w")],
    )
    x = np.arange(24, dtype=np.float16).reshape(2, 3, 4) / 8
    expected = (x.astype(np.float32) @ weight.astype(np.float32)).transpose(1, 0, 2)
    np.testing.assert_array_equal(open_session(proto).run({"x": x})["scores"], expected)


def test_only_the_outputs_asked_for_come_back():
    proto = linear_model()
    proto.graph.node.append(helper.make_node("Softmax", ["scores"], ["p"]))
    proto.graph.output.append(value("p", FLOAT, ["n", 3]))
    session = open_session(proto)
    x = np.ones((1, 4), np.float32)
    assert list(session.run({"x": x})) == ["scores", "p"]
    assert list(session.run({"x": x}, ["p"])) == ["p"]


_W, _V = np.random.default_rng(3).normal(size=(2, 200, 200)).astype(np.float32)
_INSIDE = helper.make_graph(
    [helper.make_node("MatMul", ["x", "v"], ["t"])], "inside", [], [value("t", FLOAT, ["n", 200])]
)
_OTHER = helper.make_graph(
    [helper.make_node("MatMul", ["x", "inner"], ["e"])],
    "other",
    [],
    [value("e", FLOAT, ["n", 200])],
    [numpy_helper.from_array(_V + 1, "inner")],
)


@pytest.mark.parametrize("optimise", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_weights_apart_give_what_weights_inside_do_wherever_they_are_read(optimise, listed):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Gemm", ["h", "w"], ["g"], transB=1),
        helper.make_node("If", ["yes"], ["i"], then_branch=_INSIDE, else_branch=_OTHER),
        helper.make_node("Gather", ["v", "at"], ["row"], axis=0),
        helper.make_node("Sum", ["g", "i", "row"], ["y"]),
    ]
    weights = {"w": _W, "v": _V, "at": np.int64(7)}
    given = [value(n, FLOAT, [200, 200]) for n in ("w", "v")] if listed else []
    proto = model(
        nodes,
        inputs=[value("x", FLOAT, ["n", 200]), value("yes", TensorProto.BOOL, []), *given],
        outputs=[value("y", FLOAT, ["n", 200]), value("w", FLOAT, [200, 200])],
        initializers=[numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()],
    )
    assert set(apart(proto).weights) == {"w", "v"}
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    session = Session(proto, SessionPolicy(("cpu",), optimise=optimise))
    x = np.random.default_rng(4).normal(size=(3, 200)).astype(np.float32)
    for yes in (True, False):
        feeds = {"x": x, "yes": np.array(yes)}
        found = session.run(feeds)
        for name, expected in zip(("y", "w"), plain.run(["y", "w"], feeds), strict=True):
            np.testing.assert_array_equal(found[name], expected)
    assert [spec.name for spec in session.inputs] == [v.name for v in plain.get_inputs()]


def test_large_weights_of_the_wrong_size_are_refused_with_their_name():
    proto = linear_model()
    proto.graph.initializer.add(name="wide", data_type=FLOAT, dims=[200, 200], raw_data=bytes(28))
    proto.graph.node.append(helper.make_node("Identity", ["wide"], ["z"]))
    proto.graph.output.append(value("z", FLOAT, [200, 200]))
    with pytest.raises(InvalidModel, match="wide"):
        open_session(proto)


def test_provider_names_are_taken_short_or_long_in_any_case_and_absent_ones_reported():
    offered = ["CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"]
    choice = choose_providers(("TensorRT", "openvino", "cudaexecutionprovider", "CUDA"), offered)
    assert choice.used == ("OpenVINOExecutionProvider", "CUDAExecutionProvider")
    assert choice.skipped == ("TensorRT",)


def test_a_build_without_any_wanted_provider_says_what_it_has():
    with pytest.raises(InvalidModel, match=r"none of the providers 'tpu', 'npu' .* it has cpu"):
        choose_providers(("tpu", "npu"), ["CPUExecutionProvider"])


def test_a_missing_provider_is_skipped_and_reported_by_the_session():
    proto = linear_model()
    session = Session(proto, SessionPolicy(providers=("nonsuch", "CPU")))
    assert (session.provider, session.skipped_providers) == ("cpu", ("nonsuch",))


def test_a_provider_without_its_device_is_passed_over_and_reported(monkeypatch):
    open_for_real = session_module.ort.InferenceSession

    def without_device(content, options, *, providers, **rest):
        if "AzureExecutionProvider" in providers:
            raise RuntimeError("no such device")
        return open_for_real(content, options, providers=providers, **rest)

    offered = ["AzureExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(session_module.ort, "get_available_providers", lambda: offered)
    monkeypatch.setattr(session_module.ort, "InferenceSession", without_device)
    session = Session(linear_model(), SessionPolicy(("azure", "cpu")))
    assert (session.provider, session.skipped_providers) == ("cpu", ("azure",))
    with pytest.raises(InvalidModel, match="cannot load model: no such device"):
        Session(linear_model(), SessionPolicy(("azure",)))


def test_what_is_no_model_is_refused():
    with pytest.raises(InvalidModel, match=r"ONNX Runtime cannot load graph seven: \w"):
        open_session(onnx.ModelProto(), name="graph seven")


def test_a_graph_with_an_unknown_operator_is_refused_by_its_name():
    proto = linear_model()
    proto.graph.node[0].op_type = "MatNull"
    with pytest.raises(InvalidModel, match="MatNull"):
        open_session(proto)


def test_weights_of_the_wrong_size_are_refused_with_their_name():
    proto = linear_model()
    proto.graph.initializer[0].raw_data = b"123"
    with pytest.raises(InvalidModel, match=r"tensor w .*size mismatch"):
        open_session(proto)


def embedding() -> onnx.ModelProto:
    table = numpy_helper.from_array(np.ones((10, 3), np.float32), "table")
    return model(
        [helper.make_node("Gather", ["table", "ids"], ["rows"], name="embed")],
        [value("ids", INT64, ["n", "t"])],
        [value("rows", FLOAT, ["n", "t", 3])],
        [table],
    )


def test_values_that_a_node_cannot_take_are_the_callers_and_the_node_is_named():
    message = "the sentence model cannot run on this input: Gather node 'embed': indices element"
    with pytest.raises(InvalidInput, match=message):
        open_session(embedding(), name="the sentence model").run({"ids": np.array([[99]])})


def test_sizes_that_do_not_fit_inside_the_graph_are_the_callers():
    proto = model(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"], name="head"),
        ],
        [value("x", FLOAT, ["n", 3, "h", "w_"])],
        [value("y", FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.ones((12, 2), np.float32), "w")],
    )
    with pytest.raises(InvalidInput, match="MatMul node 'head'"):
        open_session(proto).run({"x": np.ones((1, 3, 5, 5), np.float32)})


def test_messages_do_not_quote_the_source_of_the_runtime():
    proto = model(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        [value("a", FLOAT, ["n", "t"]), value("b", FLOAT, ["n", "u"])],
        [value("y", FLOAT, None)],
    )
    feeds = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 4), np.float32)}
    message = "model cannot run on this input: Add node: Attempting to broadcast an axis by"
    with pytest.raises(InvalidInput, match=message):
        open_session(proto).run(feeds)


def test_more_memory_than_there_is_is_too_large():
    proto = model(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        [value("x", FLOAT, ["n", "t"]), value("shape", INT64, [2])],
        [value("y", FLOAT, None)],
    )
    feeds = {"x": np.ones((1, 1), np.float32), "shape": np.array([10**8, 10**8])}
    with pytest.raises(TooLarge, match="Expand node: Failed to allocate memory"):
        open_session(proto).run(feeds)


def test_a_wrong_feed_is_the_callers():
    session = open_session(linear_model())
    for feeds in (
        {},
        {"y": np.ones((1, 4), np.float32)},
        {"x": np.ones((1, 4))},
        {"x": np.ones((1, 5), np.float32)},
        {"x": np.array([["text"] * 4], object)},
    ):
        with pytest.raises(InvalidInput):
            session.run(feeds)


def test_what_is_not_understood_is_our_own_defect(monkeypatch):
    session = open_session(linear_model())

    class Failing:
        def run(self, *_):
            raise session_module.ort_state.Fail("[ONNXRuntimeError] : 1 : FAIL : the cable is cut")

    monkeypatch.setattr(session, "_session", Failing())
    with pytest.raises(InternalError, match="the cable is cut"):
        session.run({"x": np.ones((1, 4), np.float32)})


def test_the_fallback_that_would_change_the_provider_in_mid_run_is_off():
    assert not open_session(linear_model())._session._enable_fallback


def test_shapes_are_remembered_only_where_callers_cannot_invent_them_without_end():
    pictures, sentences = open_session(linear_model()), open_session(embedding())
    assert pictures._session.get_session_options().enable_mem_pattern
    assert not sentences._session.get_session_options().enable_mem_pattern


def test_other_threads_run_while_a_session_does():
    size = 800
    weights = numpy_helper.from_array(np.full((size, size), 1e-3, np.float32), "w")
    nodes, last = [], "x"
    for index in range(12):
        nodes.append(helper.make_node("MatMul", [last, "w"], [f"y{index}"]))
        last = f"y{index}"
    proto = model(nodes, [value("x", FLOAT, [size, size])], [value(last, FLOAT, None)], [weights])
    session = open_session(proto)
    n_begun, over = [0], threading.Event()

    def again():
        while not over.is_set():
            n_begun[0] += 1
            session.run({"x": np.ones((size, size), np.float32)})

    thread = threading.Thread(target=again)
    thread.start()
    # with the interpreter's lock held during the runs there would be one or two to each
    beats, end = Counter(), time.monotonic() + 120
    while max(beats.values(), default=0) < 5 and time.monotonic() < end:
        beats[n_begun[0]] += 1
        time.sleep(0.002)
    over.set()
    thread.join()
    assert max(beats.values()) >= 5


def test_a_session_has_one_thread_that_does_not_spin_unless_told_otherwise():
    options = open_session(linear_model())._session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    two = Session(linear_model(), SessionPolicy(("cpu",), intra_op_threads=2))
    assert two._session.get_session_options().intra_op_num_threads == 2


def test_float16_inputs_have_a_name():
    proto = model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", TensorProto.FLOAT16, ["n"])],
        [value("y", TensorProto.FLOAT16, ["n"])],
    )
    session = open_session(proto)
    assert session.inputs[0].datatype == "FP16"
    assert session.run({"x": np.ones(2, np.float16)})["y"].dtype == np.float16


def test_the_runtime_reports_nothing_to_its_makers() -> None:
    """The variable is read when onnxruntime is imported; whoever sets it keeps the last word."""
    look = "import candor.runtime.session, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    plain = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    plain["PYTHONPATH"] = os.pathsep.join(sys.path)
    for given, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        done = subprocess.run(
            [sys.executable, "-c", look],
            env=plain | given,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_a_run_that_would_take_all_memory_is_refused_before_it_takes_any():
    def limited(most):
        nodes = [
            helper.make_node("Relu", ["x"], ["held"]),
            helper.make_node("ArgMax", ["held"], ["scores"], axis=1, keepdims=1),
        ]
        proto = model(
            nodes,
            inputs=[value("x", FLOAT, ["n", "t"])],
            outputs=[value("scores", INT64, ["n", 1])],
        )
        return Session(proto, SessionPolicy(providers=("cpu",), max_run_bytes=most))

    def x(*shape):
        return {"x": np.zeros(shape, np.float32)}

    bounded = limited(4 * 1000)
    assert bounded.run(x(10, 100))["scores"].shape == (10, 1)
    assert bounded.run(x(100, 10))["scores"].shape == (100, 1)
    for shape in ((11, 100), (10, 101), (1001, 1)):
        with pytest.raises(TooLarge, match=r"over max_run_bytes, 4000; send fewer rows"):
            bounded.run(x(*shape))
    assert bounded.run(x(10, 100))["scores"].shape == (10, 1)
    assert limited(0).run(x(1001, 100))["scores"].shape == (1001, 1)


def test_a_flat_list_of_places_is_not_taken_for_rows():
    nodes = [
        helper.make_node("Slice", ["places", "from", "to"], ["few"]),  # of a size that is unknown
        helper.make_node("Gather", ["x", "few"], ["held"]),
        helper.make_node("Relu", ["held"], ["scores"]),
    ]
    proto = model(
        nodes,
        inputs=[
            value("x", FLOAT, ["n", 100]),
            value("places", INT64, ["m"]),
            value("from", INT64, [1]),
            value("to", INT64, [1]),
        ],
        outputs=[value("scores", FLOAT, ["k", 100])],
    )
    bounded = Session(proto, SessionPolicy(providers=("cpu",), max_run_bytes=10_000))
    feeds = {
        "x": np.zeros((10, 100), np.float32),
        "places": np.zeros(5_000, np.int64),  # as rows they would be 2 MB
        "from": np.zeros(1, np.int64),
        "to": np.full(1, 7, np.int64),
    }
    assert bounded.run(feeds)["scores"].shape == (7, 100)
