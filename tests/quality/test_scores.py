"""Pointing and energy by their papers' definitions, and the words of warnings."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.quality.localisation import _energy, _points
from benchmarks.quality.warned import WARNINGS, warnings_table

from candor import explain

INSIDE = np.zeros((4, 4), dtype=bool)
INSIDE[:2, :2] = True


def corner(value: float, elsewhere: float) -> np.ndarray:
    values = np.full((4, 4), elsewhere)
    values[0, 0] = value
    return values


def test_pointing_asks_where_the_largest_value_is():
    assert _points(corner(2.0, 1.0), INSIDE)
    assert not _points(corner(0.5, 1.0), INSIDE)
    assert not _points(corner(0.0, -1.0), INSIDE), "nothing speaks for the class"
    segment = np.zeros((4, 4))
    segment[0] = 1.0  # half of the largest values lie inside: not most of them
    assert not _points(segment, INSIDE)
    assert _points(segment[:, :3] * 1.0, INSIDE[:, :3])


def test_energy_is_the_share_of_what_speaks_for_the_class():
    assert _energy(np.ones((4, 4)), INSIDE) == pytest.approx(0.25)
    assert _energy(corner(3.0, -1.0), INSIDE) == 1.0
    assert _energy(-np.ones((4, 4)), INSIDE) == 0.0


def test_every_warning_of_the_table_is_one_of_the_codes_and_has_a_test():
    folder = Path(explain.__file__).parent
    code = "".join(file.read_text("utf-8") for file in sorted(folder.glob("*.py")))
    tests = Path(__file__).parents[1] / "unit" / "explain"
    tested = "".join(file.read_text("utf-8") for file in sorted(tests.glob("test_*.py")))
    tested += (tests.parents[1] / "service" / "test_unseen_models.py").read_text("utf-8")
    for each in WARNINGS:
        assert f'"{each.word}: ' in code, each.word
        assert f'"{each.word}' in tested, each.word


def test_rates_are_of_the_methods_that_can_have_the_warning():
    methods = {"lime": {"warnings": {"unstable": 3}}, "gradient": {"warnings": {}}}
    table = warnings_table({"m": {"rows": 10, "kind": "series", "methods": methods}})
    lines = {line.split("`")[1]: line for line in table.splitlines()[2:]}
    assert "30.0% of lime | `lime` on m 3/10" in lines["unstable"]
    assert "never of 20 (all)" in lines["empty"]
    assert "never of 10 (gradient" in lines["fading"]
    assert "never of 0 (all on pictures)" in lines["centre"]
    with pytest.raises(KeyError, match="a new one"):
        warnings_table(
            {
                "m": {
                    "rows": 1,
                    "kind": "series",
                    "methods": {"lime": {"warnings": {"a new one": 1}}},
                }
            }
        )
