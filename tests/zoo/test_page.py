"""docs/models.md says of the committed models what the service says of them now."""

import re
from dataclasses import replace

import pytest

from candor.client import Client
from serving import Server
from zoo import figures
from zoo.page.__main__ import read_figures
from zoo.page.notes import notes_on
from zoo.page.rows import Split
from zoo.page.write import CARDS, PAGE, PICTURES, committed, write_page
from zoo.study import study_table


@pytest.fixture(scope="module")
def client(server: Server):
    with Client(server.grpc_target) as made:
        yield made


def test_the_page_is_what_the_service_answers(client):
    assert write_page(client, read_figures()) == PAGE.read_text(encoding="utf-8"), (
        "docs/models.md is out of date; run: make model-docs"
    )


def test_every_model_has_a_row_its_methods_and_the_reasons_for_those_it_lacks(client):
    page = PAGE.read_text(encoding="utf-8")
    for summary in client.models():
        model = client.model(summary.id.name)
        (row,) = re.findall(rf"^\| \[`{model.id.name}`\].*$", page, re.MULTILINE)
        part = page.partition(f"### {model.id.name}\n")[2].partition("\n### ")[0]
        for method, reason in model.methods.items():
            if reason is None:
                assert "all" in row or f"`{method}`" in row
            else:
                assert reason in part


def test_figures_are_of_the_files_that_are_served(client):
    figures = read_figures()
    for summary in client.models():
        assert figures[summary.id.name]["digest"] == client.model(summary.id.name).id.digest


def test_figures_of_another_file_are_refused(client):
    model = client.model("photos")
    stale = read_figures()["photos"] | {"digest": "0" * 64}
    with pytest.raises(ValueError, match="another file of 'photos'"):
        committed([model], {"photos": stale})
    (_, _, row, *_) = committed([model], {}).splitlines()
    assert "not measured" in row


def test_every_drawing_is_of_a_model_and_is_shown():
    page = PAGE.read_text(encoding="utf-8")
    drawn = {path.stem for path in PICTURES.glob("*.png")}
    assert drawn == set(re.findall(r"\(images/models/(.+)\.png\)", page))
    assert sum(path.stat().st_size for path in PICTURES.glob("*.png")) < 6_000_000


@pytest.mark.parametrize(
    ("name", "first", "says"),
    [
        ("vowels-lstm", 0.66, "an early step acts on every state after it"),
        ("vowels-lstm", 0.45, None),
        ("ecg200-fcn", 0.66, "puts 66% of its weight on the first third"),
    ],
)
def test_what_is_not_plausible_is_said_with_its_figure(client, name, first, says):
    figures = {
        "thirds": {"gradient": [first, 0.8 - first, 0.2], "occlusion": [0.4, 0.4, 0.2]},
        "agreement": {"gradient": 0.9},
    }
    lines = notes_on(client.model(name), figures)
    found = " ".join(lines)
    assert (says in found) if says else len(lines) == 1
    assert "rank correlation" not in found
    weak = notes_on(client.model(name), figures | {"agreement": {"gradient": 0.1}})
    assert "`gradient` 0.10" in " ".join(weak)


@pytest.mark.parametrize(("share", "plausible"), [(0.79, False), (0.2, True)])
def test_maps_on_empty_ground_are_called_that(client, share, plausible):
    figures = {"on_black": {"area": 0.78, "grad_cam": share, "occlusion": 0.18}}
    found = " ".join(notes_on(client.model("digits-lenet"), figures))
    assert f"are 78% of them: `grad_cam` {share:.0%}, `occlusion` 18%" in found
    assert ("not plausible" in found) is not plausible


def test_tensors_of_unlike_length_are_sent_apart():
    rows = [[0.0] * length for length in (3, 5, 3, 4)]
    split = Split("tensors", rows, [0, 1, 0, 1], "x")
    batches = list(split.batches())
    assert sorted(map(sorted, batches)) == [[0, 2], [1], [3]]
    assert split.ask(batches[0])["tensors"]["x"].shape == (2, 3)


def test_the_study_tells_errors_out_of_the_figures_and_what_is_not_trained_yet(tmp_path):
    trained = figures.read_figures(CARDS / "cifar10-study-half")
    half = replace(
        trained, parameters=254_826, scores=[0.8425], trained=0.865, held_out=0.83, seconds=540.0
    )
    figures.write_figures(tmp_path / "cifar10-study-half", half)
    table = study_table(tmp_path)
    link = "[BaseCNN, widths x0.5](../models/zoo/cards/cifar10-study-half/CARD.md)"
    assert f"| {link} | 254,826 | 13.50 % | 15.75 % | 9 min |" in table
    assert table.count("not trained yet") == 6
