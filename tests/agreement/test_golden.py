"""The golden values are what their script makes today."""

from pathlib import Path

import numpy as np
import pytest

from golden import make


@pytest.mark.parametrize(
    ("name", "remake"), [("picture", make.make_picture), ("sentence", make.make_sentence)]
)
def test_golden_values_are_what_their_script_makes(name, remake):
    with np.load(Path(make.__file__).with_name(f"{name}.npz")) as stored:
        made = remake()
        assert set(stored.files) == {*made, "versions"}
        for key, value in made.items():
            np.testing.assert_allclose(stored[key], value, rtol=1e-7, atol=1e-9, err_msg=key)
