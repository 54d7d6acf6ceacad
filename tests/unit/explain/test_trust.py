import json
import math

import numpy as np

from candor.explain.options import Gradient, Occlusion
from candor.explain.target import Aim, Outcome
from candor.explain.trust import finite, map_warnings, numbers, trust_record

STANDS = Outcome(Aim(2, 0, top=False), "probability", 1.5, 0.25)


def test_a_record_has_the_documented_fields_and_is_json():
    record = trust_record(Occlusion((4,), (2,)), STANDS, n_evaluations=9, complete=False)
    assert json.loads(json.dumps(record, allow_nan=False)) == {
        "method": "occlusion",
        "options": {"window": "4", "stride": "2", "channels": "sum"},
        "trust": "basic",
        "target": {"plus": 2, "minus": 0, "top": False},
        "explained": "probability",
        "score": 1.5,
        "probability": 0.25,
        "n_evaluations": 9,
        "complete": False,
        "figures": {},
        "warnings": [],
    }


def test_numbers_that_json_does_not_know_become_null():
    assert finite(math.nan) is None
    assert numbers(np.array([1.0, math.inf, -2.5])) == [1.0, None, -2.5]
    stands = Outcome(Aim(0, None, top=True), "score", math.inf, math.nan)
    record = trust_record(Gradient(), stands, n_evaluations=1)
    assert record["score"] is record["probability"] is None


def test_a_saturated_probability_is_warned_of_only_where_it_is_explained():
    def warnings(explained, probability):
        stands = Outcome(Aim(0, None, top=True), explained, 12.0, probability)
        return trust_record(Gradient(), stands, n_evaluations=1)["warnings"]

    assert warnings("probability", 0.99995)[0].startswith("saturated: the probability is 0.99995")
    assert warnings("probability", 0.9998) == warnings("score", 0.99999) == []


def test_maps_without_a_place_are_warned_of():
    assert map_warnings(np.zeros((3, 3)))[0].startswith("empty")
    assert map_warnings(np.full((3, 3), 0.2))[0].startswith("constant")
    assert map_warnings(np.array([[0.2]])) == []
    assert map_warnings(np.array([0.2, 0.3])) == []


def test_a_map_that_holds_no_numbers_is_called_neither_empty_nor_constant():
    for wrong in (math.nan, math.inf):
        (warning,) = map_warnings(np.array([0.0, wrong, 0.0]))
        assert warning.startswith("not finite: 1 of 3 values")
        assert map_warnings(np.full(4, wrong))[0].startswith("not finite: 4 of 4")


def test_the_same_everywhere_is_told_with_its_cure():
    assert map_warnings(np.ones(3), "use less")[0].endswith("the map shows no place; use less")
    assert map_warnings(np.zeros(3), "use less")[0].startswith("empty")


def test_what_is_not_a_number_is_not_saturated():
    stands = Outcome(Aim(0, None, top=True), "probability", 1.0, math.nan)
    assert trust_record(Gradient(), stands, n_evaluations=1)["warnings"] == []


def test_a_figure_that_there_is_none_of_is_null():
    assert finite(None) is None
