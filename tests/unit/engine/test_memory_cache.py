import threading

import pytest

from candor.engine.cache import MemoryCache


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def cache(max_bytes=10, ttl_s=100.0, clock=None):
    return MemoryCache(max_bytes, ttl_s, len, clock=clock or Clock())


def test_what_was_put_is_got_until_it_is_replaced():
    kept = cache()
    assert kept.get("a") is None
    assert kept.put("a", "one")
    assert kept.get("a") == "one"
    kept.put("a", "three")
    assert kept.get("a") == "three"
    assert (kept.size_bytes, len(kept)) == (5, 1)


def test_the_least_recently_used_goes_first():
    kept = cache(max_bytes=9)
    for key in "abc":
        kept.put(key, "xxx")
    kept.get("a")
    kept.put("d", "xxx")
    assert [kept.get(key) for key in "abcd"] == ["xxx", None, "xxx", "xxx"]


def test_bytes_are_bounded_not_entries():
    kept = cache(max_bytes=10)
    for key in "abcde":
        kept.put(key, "xx")
    assert (kept.size_bytes, len(kept)) == (10, 5)
    kept.put("f", "x" * 9)
    assert (kept.size_bytes, len(kept)) == (9, 1)


def test_what_is_larger_than_the_cache_is_refused_and_costs_nobody_his_place():
    kept = cache(max_bytes=5)
    kept.put("a", "xxxxx")
    assert not kept.put("b", "x" * 6)
    assert kept.get("a") == "xxxxx"


def test_an_oversized_replacement_forgets_the_stale_value():
    kept = cache(max_bytes=5)
    kept.put("a", "old")
    assert not kept.put("a", "x" * 6)
    assert kept.get("a") is None
    assert kept.size_bytes == 0


def test_a_cache_of_no_bytes_keeps_nothing():
    kept = cache(max_bytes=0)
    assert not kept.put("a", "x")
    assert kept.get("a") is None


def test_what_is_too_old_is_forgotten_and_its_bytes_with_it():
    clock = Clock()
    kept = cache(ttl_s=60, clock=clock)
    kept.put("a", "xxx")
    clock.now = 59.9
    assert kept.get("a") == "xxx"
    clock.now = 60.0
    assert kept.get("a") is None
    assert kept.size_bytes == 0


def test_many_threads_leave_the_books_balanced():
    kept = cache(max_bytes=100)
    keys = [str(number) for number in range(50)]

    def hammer(offset):
        for turn in range(2000):
            key = keys[(turn * 7 + offset) % 50]
            kept.put(key, "x" * (turn % 12))
            kept.get(keys[turn % 50])

    threads = [threading.Thread(target=hammer, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [value for key in keys if (value := kept.get(key)) is not None]
    assert kept.size_bytes == sum(map(len, held)) <= 100
    assert len(kept) == len(held)


def test_the_sign_of_a_broken_size_is_not_hidden():
    with pytest.raises(TypeError):
        MemoryCache(10, 1, len).put("a", 7)
