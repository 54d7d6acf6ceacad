"""Tensors of the Open Inference Protocol: both ways to send them, and every way to get it wrong."""

import numpy as np
import pytest

from candor.errors import InvalidInput
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.protocol.tensors import join_elements
from candor.runtime.specs import DTYPES
from candor.wire.oip_tensors import add_output, classify, read_inputs

TYPED = {
    "BOOL": ("bool_contents", [True, False]),
    "INT8": ("int_contents", [-128, 127]),
    "INT16": ("int_contents", [-(2**15), 2**15 - 1]),
    "INT32": ("int_contents", [-(2**31), 2**31 - 1]),
    "INT64": ("int64_contents", [-(2**63), 2**63 - 1]),
    "UINT8": ("uint_contents", [0, 255]),
    "UINT16": ("uint_contents", [0, 2**16 - 1]),
    "UINT32": ("uint_contents", [0, 2**32 - 1]),
    "UINT64": ("uint64_contents", [0, 2**64 - 1]),
    "FP32": ("fp32_contents", [0.5, -1.25]),
    "FP64": ("fp64_contents", [0.1, 1e300]),
    "BYTES": ("bytes_contents", [b"", b"ab"]),
}


def request(datatype="FP32", shape=(2,), raw=None, **contents):
    message = pb.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="x", datatype=datatype, shape=shape)
    if raw is not None:
        message.raw_input_contents.append(raw)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return message


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "BYTES"])
def test_raw_numbers_of_every_datatype_are_read_as_views(datatype):
    sent = np.array([[1, 0], [0, 1]]).astype(DTYPES[datatype].numpy)
    array = read_inputs(request(datatype, (2, 2), sent.tobytes()))["x"]
    assert array.dtype == sent.dtype
    assert not array.flags.owndata
    np.testing.assert_array_equal(array, sent)


@pytest.mark.parametrize("datatype", TYPED)
def test_typed_contents_of_every_datatype_are_read(datatype):
    field, values = TYPED[datatype]
    array = read_inputs(request(datatype, **{field: values}))["x"]
    assert array.dtype == DTYPES[datatype].numpy
    assert array.tolist() == values


@pytest.mark.parametrize("datatype", DTYPES)
def test_what_is_written_raw_is_read_back(datatype):
    values = [b"a", b"bc"] if datatype == "BYTES" else [1, 0]
    array = np.array(values, dtype=DTYPES[datatype].numpy).reshape(2, 1)
    response = pb.ModelInferResponse()
    add_output(response, "y", array)
    output = response.outputs[0]
    assert (output.name, output.datatype, list(output.shape)) == ("y", datatype, [2, 1])
    assert not output.HasField("contents")
    again = request(output.datatype, output.shape, response.raw_output_contents[0])
    assert read_inputs(again)["x"].tolist() == array.tolist()


def test_raw_text_is_read_element_by_element():
    array = read_inputs(request("BYTES", (2, 1), join_elements([b"", "ä".encode()])))["x"]
    assert array.shape == (2, 1)
    assert array.tolist() == [[b""], ["ä".encode()]]


def test_a_tensor_without_elements_is_legal_in_both_forms():
    assert read_inputs(request("FP32", (0, 3), b""))["x"].shape == (0, 3)
    assert read_inputs(request("FP32", (0, 3)))["x"].shape == (0, 3)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (request(raw=b"\0" * 7), "has 7 bytes; float32 of shape [2] takes 8"),
        (request(raw=b"\0" * 12), "has 12 bytes"),
        (request(raw=b"\0" * 8, fp32_contents=[1, 2]), "contents field must not be specified"),
        (request("FP8", raw=b"\0" * 2), "datatype 'FP8'; there are"),
        (request("", raw=b""), "datatype ''; there are"),
        (request(shape=(-1,), raw=b"\0" * 8), "shape [-1]; an axis is between 0"),
        (request(shape=(2**62, 4), raw=b""), "an axis is between 0"),
        (request(shape=(2**31 - 1,) * 4, raw=b"\0" * 8), "has 8 bytes"),
        (request(shape=(2**31 - 1,) * 4, fp32_contents=[1]), "has 1 elements"),
        (request(shape=(0, *(2**31 - 1,) * 4), raw=b""), "too large"),
        (request("BYTES", raw=b"\2\0\0"), "element 0 is cut short at byte 0 of 3"),
        (request("BYTES", raw=b"\xff\xff\xff\xffab"), "element 0 is cut short"),
        (request("BYTES", raw=join_elements([b"a"])), "holds 1 elements; shape [2] takes 2"),
        (request("BYTES", raw=join_elements([b"a"] * 3)), "more than the 2 elements"),
        (request("BOOL", raw=b"\1\2"), "element 1 of bool is 2"),
        (request(fp32_contents=[1]), "has 1 elements in contents.fp32_contents"),
        (request(int_contents=[1, 2]), "has 0 elements in contents.fp32_contents"),
        (request("INT8", int_contents=[1, 128]), "holds 128; INT8 goes from -128 to 127"),
        (request("UINT8", uint_contents=[256, 1]), "holds 256; UINT8 goes from 0 to 255"),
        (request("FP16", fp32_contents=[1, 2]), "FP16, which travels in raw_input_contents only"),
        (request("BF16"), "BF16, which travels in raw"),
    ],
)
def test_a_malformed_tensor_is_refused_by_name(message, says):
    with pytest.raises(InvalidInput) as caught:
        read_inputs(message)
    assert says in caught.value.message
    assert "'x'" in caught.value.message


def test_raw_entries_must_be_as_many_as_inputs():
    message = request(raw=b"\0" * 8)
    message.inputs.add(name="y", datatype="FP32", shape=[1])
    with pytest.raises(InvalidInput, match="1 entries for 2 inputs"):
        read_inputs(message)


def test_an_input_may_be_given_only_once():
    message = request(fp32_contents=[1, 2])
    message.inputs.append(message.inputs[0])
    with pytest.raises(InvalidInput, match="'x' is given twice"):
        read_inputs(message)


def test_shared_memory_is_refused_instead_of_read_as_empty():
    message = request()
    message.inputs[0].parameters["shared_memory_region"].string_param = "region"
    with pytest.raises(InvalidInput, match="shared memory"):
        read_inputs(message)


def test_an_output_without_a_name_in_the_protocol_is_refused():
    with pytest.raises(InvalidInput, match="complex64"):
        add_output(pb.ModelInferResponse(), "y", np.zeros(1, np.complex64))


def test_classification_gives_the_best_classes_with_labels_best_first():
    array = np.array([[0.1, 0.7, 0.2], [5, -1, 5]], dtype=np.float32)
    text = classify("y", array, 2, ("cat", "dog"))
    assert text.tolist() == [
        [b"0.700000:1:dog", b"0.200000:2"],
        [b"5.000000:0:cat", b"5.000000:2"],
    ]


def test_classification_of_more_classes_than_there_are_gives_all():
    assert classify("y", np.zeros((2, 3), np.float32), 10, ()).shape == (2, 3)


@pytest.mark.parametrize(
    "array",
    [np.float32(1), np.array([True]), np.array([b"a"], object)],
    ids=["scalar", "flags", "text"],
)
def test_classification_of_what_is_no_class_score_is_refused(array):
    with pytest.raises(InvalidInput, match="no classes"):
        classify("y", np.asarray(array), 1, ())
