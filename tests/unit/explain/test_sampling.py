import secrets

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor.errors import TooLarge
from candor.explain import sampling
from candor.explain.sampling import distinct_masks, drawing, mask_chunks
from unit.explain.draws import draw_masks, drawn
from unit.explain.told import finish


@pytest.mark.parametrize("kind", ["image", "tokens", "series", "tabular"])
def test_the_unperturbed_row_is_the_first_sample_and_the_seed_decides_the_rest(kind):
    masks = draw_masks(kind, 12, 200, 5)
    assert masks.shape == (200, 12)
    assert masks.dtype == bool
    assert masks[0].all()
    np.testing.assert_array_equal(masks, draw_masks(kind, 12, 200, 5))
    assert (masks != draw_masks(kind, 12, 200, 6)).any()


def test_images_keep_half_of_their_segments():
    kept = draw_masks("image", 50, 4000, 0)[1:].mean(axis=0)
    np.testing.assert_allclose(kept, 0.5, atol=0.04)


def test_sentences_lose_from_one_word_to_all_of_them_equally_often():
    removed = (~draw_masks("tokens", 8, 8001, 0)[1:]).sum(axis=1)
    assert removed.min() == 1
    np.testing.assert_allclose(np.bincount(removed)[1:] / 8000, 1 / 8, atol=0.02)


def test_draws_are_those_of_lime_written_out():
    generator = np.random.RandomState(3)
    want = generator.randint(0, 2, 20 * 6).reshape(20, 6)
    want[0] = 1
    np.testing.assert_array_equal(draw_masks("image", 6, 20, 3), want)

    generator = np.random.RandomState(3)
    want = np.ones((20, 6))
    sizes = generator.randint(1, 7, 19)
    for row, size in enumerate(sizes, start=1):
        want[row, generator.choice(range(6), size, replace=False)] = 0
    np.testing.assert_array_equal(draw_masks("tokens", 6, 20, 3), want)


@pytest.mark.parametrize(
    ("kind", "n_segments", "n_channels"),
    [("image", 50, 1), ("image", 900, 1), ("tokens", 9, 1), ("series", 12, 3)],
)
def test_draws_in_chunks_are_those_in_one_piece(monkeypatch, kind, n_segments, n_channels):
    seed, n_samples = secrets.randbelow(2**32), 2100
    told, found = finish(drawing(kind, n_segments, n_samples, seed, n_channels))
    assert len(told) >= 2, "the clock is looked at in between"
    assert np.diff([0, *told, n_samples]).max() * n_segments <= 2**18
    monkeypatch.setattr(sampling, "_CHUNK", 2 * n_samples)
    monkeypatch.setattr(sampling, "_CHUNK_CELLS", n_samples * n_segments)
    (whole,) = mask_chunks(kind, n_segments, n_samples, seed, n_channels)
    np.testing.assert_array_equal(found.masks, whole, err_msg=f"seed {seed}")
    for got, wanted in zip(found[1:], distinct_masks(whole), strict=True):
        np.testing.assert_array_equal(got, wanted, err_msg=f"seed {seed}")


def test_few_draws_are_made_without_a_pause():
    assert finish(drawing("tokens", 10, 1000, secrets.randbelow(2**32)))[0] == []


def test_channels_apart_lose_the_same_slices():
    masks = draw_masks("series", 12, 400, 3, n_channels=3).reshape(400, 3, 4)
    assert masks[0].all()
    for mask in masks[1:]:
        touched = mask[~mask.all(axis=1)]
        assert len(touched) >= 1
        assert (touched == touched[0]).all()
    assert {int((~mask.all(axis=1)).sum()) for mask in masks[1:]} == {1, 2, 3}


@given(st.integers(1, 70), st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_distinct_masks_put_back_are_the_masks(n_segments, n_samples, seed):
    masks = draw_masks("tokens", n_segments, n_samples, seed)
    distinct, index = distinct_masks(masks)
    np.testing.assert_array_equal(distinct[index], masks)
    assert len({mask.tobytes() for mask in distinct}) == len(distinct)
    first_seen = [int(np.argmax(index == at)) for at in range(len(distinct))]
    assert first_seen == sorted(first_seen), "in order of first appearance"


def test_a_short_sentence_needs_few_runs():
    assert len(distinct_masks(draw_masks("tokens", 3, 1000, 0))[0]) == 8


def test_more_than_memory_should_hold_is_refused_with_what_fits():
    with pytest.raises(TooLarge, match="use n_samples of at most 5000"):
        drawn("image", 2000, 5001, 0)
