import gc
import random
import threading

import pytest

from candor.runtime.budget import Budget, Part, Resident


class Blob:
    """What is kept; each is another."""


class Makes:
    """Makes blobs of a size, and counts how often."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.times = 0

    def __call__(self) -> tuple[Blob, int]:
        self.times += 1
        return Blob(), self.size_bytes


def resident(budget, name, size_bytes, *, model=False):
    make = Makes(size_bytes)
    return Resident(budget, Part(name, "predict" if model else "gradient"), make, goes_last=model)


def use(*residents):
    for one in residents:
        with one:
            pass


def kept(*residents):
    return [one.part.model for one in residents if one.value is not None]


def test_what_was_used_longest_ago_goes_first_and_comes_back_on_demand():
    gone = []
    budget = Budget(30, lambda part, size: gone.append((part.model, size)))
    a, b, c, d = (resident(budget, name, 10) for name in "abcd")
    use(a, b, c, a, d)
    assert kept(a, b, c, d) == ["a", "c", "d"]
    assert gone == [("b", 10)]
    use(b)
    assert kept(a, b, c, d) == ["a", "b", "d"]
    assert budget.size_bytes == 30


def test_models_go_after_every_program_however_long_they_are_idle():
    budget = Budget(30)
    model, *programs = (resident(budget, name, 10, model=name == "m") for name in "mabc")
    use(model, *programs)
    assert kept(model, *programs) == ["m", "b", "c"]


def test_nothing_that_is_in_use_goes_and_it_goes_once_it_is_left():
    budget = Budget(10)
    a, b, c = (resident(budget, name, 10) for name in "abc")
    with a as first:
        with b:
            use(c)
            assert kept(a, b, c) == ["a", "b", "c"]
            with a as again:
                assert again is first
        assert kept(a, b, c) == ["a", "b"]
    assert kept(a, b, c) == ["a"]


def test_what_is_larger_than_the_budget_stays_while_nothing_else_is_used():
    budget = Budget(5)
    large, other = resident(budget, "large", 100), resident(budget, "other", 1)
    use(large, large, large)
    assert kept(large) == ["large"]
    use(other)
    assert kept(large, other) == ["other"]


def test_room_is_made_before_what_is_known_to_be_large_is_made_again():
    seen = []
    budget = Budget(20)
    large = Resident(
        budget, Part("large", "gradient"), lambda: (seen.append(budget.size_bytes), 20)
    )
    use(large)
    use(*(resident(budget, name, 5) for name in "abcd"), large)
    assert seen == [0, 0]


def test_what_grows_makes_others_go():
    budget = Budget(20)
    a, b = resident(budget, "a", 10), resident(budget, "b", 10)
    use(a, b)
    with b:
        b.grown(15)
    assert (kept(a, b), budget.size_bytes) == (["b"], 15)
    with b:
        b.grown(1)
    assert budget.size_bytes == 15


def test_without_a_limit_nothing_goes():
    budget = Budget()
    every = [resident(budget, str(n), 2**40) for n in range(5)]
    use(*every)
    assert len(kept(*every)) == 5
    assert budget.size_bytes == 5 * 2**40


def test_what_nobody_holds_any_more_is_not_counted():
    budget = Budget()
    one = resident(budget, "a", 10)
    use(one)
    assert budget.size_bytes == 10
    del one
    gc.collect()
    assert budget.size_bytes == 0


def test_what_cannot_be_made_is_tried_again_by_the_next():
    tries = []

    def make():
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not now")
        return Blob(), 1

    one = Resident(Budget(10), Part("a", "predict"), make)
    with pytest.raises(ValueError, match="not now"):
        use(one)
    assert one.users == 0
    use(one)
    assert one.value is not None


def test_threads_that_need_the_same_wait_for_one_to_make_it():
    entered, release = threading.Event(), threading.Event()
    makes = []

    def make():
        makes.append(1)
        entered.set()
        assert release.wait(60)
        return Blob(), 1

    one = Resident(Budget(10), Part("a", "predict"), make)
    found = []

    def ask():
        with one as blob:
            found.append(blob)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert entered.wait(60)
    release.set()
    for thread in threads:
        thread.join(60)
    assert (len(makes), len(found), len(set(map(id, found)))) == (1, 6, 1)


def test_threads_under_a_budget_that_is_always_too_small_never_lose_what_they_hold():
    seed = random.randrange(2**32)
    budget = Budget(25)
    every = [resident(budget, str(n), 10, model=n % 3 == 0) for n in range(8)]
    wrong = []

    def run(number):
        draw = random.Random(seed + number)
        for _ in range(400):
            one = draw.choice(every)
            with one as blob:
                draw.random()
                if one.value is not blob:
                    wrong.append(one.part)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, seed
    assert all(one.users == 0 for one in every)
    use(every[0])
    assert budget.size_bytes <= 25
    assert sum(one._make.times for one in every) > len(every)
