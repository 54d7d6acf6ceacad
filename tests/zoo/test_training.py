"""What can go wrong silently in training: augmentation, optimiser, batch norms, resuming."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from packaged import texts
from zoo import augment
from zoo.fold import fold_norms
from zoo.learner import write_state
from zoo.model import unpadded
from zoo.muon import orthogonalise
from zoo.networks.photos import PhotoNet
from zoo.recipe import CLASSIFY, Change
from zoo.recipe import Recipe as TableRecipe
from zoo.run_photos import work_on
from zoo.sets.samples import Samples, lengths
from zoo.table import TABLE
from zoo.train_photos import Recipe, Trainer, settle
from zoo.trainer import Trainer as Rows
from zoo.trainer import Work, predict


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


def test_a_run_ends_on_what_its_change_has_for_the_last_of_it():
    seen = []

    def noted(name):
        def made(x, _):
            seen.append(name)
            return x

        return made

    change = Change(noted("first"), "", last=Change(noted("last"), ""))
    rows = Samples(np.random.default_rng(0).normal(size=(40, 5, 1)), np.arange(40) % 2)
    net = nn.Sequential(nn.Flatten(), nn.Linear(5, 2))
    work = Work(CLASSIFY, rows, lambda x: torch.from_numpy(x).float())
    trainer = Rows(net, work, TableRecipe(epochs=2, batch=8, change=change), 0)
    while trainer.epoch() < 2:
        trainer.train_epoch(lambda: None)
    assert seen == ["first"] * 7 + ["last"] * 3


def test_batches_by_length_have_little_padding_and_rows_once():
    rows = texts()
    network, task = nn.Linear(1, 2), TABLE["sentences"].task
    recipe = replace(TABLE["sentences"].recipe, batch=16)

    def batches(epoch, *, by_length=True):
        trainer = Rows(network, Work(task, rows, unpadded), replace(recipe, by_length=by_length), 0)
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


def test_settled_norms_have_the_statistics_of_whole_pictures():
    net = PhotoNet(4)
    settled = settle(net, pictures(), seed=0)
    assert not settled.training
    norm = settled.stem[0].norm
    assert not torch.allclose(norm.running_mean, net.stem[0].norm.running_mean)
    assert int(norm.num_batches_tracked) == 1


def test_folding_norms_changes_no_answer():
    net = settle(PhotoNet(4), pictures(), seed=0)
    photos = work_on(pictures(4))
    folded = fold_norms(net)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(predict(folded, photos), predict(net, photos))


def test_interrupted_run_goes_on_where_it_stopped(tmp_path):
    recipe = Recipe(minutes=1000, batch=8)
    trainer = Trainer(recipe)
    trainer.train_steps(pictures(), 2)
    before, after = trainer.learner, Trainer(recipe).learner
    write_state(before.state(), tmp_path / "run.pt")
    after.restore(torch.load(tmp_path / "run.pt", weights_only=True))
    assert (after.step, after.seconds) == (2, before.seconds)
    for ours, theirs in zip(after.net.parameters(), before.net.parameters(), strict=True):
        assert torch.equal(ours, theirs)
