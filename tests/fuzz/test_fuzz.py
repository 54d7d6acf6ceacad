"""Malformed input by every way in: refused in words, never a defect. `make fuzz` tries far more."""

from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fuzz.ways import WAYS, open_ways

# A picture may make Pillow warn in words of its own; the service turns that off as well.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

EXAMPLES = {
    "rpc": 80, "http": 150, "picture": 200, "text": 30, "manifest": 80, "file": 20, "model": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    found, close = open_ways(tmp_path_factory.mktemp("fuzz"))
    yield found
    close()


@pytest.mark.parametrize("name", WAYS)
def test_whatever_comes_in_is_answered_or_refused_in_words(ways, name):
    way, outcomes = ways[name], set()

    # The seed makes the case: one that fails is told by it, and tried first in the next run.
    @settings(
        max_examples=EXAMPLES[name],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64))
    @example(0)
    def one(seed):
        outcomes.add(way.take(way.case(Random(seed))))

    one()
    # Not all fail at the door, nor all pass: of so many that is no chance.
    assert EXAMPLES[name] < 80 or len(outcomes) > 1


def test_what_once_went_wrong_goes_right(ways):
    for way in ways.values():
        for case in way.kept:
            way.take(case)
