import threading

import numpy as np
import pytest

from candor.explain.kept import Kept
from candor.explain.sampling import distinct_masks
from unit.explain.draws import draw_masks, drawn

KIB = 1024


def of_kib(n):
    return (np.zeros(n * KIB, dtype=np.uint8),)


def test_what_was_used_last_is_kept_within_the_bytes():
    kept = Kept(10 * KIB)
    first = kept.get("first", lambda: of_kib(4))
    second = kept.get("second", lambda: of_kib(4))
    assert kept.get("first", lambda: of_kib(4)) is first
    kept.get("third", lambda: of_kib(3))  # eleven together
    assert kept.get("first", lambda: of_kib(4)) is first, "used more recently than the second"
    assert kept.get("second", lambda: of_kib(4)) is not second


def test_what_is_larger_than_the_whole_drives_nothing_out():
    kept = Kept(10 * KIB)
    small = kept.get("small", lambda: of_kib(1))
    large = kept.get("large", lambda: of_kib(11))
    assert kept.get("large", lambda: of_kib(11)) is not large
    assert kept.get("small", lambda: of_kib(1)) is small


def test_what_is_shared_cannot_be_written_to():
    (array,) = Kept(KIB).get("", lambda: of_kib(1))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_many_threads_find_what_they_asked_for():
    kept = Kept(3 * KIB)
    wrong = []

    def work(start):
        for step in range(300):
            at = (start + step) % 6
            (found,) = kept.get(at, lambda at=at: (np.full(KIB, at, dtype=np.uint8),))
            if found[0] != at:
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(("kind", "n_channels"), [("image", 1), ("tokens", 1), ("series", 2)])
def test_remembered_draws_are_the_draws(kind, n_channels):
    seed = int(np.random.default_rng().integers(2**32))
    first = drawn(kind, 8, 50, seed, n_channels)
    assert drawn(kind, 8, 50, seed, n_channels) is first
    masks = draw_masks(kind, 8, 50, seed, n_channels)
    np.testing.assert_array_equal(first.masks, masks, err_msg=f"seed {seed}")
    for found, wanted in zip(first[1:], distinct_masks(masks), strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=f"seed {seed}")
