"""Every method says what its numbers are, and an option that changes them changes the words."""

import pytest

from candor.explain.options import METHODS, Gradient, Lime, SmoothGrad
from candor.explain.parse import method_name, to_json
from candor.render.units import unit_of


def told(options, explained="score"):
    record = {"method": method_name(options), "options": to_json(options), "explained": explained}
    return unit_of(record)


@pytest.mark.parametrize("kind", METHODS.values(), ids=list(METHODS))
def test_every_method_has_a_unit(kind) -> None:
    assert told(kind())
    if hasattr(kind(), "normalise"):
        assert told(kind(normalise=False)) != told(kind())
        assert "score" in told(kind(normalise=False))
    else:
        assert "score" in told(kind())
        assert "probability" in told(kind(), "probability")


def test_options_that_change_the_numbers_change_the_words() -> None:
    kinds = [
        Gradient(), Gradient("signed"), Gradient("squared"), Gradient("signed", times_input=True),
    ]  # fmt: skip
    assert len({told(options) for options in kinds}) == len(kinds)
    assert told(SmoothGrad(reduction="signed")) == told(Gradient("signed"))
    assert told(Lime(baseline="training")) != told(Lime())


def test_of_a_method_that_is_not_known_nothing_is_said() -> None:
    assert unit_of({"method": "a new one"}) == ""
