"""candor.v1 tensors: what goes in comes out, and what does not fit is refused by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from candor.errors import InvalidInput
from candor.protocol.tensors import from_tensor, join_elements, to_tensor
from candor.v1 import tensor_pb2 as pb

NUMBERS = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(name) for name in NUMBERS]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_every_number_type_and_shape_survives_the_wire(array):
    message = pb.Tensor.FromString(to_tensor(array).SerializeToString())
    back = from_tensor(message, "it")
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_numbers_are_read_as_views_of_the_message_not_copies():
    message = to_tensor(np.arange(4, dtype=np.float32))
    array = from_tensor(message, "it")
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_big_endian_and_strided_arrays_are_written_in_the_order_of_the_wire():
    array = np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2]
    np.testing.assert_array_equal(from_tensor(to_tensor(array), "it"), [[0, 2], [4, 6], [8, 10]])


def test_text_survives_the_wire_as_bytes():
    back = from_tensor(to_tensor(np.array([["a", ""], ["ä\n", b"\0"]], dtype=object)), "it")
    assert back.tolist() == [[b"a", b""], ["ä\n".encode(), b"\0"]]


def test_bfloat16_is_read_where_the_package_for_it_is_present():
    pytest.importorskip("ml_dtypes")
    message = pb.Tensor(shape=[1], data_type=pb.DATA_TYPE_BFLOAT16, data=b"\xc0\x3f")
    assert float(from_tensor(message, "it")[0]) == 1.5


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (pb.Tensor(shape=[1], data=b"\0" * 4), "no known data_type (0)"),
        (pb.Tensor(shape=[1], data_type=99, data=b"\0"), "no known data_type (99)"),
        (
            pb.Tensor(shape=[2], data_type=pb.DATA_TYPE_FLOAT32, data=b"\0" * 7),
            "has 7 bytes; float32 of shape [2] takes 8",
        ),
        (pb.Tensor(shape=[2], data_type=pb.DATA_TYPE_FLOAT32, data=b"\0" * 12), "has 12 bytes"),
        (pb.Tensor(shape=[-1], data_type=pb.DATA_TYPE_INT8), "shape [-1]; an axis is between 0"),
        (pb.Tensor(shape=[2**31], data_type=pb.DATA_TYPE_INT8), "shape [2147483648]; an axis"),
        (pb.Tensor(shape=[2**31 - 1] * 3, data_type=pb.DATA_TYPE_INT8, data=b"x"), "1 bytes"),
        (pb.Tensor(shape=[0] + [2**31 - 1] * 3, data_type=pb.DATA_TYPE_INT8), "too large"),
        (pb.Tensor(shape=[1] * 33, data_type=pb.DATA_TYPE_INT8, data=b"x"), "33 axes"),
        (pb.Tensor(shape=[3], data_type=pb.DATA_TYPE_BOOL, data=b"\1\7\0"), "element 1 of bool"),
    ],
)
def test_a_tensor_that_does_not_add_up_is_refused(tensor, says):
    with pytest.raises(InvalidInput) as caught:
        from_tensor(tensor, "input 'x'")
    assert says in caught.value.message
    assert "input 'x'" in caught.value.message


@pytest.mark.parametrize(
    ("shape", "data", "says"),
    [
        ([1], b"\3\0\0", "cut short at byte 0 of 3"),
        ([1], b"\3\0\0\0ab", "cut short at byte 0 of 6"),
        ([2], join_elements([b"ab"]) + b"\xff\xff\xff\xffx", "element 1 is cut short at byte 6"),
        ([2], join_elements([b"ab"]), "holds 1 elements; shape .2. takes 2"),
        ([1], join_elements([b"a", b"b"]), "more than the 1 elements"),
        ([2**31 - 1], join_elements([b"a"]), "holds 1 elements"),
    ],
)
def test_text_whose_lengths_do_not_add_up_is_refused(shape, data, says):
    with pytest.raises(InvalidInput, match=says):
        from_tensor(pb.Tensor(shape=shape, data_type=pb.DATA_TYPE_STRING, data=data), "it")


def test_an_array_that_no_tensor_can_hold_is_refused():
    with pytest.raises(InvalidInput, match="complex128"):
        to_tensor(np.array([1j]))
