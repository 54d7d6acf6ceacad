"""docs/models.md says of the committed models what the service says of them now."""

import re
from dataclasses import replace

import numpy as np
import onnx
import pytest
from PIL import Image

from candor.client import Client
from serving import REPOSITORY, Server
from zoo import figures
from zoo.page.__main__ import read_figures
from zoo.page.draw import draw, save
from zoo.page.graph import is_recurrent
from zoo.page.layout import Block, Panel, lay_out
from zoo.page.made import silhouettes
from zoo.page.maps import covering, is_little, measure_maps
from zoo.page.measure import measure
from zoo.page.notes import notes_on
from zoo.page.record import PICTURES, RECORD, drawing_code, read_record, stale
from zoo.page.rows import Split
from zoo.page.shown import TEXTS, shown_for
from zoo.page.write import CARDS, PAGE, committed, write_page
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
    drawn = {path.name for path in PICTURES.iterdir() if path != RECORD}
    assert drawn == set(re.findall(r"\(images/models/(.+)\)", page))
    assert drawn == {sheet["file"] for sheet in read_record().values()}
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 6_000_000


def test_every_drawing_is_of_the_file_that_is_served_by_the_code_that_there_is(client):
    record = read_record()
    for summary in client.models():
        name = summary.id.name
        why = stale(record[name], client.model(name).id.digest)
        assert not why, f"the drawing of '{name}' is {why}; run: make model-docs MODEL={name}"


def test_a_drawing_of_another_file_or_by_other_code_is_stale():
    now = {"file": "photos.jpg", "digest": "a" * 64, "code": drawing_code()}
    assert stale(now, "a" * 64) == ""
    assert "another file" in stale(now, "b" * 64)
    assert "other drawing code" in stale(now | {"code": "0" * 64}, "a" * 64)


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
        "mapped": 100,
        "thirds": {"gradient": [first, 0.8 - first, 0.2], "occlusion": [0.4, 0.4, 0.2]},
        "agreement": {"gradient": 0.9},
    }
    found = " ".join(notes_on(client.model(name), figures))
    assert (says in found) if says else "of its weight" not in found
    assert "mean over 100 test rows of all classes" in found
    assert "rank correlation" not in found
    assert ("total derivatives" in found) is name.startswith("vowels")
    weak = notes_on(client.model(name), figures | {"agreement": {"gradient": 0.1}})
    assert "`gradient` 0.10" in " ".join(weak)


ON_BLACK = {"area": 0.78, "integrated_gradients": 0.0, "occlusion": 0.18, "grey": 0.85}


@pytest.mark.parametrize(
    ("shares", "aimless"),
    [
        ({"grad_cam": 0.79, "gradient": 0.85}, ["grad_cam", "gradient"]),
        ({"grad_cam": 0.2, "gradient": 0.85}, ["gradient"]),
        ({"gradient": 0.84}, ["gradient"]),
        ({"grad_cam": 0.2, "gradient": 0.3}, []),
    ],
)
def test_every_map_on_empty_ground_is_called_that_and_what_cannot_lie_there_too(
    client, shares, aimless
):
    found = notes_on(client.model("digits-lenet"), {"mapped": 100, "on_black": ON_BLACK | shares})
    assert "`occlusion` 18%" in found[0]
    assert "`occlusion` with `baseline` 0.5 85%" in found[0]
    assert "by construction" in found[1]
    verdict = " ".join(found[2:])
    assert ("Not plausible" in verdict) is bool(aimless)
    assert [m for m in ("grad_cam", "gradient") if f"`{m}`" in verdict] == aimless


WORDS = {"tokens": 0.4, "occlusion": 0.2, "grad_cam": 0.3, "gradient": 0.35}
FIRST = {"tokens": 0.05, "occlusion": 0.04, "grad_cam": 0.02, "gradient": 0.09}


def test_colour_on_words_that_say_little_and_on_the_first_is_told(client):
    model = client.model("sentences")
    found = " ".join(notes_on(model, {"mapped": 100, "little": WORDS, "first": FIRST}))
    assert "40% of the tokens: `occlusion` 20%, `grad_cam` 30%, `gradient` 35%" in found
    assert found.count("does not tell words that say something") == 2
    assert "too dark: `gradient`, where covering finds 4.0%" in found
    flat = {"tokens": 0.05, "occlusion": 0.05, "gradient": 0.05}
    found = " ".join(notes_on(model, {"mapped": 9, "little": WORDS | {"gradient": 0.1,
                                      "grad_cam": 0.1}, "first": flat}))  # fmt: skip
    assert "does not tell" not in found
    assert "too dark" not in found


def test_a_zero_that_is_padding_is_told_as_such(client):
    thirds = {"occlusion": [0.6, 0.3, 0.1], "removed": [0.4, 0.3, 0.3]}
    figures = {"mapped": 100, "thirds": thirds}
    assert "40%, 30%, 30%" in " ".join(notes_on(client.model("vowels-gru"), figures))
    assert "padding" not in " ".join(
        notes_on(client.model("ecg200-fcn"), {"mapped": 9, "thirds": {"occlusion": [1, 0, 0]}})
    )


def test_only_where_zeros_are_padding_occlusion_covers_by_next_to_nothing():
    names = ("vowels-esn", "sentences-gru", "gunpoint-fcn", "photos")
    assert [bool(covering(name)) for name in names] == [True, False, False, False]


def test_a_lattice_and_maps_that_are_one_are_told(client):
    model = client.model("photos")
    found = " ".join(notes_on(model, {"mapped": 20, "lattice": [0.16, 0.25, 0.24, 0.35],
                                      "cam_gap": 1e-6}))  # fmt: skip
    assert "even column have 16%" in found
    assert "one map here" in found
    found = " ".join(notes_on(model, {"mapped": 20, "lattice": [0.25] * 4, "cam_gap": 0.4}))
    assert "lattice" not in found
    assert "one map" not in found


def test_recurrent_networks_are_told_by_their_graph():
    assert is_recurrent("vowels-esn")
    assert not is_recurrent("spoken-digits-tdnn")
    for path in REPOSITORY.glob("*/1/model.onnx"):
        graph = onnx.load(path, load_external_data=False).graph
        recurrent = any(node.op_type in ("RNN", "LSTM", "GRU") for node in graph.node)
        assert is_recurrent(path.parts[-3]) is recurrent


def test_the_sample_has_every_class_and_no_row_twice():
    split = Split("texts", [""] * 40, np.repeat([0, 1, 2], [30, 6, 4]))
    sample = split.sample()
    assert sorted(sample) == list(range(40))
    assert sample == split.sample()
    assert np.bincount(split.classes[sample[:9]]).tolist() == [3, 3, 3]


def test_maps_are_measured_on_texts_of_both_kinds_of_words(client):
    model = client.model("sentences-rnn")
    texts = [f"{text} {text}" for text, _ in TEXTS]
    maps = measure_maps(client, model, Split("texts", texts, np.array([1, 0, 1, 1, 0])))
    assert maps["mapped"] == len(texts)
    assert 0.3 < maps["little"]["tokens"] < 0.7
    for table in ("little", "first"):
        methods = {"grad_cam", "gradient", "integrated_gradients", "occlusion"}
        assert set(maps[table]) == methods | {"tokens"}
    assert all(sum(of) == pytest.approx(1, abs=0.01) for of in maps["thirds"].values())
    assert is_little(".")
    assert is_little("of")
    assert not is_little("dull")


def test_steps_are_covered_without_being_removed(client):
    model = client.model("vowels-lstm")
    (row,) = shown_for(model)
    (series,) = row.rows["tensors"].values()
    maps = measure_maps(client, model, Split("tensors", [series[0]], np.array([0]), input="series"))
    covered, removed = maps["thirds"]["occlusion"], maps["thirds"]["removed"]
    assert np.abs(np.subtract(covered, removed)).max() > 0.05


def test_what_is_empty_by_construction_is_measured_as_that(client):
    rows = list(silhouettes().values())
    split = Split("images", rows, np.array([0, 1]))
    found = measure_maps(client, client.model("fashion-lenet"), split)["on_black"]
    assert found["integrated_gradients"] == 0
    assert found["occlusion"] < found["area"] / 2 < found["grey"]


def test_a_model_is_measured_on_the_split_that_it_is_given(client, tmp_path):
    model = client.model("digits-lenet")
    rows = shown_for(model)
    split = Split("images", [row.rows["images"][0] for row in rows],
                  np.array([int(row.truth) for row in rows]), origin="three digits")  # fmt: skip
    figures = measure(client, model, split, tmp_path)  # nothing is read from there
    assert (figures["origin"], figures["rows"], figures["wrong"]) == ("three digits", 3, [2])
    assert figures["score"] == 2 / 3  # not rounded: the page is
    assert "| 3, three digits | 66.67 % |" in committed([model], {"digits-lenet": figures})


@pytest.mark.parametrize("name", ["vowels-lstm", "ecg200-fcn", "gunpoint-fcn", "spoken-digits-tdnn",
                                  "fashion-lenet", "digits-autoencoder"])  # fmt: skip
def test_every_model_has_something_of_ours_to_be_drawn_on(client, name):
    model = client.model(name)
    for row in shown_for(model):
        assert client.predict(name, **row.rows)
    assert shown_for(model)


def test_a_sheet_says_what_is_what_and_draws_rows_of_data_sets_as_maps_alone(client, tmp_path):
    model = client.model("fashion-lenet")
    secret = np.zeros((28, 28), np.uint8)
    secret[::3, ::2] = 255
    split = Split("images", [secret, secret], np.array([0, 9]))
    bare = draw(client, model, split, [1], private=False)
    shown = draw(client, model, split, [1], private=True)
    assert bare.size == shown.size
    assert np.abs(np.asarray(bare, int) - np.asarray(shown)).mean() > 5
    file = save(bare, tmp_path, model)
    with Image.open(file) as saved:
        assert saved.size == bare.size


def test_an_autoencoder_is_drawn_as_what_it_makes(client):
    model = client.model("digits-autoencoder")
    split = Split("images", [np.zeros((28, 28), np.uint8)], np.array([0]))
    sheet = np.asarray(draw(client, model, split, [], private=False).convert("L"), np.float64)
    (first, *_) = shown_for(model)
    sent = np.asarray(Image.fromarray(first.rows["images"][0]).resize((280, 280), 0), np.float64)
    top = next(y for y in range(len(sheet)) if np.array_equal(sheet[y : y + 280, 20:300], sent))
    made = sheet[top : top + 280, 320:600]
    assert 0 < np.abs(made - sent).mean() < 40


def test_panels_keep_their_size_under_titles_of_their_own():
    red, blue = (Image.new("RGB", (80, 40), colour) for colour in ("#ff0000", "#0000ff"))
    panels = [Panel("one", "of so many units " * 4, red), Panel("two", "", blue)]
    wide = lay_out([Block("both", panels)], columns=2, width=80)
    tall = lay_out([Block("both", panels)], columns=1, width=80)
    for sheet in (wide, tall):
        pixels = np.asarray(sheet)
        for colour in ((255, 0, 0), (0, 0, 255)):
            assert (pixels == colour).all(axis=-1).sum() == 80 * 40
    assert wide.width == 220
    assert tall.width == 120
    assert tall.height > wide.height + 40


def test_tensors_of_unlike_length_are_sent_apart():
    rows = [[0.0] * length for length in (3, 5, 3, 4)]
    split = Split("tensors", rows, [0, 1, 0, 1], "x")
    batches = list(split.batches())
    assert sorted(map(sorted, batches)) == [[0, 2], [1], [3]]
    assert split.ask(batches[0])["tensors"]["x"].shape == (2, 3)


def test_a_heading_that_is_too_long_is_wrapped_and_not_cut():
    panels = [Panel("grad_cam", "", Image.new("RGB", (80, 40)))]
    heights = [
        lay_out([Block(heading, panels)], columns=2, width=80).height
        for heading in ("short", "so long that it takes two lines", "so long " * 9)
    ]
    assert heights[0] < heights[1] < heights[2]


def test_a_card_tells_the_epoch_where_there_are_any():
    trained = figures.read_figures(CARDS / "cifar10-study-half")
    assert dict(figures.rows_of(trained))["epoch taken"] == "6 of 6"
    fitted_at_once = replace(trained, epoch=0, epochs=0)
    assert "epoch taken" not in dict(figures.rows_of(fitted_at_once))


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
