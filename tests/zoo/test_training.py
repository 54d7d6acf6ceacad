"""What can go wrong silently in training: augmentation, optimiser, batch norms, resuming."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from packaged import texts
from zoo import augment
from zoo.fold import fold_norms
from zoo.model import unpadded
from zoo.muon import orthogonalise
from zoo.networks.photos import PhotoNet
from zoo.recipe import CLASSIFY, Change, Recipe
from zoo.sets.samples import Samples, lengths
from zoo.table import TABLE
from zoo.trainer import Trainer, Work, others, predict


def pictures(n=24):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, 3, 64, 64)).astype(np.uint8)
    return Samples(pixels, np.arange(n, dtype=np.int64) % 4)


def test_orthogonalised_update_has_singular_values_near_one():
    update = orthogonalise(torch.randn(24, 90, generator=torch.Generator().manual_seed(0)), 5)
    values = torch.linalg.svdvals(update)
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_crops_have_the_size_asked_for_and_stay_in_range():
    x = torch.rand(3, 3, 64, 64)
    for size in (32, 56):
        crop = augment.crop_and_flip(x, size, 0.5, torch.Generator().manual_seed(1))
        assert crop.shape == (3, 3, size, size)
        assert crop.min() >= 0
        assert crop.max() <= 1


def test_a_cut_is_a_part_of_its_picture_and_may_lie_anywhere():
    x = torch.arange(2 * 36.0).view(2, 1, 6, 6)
    corners = set()
    for seed in range(200):
        first, second = augment.cut(x, 4, torch.Generator().manual_seed(seed))
        for picture, part in zip(x, (first, second), strict=True):
            top, left = divmod(int(part[0, 0, 0] - picture[0, 0, 0]), 6)
            assert torch.equal(part, picture[:, top : top + 4, left : left + 4])
            corners.add((top, left))
    assert len(corners) == 9


def test_a_shift_moves_what_is_there_and_brings_in_nothing():
    x = torch.ones(1, 2, 5, 5)
    seen = {float(augment.shift(x, 1, torch.Generator().manual_seed(s)).sum()) for s in range(60)}
    assert seen == {50.0, 40.0, 32.0}


def test_whole_pictures_have_the_last_of_a_run_for_network_in_network():
    change = TABLE["cifar10-nin"].recipe.change
    x = torch.rand(2, 3, 32, 32)
    sides = {
        done: change.at(done).made(x, torch.Generator().manual_seed(0)).shape[-1]
        for done in (0.0, 0.69, 0.71, 1.0)
    }
    assert sides == {0.0: 24, 0.69: 24, 0.71: 32, 1.0: 32}


def test_a_change_is_followed_by_others_from_their_shares_of_the_steps_on():
    seen = []

    def noted(name):
        def made(x, _):
            seen.append(name)
            return x

        return made

    last = Change(noted("last"), "")
    change = Change(noted("first"), "", 0.4, Change(noted("second"), "", 0.7, last))
    rows = Samples(np.random.default_rng(0).normal(size=(40, 5, 1)), np.arange(40) % 2)
    net = nn.Sequential(nn.Flatten(), nn.Linear(5, 2))
    work = Work(CLASSIFY, rows, lambda x: torch.from_numpy(x).float())
    trainer = Trainer(net, work, Recipe(epochs=2, batch=8, change=change), 0)
    while trainer.epoch() < 2:
        trainer.train_epoch(lambda: None)
    assert seen == ["first"] * 4 + ["second"] * 3 + ["last"] * 3


def test_batches_by_length_have_little_padding_and_rows_once():
    rows = texts()
    network, task = nn.Linear(1, 2), TABLE["sentences"].task
    recipe = replace(TABLE["sentences"].recipe, batch=16)

    def batches(epoch, *, by_length=True):
        trainer = Trainer(
            network, Work(task, rows, unpadded), replace(recipe, by_length=by_length), 0
        )
        trainer.learner.step = epoch * trainer.steps
        return trainer.order().reshape(-1, 16)

    longest = lengths(rows.inputs)
    sorted_, mixed = batches(0), batches(0, by_length=False)
    assert np.array_equal(np.sort(sorted_, None), np.sort(mixed, None))
    assert len(np.unique(sorted_)) == 18 * 16
    padding = [np.ptp(longest[each], axis=1).mean() for each in (sorted_, mixed)]
    assert padding[0] < 0.8 * padding[1]
    assert not np.array_equal(sorted_, batches(1))
    assert np.argsort(longest[sorted_].mean(1)).tolist() != list(range(18))


def test_a_grade_in_the_middle_asks_for_a_half_and_the_ends_for_nearly_all():
    loss = TABLE["sentences"].task.loss
    undecided, sure = torch.zeros(1, 2), torch.tensor([[0.0, 4.0]])

    def of(outputs, grade):
        return float(loss(outputs, outputs, torch.tensor([grade]), 0.0))

    assert of(undecided, 2) == pytest.approx(np.log(2))
    assert of(sure, 2) > of(undecided, 2)
    assert of(sure, 4) < of(undecided, 4)
    assert of(sure, 0) > of(sure, 1) > of(sure, 2) > of(sure, 3) > of(sure, 4)


def test_photographs_grow_while_a_run_goes_on_and_stay_as_they_are_lit_and_scaled():
    photos = TABLE["photos"]
    rows = photos.prepare(pictures(40).inputs // 2)  # darker than the mean, so that scales show
    sides = []
    for done in (0.0, 0.49, 0.51, 0.79, 0.81, 1.0):
        change = photos.recipe.change.at(done)
        seen = change.made(rows, torch.Generator().manual_seed(0))
        sides.append(seen.shape[-1])
        torch.testing.assert_close(seen.mean((0, 2, 3)), rows.mean((0, 2, 3)), rtol=0, atol=0.05)
        assert seen.is_contiguous(memory_format=torch.channels_last)
    assert sides == [32, 32, 48, 48, 64, 64]


def test_a_class_among_the_five_likeliest_counts_for_the_top_five():
    outputs = torch.tensor([[9.0, 8, 7, 6, 5, 4, 3]] * 3)
    work = TABLE["photos"].work(Samples(pictures(3).inputs, np.array([0, 4, 5])))
    assert others(outputs, work) == {"top-5": pytest.approx(2 / 3)}


def moved(net):
    """A network whose batch norms have seen something: untrained ones fold to nothing."""
    with torch.no_grad():
        net.train()(TABLE["photos"].prepare(pictures().inputs))
    return net.eval()


def test_folding_norms_changes_no_answer():
    net = moved(PhotoNet(4))
    photos = TABLE["photos"].work(pictures(4))
    folded = fold_norms(net)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(predict(folded, photos), predict(net, photos))
