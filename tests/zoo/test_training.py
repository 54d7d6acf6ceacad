"""What can go wrong silently in training: augmentation, optimiser, batch norms, resuming."""

import numpy as np
import torch

from zoo import augment
from zoo.families.cifar import mirrored_and_cut
from zoo.fold import fold_norms
from zoo.learner import write_state
from zoo.muon import orthogonalise
from zoo.photos import PhotoNet
from zoo.run_photos import work_on
from zoo.sets.samples import Samples
from zoo.train_photos import Recipe, Trainer, settle
from zoo.trainer import predict


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


def test_of_three_batches_for_network_in_network_two_are_cut():
    x = torch.rand(2, 3, 32, 32)
    sides = [
        mirrored_and_cut(x, torch.Generator().manual_seed(seed)).shape[-1] for seed in range(300)
    ]
    assert set(sides) == {24, 32}
    assert 0.6 < sides.count(24) / 300 < 0.74


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
