"""From rows to a served folder: fit, go on after an interruption, export, measure, describe."""

import re
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from packaged import gray, rows_for, texts
from zoo.checkpoint import CheckpointError
from zoo.compare import compare
from zoo.families.sentences import DROPOUT
from zoo.figures import read_figures
from zoo.fit import fit, fitted_so_far
from zoo.model import Model
from zoo.networks.sentences import SentenceNet
from zoo.publish import export_seed, publish
from zoo.recipe import Recipe
from zoo.sets.adult import TEST_ROWS
from zoo.sets.samples import Samples, hold_out
from zoo.sets.series import read_ts
from zoo.table import TABLE
from zoo.trainer import Trainer, predict, score

QUICK = Recipe(epochs=3, batch=64, lr=4e-3, average=0.9, held_out=200)


def quick_model() -> Model:
    return replace(TABLE["digits-mlp"], recipe=QUICK)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    model, rows = quick_model(), gray()
    train, test = rows.take(np.arange(1200)), rows.take(np.arange(1200, len(rows)))
    fitted = fit("quick", model, train, folder, seed=0)
    return folder, model, train, test, fitted


def test_a_fitted_network_is_published_with_what_it_reached(run, tmp_path):
    folder, model, train, test, fitted = run
    measured = export_seed(model, fitted, 0, test)
    other = export_seed(model, fit("quick", model, train, folder, seed=1), 1, test)
    publish("quick", model, [measured, other], tmp_path, tmp_path / "quick")
    card = (tmp_path / "quick" / "CARD.md").read_text(encoding="utf-8")
    found = re.search(r"\| accuracy, test split \(597 rows\) \| (\d+\.\d\d) % \|", card)
    assert float(found[1]) == pytest.approx(100 * measured.compared.score, abs=0.006)
    assert measured.compared.score > 0.5
    assert "2 seeds: mean, deviation, each" in card
    figures = read_figures(tmp_path / "quick")
    assert list(figures.scores) == [
        pytest.approx(each.compared.score, abs=1e-6) for each in (measured, other)
    ]
    assert (figures.rows, figures.epochs, figures.ended) == (len(test), QUICK.epochs, True)
    manifest = tomllib.loads((tmp_path / "quick" / "model.toml").read_text(encoding="utf-8"))
    assert manifest["labels"] == list("0123456789")
    assert manifest["input"]["channels"] == "gray"


def test_where_the_source_has_a_development_split_the_epoch_is_chosen_on_it(tmp_path):
    rows, develop = texts(), texts().take(np.arange(0, 300, 7))
    develop = replace(develop, classes=develop.classes % 2)
    data = replace(
        TABLE["sentences"].data, load=lambda _, split: {"test": develop}.get(split, rows)
    )
    model = replace(
        TABLE["sentences"],
        network=lambda _: SentenceNet(40, 6, 5, DROPOUT),
        data=data,
        recipe=replace(TABLE["sentences"].recipe, epochs=2),
        baselines=lambda _: {},
        files=lambda _: {"vocabulary.txt": "a\nb\n"},
    )
    fitted = fit("told", model, rows, tmp_path, 0, develop)
    work = model.work(develop)
    assert fitted.score == pytest.approx(score(predict(fitted.net, work), work))
    measured = export_seed(model, fitted, 0, develop)
    publish("told", model, [measured], tmp_path, tmp_path / "told")
    assert (tmp_path / "told" / "vocabulary.txt").read_text(encoding="utf-8") == "a\nb\n"
    card = (tmp_path / "told" / "CARD.md").read_text(encoding="utf-8")
    assert "| accuracy, development split, the epoch's choice |" in card
    assert "chosen on the development split" in card


def test_a_seed_that_has_not_come_to_its_end_is_in_no_spread(run, tmp_path):
    _, model, _, test, fitted = run
    whole = export_seed(model, fitted, 0, test)
    part = replace(whole, seed=1, fitted=replace(fitted, finished=False))
    publish("quick", model, [whole, part], tmp_path, tmp_path / "quick")
    assert len(read_figures(tmp_path / "quick").scores) == 1
    publish("quick", model, [part, whole], tmp_path, tmp_path / "quick")
    assert len(read_figures(tmp_path / "quick").scores) == 1
    card = (tmp_path / "quick" / "CARD.md").read_text(encoding="utf-8")
    assert " of 3, of a run that has not come to its end |" in card


def test_what_a_task_measures_beside_is_in_the_card_under_the_name_of_the_split(run, tmp_path):
    _, model, _, test, fitted = run
    photos = TABLE["photos"]
    data = replace(model.data, measured="validation")
    model = replace(model, task=photos.task, data=data)
    measured = export_seed(model, fitted, 0, test)
    publish("quick", model, [measured], tmp_path, tmp_path / "quick")
    card = (tmp_path / "quick" / "CARD.md").read_text(encoding="utf-8")
    best = measured.compared.outputs.numpy().argsort(1)[:, -5:]
    share = np.mean(np.any(best == test.classes[:, None], axis=1))
    assert measured.compared.score < share < 1
    assert f"| top-1, validation split (597 rows) | {100 * measured.compared.score:.2f} % |" in card
    assert f"| top-5, validation split | {100 * share:.2f} % |" in card
    assert "the validation split" in card
    assert "test split" not in card


def test_a_card_names_the_machines_of_the_run_and_not_the_one_that_writes_it(run, tmp_path):
    folder, model, train, test, _ = run
    there = {"cpu": "Abacus 9", "cores": 3, "threads": 2, "precision": "products in bfloat16"}
    for file in folder.glob("quick-0*.pt"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    chosen = tmp_path / "quick-0-chosen.pt"
    torch.save({**torch.load(chosen, weights_only=True), "machines": [there]}, chosen)
    fitted = fit("quick", model, train, tmp_path, seed=0)
    publish("quick", model, [export_seed(model, fitted, 0, test)], tmp_path, tmp_path / "quick")
    card = (tmp_path / "quick" / "CARD.md").read_text(encoding="utf-8")
    assert "| hardware | Abacus 9, 3 cores, 2 threads, products in bfloat16 |" in card


def test_a_run_that_goes_on_elsewhere_notes_both_machines(run, tmp_path):
    _, model, train, _, _ = run
    stopped = replace(model, recipe=replace(QUICK, epochs=0))
    fit("quick", stopped, train, tmp_path, seed=0)  # as a run of QUICK leaves off before a step
    chosen = tmp_path / "quick-0-chosen.pt"
    there = {"cpu": "Abacus 9", "cores": 3, "threads": 2, "precision": "float32"}
    state = torch.load(chosen, weights_only=True)
    torch.save({**state, "machines": [there], "recipe": repr(QUICK)}, chosen)
    machines = fit("quick", model, train, tmp_path, seed=0).machines
    assert machines[0] == there
    assert machines[1]["threads"] == torch.get_num_threads()
    assert len(machines) == 2


def test_of_a_model_that_is_not_served_there_is_a_card_and_nothing_else(run, tmp_path):
    _, model, _, test, fitted = run
    measured = export_seed(model, fitted, 0, test)
    publish("quick", replace(model, served=False), [measured], tmp_path, tmp_path / "quick")
    names = {path.name for path in (tmp_path / "quick").rglob("*")}
    assert names == {"CARD.md", "measured.json"}


def test_a_finished_run_is_not_run_again(run):
    folder, model, train, _, fitted = run
    again = fit("quick", model, train, folder, seed=0)
    assert (again.epoch, again.seconds, again.finished) == (fitted.epoch, fitted.seconds, True)
    so_far = fitted_so_far("quick", model, train, folder, seed=0)
    for ours, theirs in zip(so_far.net.parameters(), fitted.net.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("use", [fit, fitted_so_far])
def test_a_run_of_another_recipe_is_neither_gone_on_with_nor_published(use, run):
    folder, model, train, _, _ = run
    with pytest.raises(CheckpointError, match="another recipe"):
        use("quick", replace(model, recipe=replace(QUICK, lr=1e-3)), train, folder, seed=0)


def test_what_was_never_trained_is_not_published(run):
    folder, model, train, _, _ = run
    with pytest.raises(CheckpointError, match=r"quick-7-chosen\.pt is missing"):
        fitted_so_far("quick", model, train, folder, seed=7)


def of_pictures():
    model, rows = quick_model(), gray().take(np.arange(500))
    torch.manual_seed(0)
    return Trainer(model.network(rows), model.work(rows), QUICK, seed=0)


def of_sentences():
    model, rows = TABLE["sentences"], texts()
    torch.manual_seed(0)
    recipe = replace(model.recipe, epochs=3)
    return Trainer(SentenceNet(40, 6, 5, DROPOUT), model.work(rows), recipe, seed=0)


def of_photographs():
    """Those of 32 pixels, then of 48, then of 64; Muon, and bfloat16 where there are units."""
    model = TABLE["photos"]
    rows = rows_for(model).take(np.arange(24))
    torch.manual_seed(0)
    recipe = replace(model.recipe, epochs=3, batch=4)
    return Trainer(model.network(rows), model.work(rows), recipe, seed=0)


@pytest.mark.parametrize("trainer", [of_pictures, of_sentences, of_photographs])
@pytest.mark.parametrize("after", [3, 7])
def test_an_interrupted_run_ends_as_one_that_was_not(trainer, after, tmp_path):
    whole = trainer()
    while whole.epoch() < 3:
        whole.train_epoch(lambda: None)
    first = trainer()
    steps = 0

    def stop():
        nonlocal steps
        steps += 1
        if steps == after:
            raise KeyboardInterrupt

    def go_on():
        while True:
            first.train_epoch(stop)

    with pytest.raises(KeyboardInterrupt):
        go_on()
    first.save(tmp_path / "run.pt")
    torch.manual_seed(99)
    second = trainer()
    second.load(tmp_path / "run.pt")
    while second.epoch() < 3:
        second.train_epoch(lambda: None)
    assert second.learner.step == whole.learner.step
    for ours, theirs in zip(second.best().parameters(), whole.best().parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_products_are_in_bfloat16_where_there_are_units_and_weights_never(monkeypatch):
    model, rows = quick_model(), gray().take(np.arange(300))
    coarse = replace(QUICK, bfloat16=True)

    def trained(recipe, *, units):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units})
        torch.manual_seed(0)
        trainer = Trainer(model.network(rows), model.work(rows), recipe, seed=0)
        trainer.train_epoch(lambda: None)
        return trainer.precision, torch.cat([w.flatten() for w in trainer.best().parameters()])

    (plain, exact), (same, still), (short, near) = (
        trained(QUICK, units=True),
        trained(coarse, units=False),
        trained(coarse, units=True),
    )
    assert (plain, same, short) == ("float32", "float32", "products in bfloat16")
    assert torch.equal(exact, still)
    assert near.dtype == torch.float32
    assert 0 < (near - exact).abs().max() < 0.05


def test_an_export_that_scores_differently_is_refused(run):
    _, model, _, test, fitted = run
    other = replace(fitted, net=model.network(test))
    exported = export_seed(model, fitted, 0, test).exported
    with pytest.raises(ValueError, match="the exported model scores"):
        compare(other.net, exported, model.work(test))


def test_held_out_rows_are_of_every_class_and_never_trained_on():
    rows = Samples(np.arange(90), np.arange(90) % 9)
    rest, held = hold_out(rows, 18, seed=5)
    assert np.bincount(held.classes).tolist() == [2] * 9
    assert sorted([*rest.inputs, *held.inputs]) == list(range(90))
    assert len(hold_out(rows, 0, seed=5)[1]) == 0


def test_series_files_are_read_by_channel_and_padded():
    lines = ["@problemName X", "@data", "1,2,3:4,5,6:b", "7,8:9,10:a"]
    found = read_ts(lines, ("a", "b"))
    assert found.inputs.tolist() == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10], [0, 0]]]
    assert found.classes.tolist() == [1, 0]
    with pytest.raises(ValueError, match="line 3: label 'c'"):
        read_ts(["@data", "1:a", "1:c"], ("a", "b"))
    with pytest.raises(ValueError, match=r"line 2: channels of lengths \[2, 1\]"):
        read_ts(["@data", "1,2:3:a"], ("a",))


def test_test_rows_of_the_census_are_a_fifth_and_each_once():
    rows = np.array(TEST_ROWS.read_text(encoding="utf-8").split(), np.int64)
    assert len(np.unique(rows)) == len(rows) == 6512
    assert (rows.min(), rows.max()) >= (0, 0)
    assert rows.max() < 32561


def test_checkpoints_hold_no_code(run):
    files = list(run[0].glob("*.pt"))
    assert len(files) >= 2
    for file in files:
        torch.load(file, weights_only=True)
