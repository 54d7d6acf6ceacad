import re

import numpy as np
import pytest

from candor.errors import InvalidInput, InvalidModel
from candor.runtime.specs import DTYPES, TensorSpec, check_tensors, datatype_of, spec_from_runtime

IMAGE = TensorSpec("image", "FP32", (-1, 3, 8, 8), ("n", "", "", ""))
MASK = TensorSpec("mask", "INT64", (-1, -1), ("n", "t"))
LENGTH = TensorSpec("weights", "FP32", (-1, -1), ("n", "t"))


def test_arrays_that_fit_come_back_untouched_in_the_order_of_the_model():
    image, mask = np.ones((2, 3, 8, 8), np.float32), np.zeros((2, 5), np.int64)
    checked = check_tensors([IMAGE, MASK], {"mask": mask, "image": image})
    assert list(checked) == ["image", "mask"]
    assert checked["image"] is image
    assert checked["mask"] is mask


def test_a_strided_array_is_made_contiguous_with_the_same_values():
    image = np.arange(3 * 8 * 8, dtype=np.float32).reshape(1, 8, 8, 3).transpose(0, 3, 1, 2)
    checked = check_tensors([IMAGE], {"image": image})["image"]
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, image)


def test_a_scalar_stays_a_scalar():
    spec = TensorSpec("temperature", "FP32", ())
    assert (
        check_tensors([spec], {"temperature": np.float32(2).reshape(())})["temperature"].ndim == 0
    )


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            {"imgae": np.ones((1, 3, 8, 8), np.float32)},
            "there is no input 'imgae'; did you mean 'image'? The model takes 'image' "
            "FP32[-1,3,8,8]",
        ),
        (
            {"y": np.ones((1, 3, 8, 8), np.float32)},
            "there is no input 'y'. The model takes 'image' FP32[-1,3,8,8]",
        ),
        ({}, "input 'image' is missing. The model takes 'image' FP32[-1,3,8,8]"),
        (
            {"image": np.ones((1, 3, 8, 8))},
            "input 'image' was sent as FP64[1,3,8,8], the model takes FP32[-1,3,8,8]; values are "
            "never cast silently",
        ),
        (
            {"image": np.ones((1, 3, 8, 8), ">f4")},
            "input 'image' was sent as numpy >f4[1,3,8,8], the model takes FP32[-1,3,8,8]",
        ),
        (
            {"image": np.ones((3, 8, 8), np.float32)},
            "input 'image' was sent as FP32[3,8,8], the model takes FP32[-1,3,8,8]: it has 3 axes, "
            "not 4",
        ),
        (
            {"image": np.ones((1, 3, 8, 9), np.float32)},
            "input 'image' was sent as FP32[1,3,8,9], the model takes FP32[-1,3,8,8]: axis 3 must "
            "be 8, not 9",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_sent_and_what_would_be_right(sent, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        check_tensors([IMAGE], sent)


def test_inputs_with_different_numbers_of_rows_are_refused():
    sent = {"image": np.ones((2, 3, 8, 8), np.float32), "mask": np.ones((3, 5), np.int64)}
    with pytest.raises(InvalidInput, match="input 'mask' has 3 rows where input 'image' has 2"):
        check_tensors([IMAGE, MASK], sent)


def test_rows_are_counted_where_the_graph_has_no_name_for_them_too():
    specs = [TensorSpec("a", "FP32", (-1, 2), ("", "")), TensorSpec("b", "FP32", (-1,))]
    sent = {"a": np.ones((2, 2), np.float32), "b": np.ones(3, np.float32)}
    with pytest.raises(InvalidInput, match="input 'b' has 3 rows where input 'a' has 2"):
        check_tensors(specs, sent)


def test_inputs_that_share_a_named_axis_must_agree_on_it():
    sent = {"mask": np.ones((2, 5), np.int64), "weights": np.ones((2, 6), np.float32)}
    with pytest.raises(InvalidInput, match=r"'weights' has 6 on its axis 1 \('t'\) where .* has 5"):
        check_tensors([MASK, LENGTH], sent)


def test_axes_with_different_names_may_differ():
    other = TensorSpec("other", "FP32", (-1,), ("m",))
    sent = {"mask": np.ones((2, 5), np.int64), "other": np.ones(7, np.float32)}
    assert check_tensors([MASK, other], sent)["other"].shape == (7,)


def test_texts_may_come_as_any_kind_of_numpy_string_and_are_text_then():
    spec = TensorSpec("text", "BYTES", (-1,))
    for array in (np.array(["ü"]), np.array(["ü".encode()]), np.array(["ü".encode()], object)):
        checked = check_tensors([spec], {"text": array})["text"]
        assert (checked.dtype, checked.tolist()) == (np.dtype(object), ["ü"])


def test_texts_keep_their_shape_and_one_that_is_not_utf8_is_named():
    spec = TensorSpec("text", "BYTES", (-1, 2))
    array = np.array([[b"a", b""], [b"c", b"\xff"]], object)
    assert check_tensors([spec], {"text": array[:1]})["text"].tolist() == [["a", ""]]
    assert check_tensors([spec], {"text": array[:0]})["text"].shape == (0, 2)
    with pytest.raises(InvalidInput, match="input 'text': element 3 is not UTF-8"):
        check_tensors([spec], {"text": array})


def test_what_fitted_once_does_not_let_anything_else_in():
    image = np.zeros((2, 3, 8, 8), np.float32)
    for _ in range(2):
        assert check_tensors([IMAGE], {"image": image})["image"] is image
        with pytest.raises(InvalidInput, match="was sent as FP64"):
            check_tensors([IMAGE], {"image": image.astype(np.float64)})
        with pytest.raises(InvalidInput, match="axes"):
            check_tensors([IMAGE], {"image": image[0]})
        with pytest.raises(InvalidInput, match="missing"):
            check_tensors([IMAGE, MASK], {"image": image})


@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_every_datatype_is_found_again_from_its_numpy_type(datatype):
    assert datatype_of(DTYPES[datatype].numpy) == datatype


def test_a_runtime_value_that_is_no_tensor_is_refused():
    with pytest.raises(InvalidModel, match=r"'map' is a seq\(map\(int64,tensor\(float\)\)\)"):
        spec_from_runtime("map", "seq(map(int64,tensor(float)))", [])


def test_free_sizes_become_minus_one_and_keep_their_names():
    spec = spec_from_runtime("x", "tensor(float)", ["batch", 3, None])
    assert (spec.shape, spec.symbols) == ((-1, 3, -1), ("batch", "", ""))
    assert spec.spelled == "FP32[-1,3,-1]"
