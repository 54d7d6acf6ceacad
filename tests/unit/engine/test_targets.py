import pytest

from candor.engine.request import TargetSpec
from candor.engine.targets import resolve_target, resolve_targets
from candor.errors import InvalidTarget
from candor.result import Target

LABELS = ("cat", "dog", "cup", "7", "sea-lion", "sea", "lion", "cup")
N = len(LABELS)


def resolve(plus=None, minus=None, labels=LABELS, n=N):
    return resolve_target(TargetSpec(plus, minus), labels, n)


@pytest.mark.parametrize(
    ("plus", "minus", "expected"),
    [
        (None, None, Target()),
        (5, None, Target(5)),
        ("dog", None, Target(1)),
        (" dog ", None, Target(1)),
        ("5", None, Target(5)),
        ("7", None, Target(3)),  # a label in digits is a label before it is an index
        ("sea-lion", None, Target(4)),  # a label with a hyphen before a difference
        ("1-0", None, Target(1, 0)),
        ("dog-cat", None, Target(1, 0)),
        ("dog - 0", None, Target(1, 0)),
        ("dog-sea-lion", None, Target(1, 4)),
        ("sea-lion-dog", None, Target(4, 1)),
        ("dog", "cat", Target(1, 0)),
        (1, "sea-lion", Target(1, 4)),
        (None, "cat", Target(None, 0)),  # the row's top class against the cat
    ],
)
def test_a_target_is_a_label_then_an_index_then_a_difference(plus, minus, expected):
    assert resolve(plus, minus) == expected


@pytest.mark.parametrize(
    ("plus", "minus", "words"),
    [
        (8, None, ["class 8 does not exist", "0 to 7"]),
        (-1, None, ["class -1 does not exist", "0 to 7"]),
        ("8", None, ["class 8 does not exist", "0 to 7"]),
        ("cup", None, ["ambiguous", "2, 7"]),
        ("cup-dog", None, ["ambiguous", "2, 7"]),
        ("dogg", None, ["neither a label", "0 to 7", "'dog'"]),
        ("DOG", None, ["neither a label", "'dog'"]),
        ("dog-", None, ["neither a label"]),
        ("-3", None, ["neither a label"]),
        ("", None, ["neither a label"]),
        ("dog-fish", None, ["neither a label"]),
        ("dog-dog", None, ["class 1 with itself"]),
        (2, 2, ["class 2 with itself"]),
        ("cat", "bird", ["'bird'", "neither a label"]),
        ("1-0", 2, ["'1-0'", "neither a label"]),  # a difference of a difference means nothing
        ("٣", None, ["neither a label"]),  # Arabic three: int() would read it
        ("1_0", None, ["neither a label"]),
        ("9" * 5000, None, ["neither a label"]),
    ],
)
def test_a_target_that_is_not_one_says_what_would_be(plus, minus, words):
    with pytest.raises(InvalidTarget) as caught:
        resolve(plus, minus)
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_can_be_read_as_two_differences_is_refused():
    labels = ("a", "b-c", "a-b", "c")
    with pytest.raises(InvalidTarget, match="0-1 or 2-3"):
        resolve("a-b-c", labels=labels, n=4)


def test_a_model_without_labels_takes_indices_and_says_so():
    assert resolve("3-1", labels=(), n=4) == Target(3, 1)
    with pytest.raises(InvalidTarget, match="has no labels"):
        resolve("dog", labels=(), n=4)


def test_a_very_long_text_of_hyphens_costs_nothing():
    with pytest.raises(InvalidTarget):
        resolve("-" * 1_000_000)


CAT, DOG = TargetSpec("cat"), TargetSpec("dog")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((), ((Target(),),) * 3),
        (((),), ((Target(),),) * 3),
        (((CAT, DOG),), ((Target(0), Target(1)),) * 3),
        (((CAT,), (DOG, CAT), ()), ((Target(0),), (Target(1), Target(0)), (Target(),))),
    ],
)
def test_every_row_gets_its_targets(rows, expected):
    assert resolve_targets(rows, 3, LABELS, N) == expected


def test_a_number_of_rows_that_fits_nothing_is_refused():
    with pytest.raises(InvalidTarget, match=r"for 2 rows, but the request has 3; expected none"):
        resolve_targets(((CAT,), (DOG,)), 3, LABELS, N)


def test_a_bad_target_names_its_row():
    with pytest.raises(InvalidTarget, match=r"^row 2: .*'bird'"):
        resolve_targets(((CAT,), (DOG,), (TargetSpec("bird"),)), 3, LABELS, N)
