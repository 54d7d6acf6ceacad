"""Measuring row by row: a run that ended goes on, and rows of another model are measured anew."""

import json

from benchmarks.quality.suite import Suite, measured


def suite(asked, n=5, digest="a"):
    def measure(number):
        asked.append(number)
        return {"value": number}

    return Suite(digest, n, measure, lambda rows: {"rows": len(rows)})


def test_a_run_that_ended_early_goes_on_where_it_was(tmp_path):
    kept, asked = tmp_path / "rows.jsonl", []
    assert measured(suite(asked), kept, -1.0) == []
    measured(suite(asked, n=2), kept, 60.0)
    rows = measured(suite(asked), kept, 60.0)
    assert asked == [0, 1, 2, 3, 4]
    assert [row["value"] for row in rows] == asked
    assert measured(suite(asked, n=3), kept, 60.0) == rows[:3]
    assert len(asked) == 5


def test_rows_of_another_model_are_measured_anew(tmp_path):
    kept, asked = tmp_path / "rows.jsonl", []
    measured(suite(asked, n=2), kept, 60.0)
    rows = measured(suite(asked, n=2, digest="b"), kept, 60.0)
    assert asked == [0, 1, 0, 1]
    assert {row["digest"] for row in rows} == {"b"}
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 4
