import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from cli.running import candor


@dataclass(frozen=True)
class Demo:
    """One demo that ran: what it printed, and the folder that it filled."""

    said: str
    folder: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    done = candor("demo", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    return Demo(done.stdout, folder)


@pytest.mark.parametrize("name", ["cat", "coffee", "rocket", "mosaic"])
@pytest.mark.parametrize("method", ["grad_cam", "gradient", "lime"])
def test_every_photograph_has_an_overlay_of_every_method_in_its_size(
    demo: Demo, name: str, method: str
) -> None:
    files = sorted(demo.folder.glob(f"{name}*.{method}.png"))
    assert len(files) >= (2 if name == "mosaic" else 1)
    with Image.open(demo.folder / f"{name}.png") as original:
        width, height = original.size
    for file in files:
        with Image.open(file) as overlay:
            assert overlay.width == width
            assert overlay.height > height


def test_the_two_targets_of_the_mosaic_have_two_maps(demo: Demo) -> None:
    first, second = (
        (demo.folder / f"mosaic.{target}.grad_cam.png").read_bytes()
        for target in ("tabby_cat", "espresso")
    )
    assert first != second


def test_a_wrong_prediction_is_said_to_be_wrong_and_explained_for_the_right_class_too(
    demo: Demo,
) -> None:
    verdicts = re.findall(r"Right: |Wrong: ", demo.said)
    assert len(verdicts) == 2
    right_files = {"cat": "cat.tabby_cat.lime.png", "coffee": "coffee.espresso.lime.png"}
    for name, verdict in zip(("cat", "coffee"), verdicts, strict=True):
        assert (demo.folder / right_files[name]).exists() == (verdict == "Wrong: ")


def test_a_picture_of_nothing_that_the_model_knows_is_said_to_be_one(demo: Demo) -> None:
    assert "None of the 50 classes is right" in demo.said


def test_every_call_is_timed_twice(demo: Demo) -> None:
    assert (
        len(re.findall(r"^(?:grad_cam|gradient|lime) .* ms +[\d.]+ ms", demo.said, re.MULTILINE))
        == 12
    )
    sentences = re.findall(r"(?:gradient|lime): [\d.]+ ms, cached [\d.]+ ms", demo.said)
    assert len(sentences) >= 8


def test_the_cached_lime_is_faster_than_the_first(demo: Demo) -> None:
    times = re.findall(r"^lime .* ([\d.]+) ms +([\d.]+) ms", demo.said, re.MULTILINE)
    assert len(times) == 4
    # of all together: one may have had to wait for the machine
    assert sum(float(first) for first, _ in times) > sum(float(second) for _, second in times)


def test_words_are_drawn_with_signed_bars(demo: Demo) -> None:
    assert len(re.findall(r"█+│", demo.said)) > 5
    assert len(re.findall(r"│█+", demo.said)) > 5


def test_the_page_shows_pictures_that_exist(demo: Demo) -> None:
    page = (demo.folder / "index.html").read_text(encoding="utf-8")
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) >= 5 * 4
    assert all((demo.folder / file).exists() for file in files)
    with Image.open(demo.folder / "contact_sheet.png") as sheet:
        assert sheet.height > 1000


def test_it_says_where_the_pictures_are_and_how_to_call_the_service(demo: Demo) -> None:
    assert os.fspath(demo.folder / "index.html") in demo.said
    assert "from candor.client import Client" in demo.said


def test_its_service_is_gone_afterwards(demo: Demo) -> None:
    log = (demo.folder / "service.log").read_text(encoding="utf-8")
    address = re.search(r'"event": "ready".*"grpc": "([^"]+)"', log)
    assert address
    assert candor("models", "--server", address[1], "--timeout-s", "60").returncode == 3


def test_without_models_it_says_what_is_missing(tmp_path: Path) -> None:
    done = candor("demo", "--out", str(tmp_path / "out"), CANDOR_MODEL_ROOT=str(tmp_path / "none"))
    assert done.returncode == 2
    assert f"no model repository at {tmp_path / 'none'}" in done.stderr
