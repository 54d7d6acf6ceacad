import numpy as np
import pytest

from candor.errors import InvalidOption
from candor.explain.baseline import absent_value, constant_baseline
from candor.explain.subject import Geometry

NCHW = Geometry("image", 0)
TOKENS = Geometry("tokens", None, pad=0, unknown=1)


@pytest.mark.parametrize("bad", [-1.0, 2.5])
def test_a_token_that_is_none_is_refused(bad):
    with pytest.raises(InvalidOption, match="expected a token id"):
        absent_value(bad, TOKENS)


def test_a_token_that_the_model_does_not_know_is_refused():
    known = Geometry("tokens", None, pad=0, n_ids=7)
    assert absent_value(6.0, known) == 6.0
    with pytest.raises(InvalidOption, match=r"baseline is 7, .* the model knows 0 to 6"):
        absent_value(7.0, known)
    assert absent_value(7.0, TOKENS) == 7.0


def test_absent_is_zero_or_padding_unless_told():
    assert absent_value(None, NCHW) == 0.0
    assert absent_value(None, Geometry("tokens", None, pad=4)) == 4.0
    assert absent_value(None, Geometry("tokens", None)) == 0.0
    assert absent_value(-0.5, NCHW) == -0.5
    assert absent_value(None, Geometry("image", 0, baseline=0.25)) == 0.25
    assert absent_value(-0.5, Geometry("image", 0, baseline=0.25)) == -0.5


def test_padding_stays_padding_whatever_the_baseline():
    ids = np.array([[7, 8, 0, 0]])
    assert constant_baseline(ids, 5.0, TOKENS).tolist() == [[5, 5, 0, 0]]
    assert constant_baseline(ids, 5.0, TOKENS).dtype == ids.dtype
