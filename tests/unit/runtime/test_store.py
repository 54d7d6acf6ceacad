import threading
from pathlib import Path

import pytest

from candor.errors import InvalidModel, NotFound
from candor.runtime.files import read_model
from candor.runtime.repository import Folder, find_folders, find_names
from candor.runtime.store import Store
from unit.runtime.builders import linear_model, write_model


class Digest(str):
    """A text that can be held weakly, as models are."""

    __slots__ = ("__weakref__",)


class Loader:
    """Loads a model's digest, and remembers what it was asked for."""

    def __init__(self):
        self.asked: list[tuple[str, str]] = []

    def __call__(self, folder: Folder) -> Digest:
        self.asked.append((folder.name, folder.version))
        return Digest(read_model(folder.model).digest)


def put(path: Path, features: int = 4) -> str:
    return read_model(write_model(path, linear_model(features))).digest


def test_the_three_layouts_are_found(tmp_path):
    put(tmp_path / "versions" / "2")
    put(tmp_path / "versions" / "10")
    put(tmp_path / "flat")
    (tmp_path / "README.md").write_text("not a model")
    (tmp_path / ".cache").mkdir()
    names = find_names(tmp_path)
    assert list(names) == ["flat", "versions"]
    assert list(find_folders("versions", names["versions"])) == ["2", "10"]
    flat = find_folders("flat", names["flat"])
    assert flat == {"1": Folder("flat", "1", tmp_path / "flat", tmp_path / "flat")}


@pytest.mark.parametrize("inner", [".", "3"])
def test_a_root_that_is_a_model_takes_the_name_it_is_given(tmp_path, inner):
    put(tmp_path / inner)
    assert find_names(tmp_path, "cats") == {"cats": tmp_path}
    with pytest.raises(InvalidModel, match=r"holds a model itself.*set model_name"):
        find_names(tmp_path)


def test_a_name_changes_nothing_where_the_root_holds_folders_of_models(tmp_path):
    put(tmp_path / "photos" / "1")
    assert list(find_names(tmp_path, "cats")) == ["photos"]


def test_a_version_may_bring_its_own_manifest(tmp_path):
    put(tmp_path / "1")
    put(tmp_path / "2")
    (tmp_path / "2" / "model.toml").write_text("")
    folders = find_folders("m", tmp_path)
    assert [folder.manifest for folder in folders.values()] == [tmp_path, tmp_path / "2"]


def test_folders_that_are_no_version_are_passed_over(tmp_path):
    put(tmp_path / "1")
    for name in ("0", "01x", "-1", "latest", "٣"):
        put(tmp_path / name)
    assert list(find_folders("m", tmp_path)) == ["1"]


def test_a_version_that_is_there_twice_is_refused(tmp_path):
    put(tmp_path)
    put(tmp_path / "1")
    with pytest.raises(InvalidModel, match="version 1 of model 'm' is in both"):
        find_folders("m", tmp_path)


def test_a_mounted_config_map_is_one_model_not_two(tmp_path):
    put(tmp_path / "..2026_11_20" / "photos")
    (tmp_path / "..data").symlink_to("..2026_11_20")
    (tmp_path / "photos").symlink_to("..data/photos")
    store = Store(tmp_path, Loader())
    assert [(e.name, e.version, e.state) for e in store.load_all()] == [("photos", "1", "ready")]


def test_the_newest_version_is_loaded_and_older_ones_when_they_are_asked_for(tmp_path):
    older, newer = put(tmp_path / "m" / "2", 4), put(tmp_path / "m" / "10", 5)
    load = Loader()
    store = Store(tmp_path, load)
    store.load_all()
    assert load.asked == [("m", "10")]
    assert store.get("m") == store.get("m", "10") == newer
    assert [(e.version, e.state) for e in store.entries()] == [("2", "unloaded"), ("10", "ready")]
    assert store.get("m", "2") == store.get("m", "2") == older
    assert load.asked == [("m", "10"), ("m", "2")]
    assert [(e.version, e.state) for e in store.entries()] == [("2", "ready"), ("10", "ready")]


def test_a_broken_model_does_not_stop_the_others_and_says_why(tmp_path):
    put(tmp_path / "good")
    write_model(tmp_path / "bad").write_bytes(b"<html>")
    (tmp_path / "empty").mkdir()
    store = Store(tmp_path, Loader())
    states = {entry.name: entry.state for entry in store.load_all()}
    assert states == {"good": "ready", "bad": "unavailable", "empty": "unavailable"}
    assert store.get("good")
    with pytest.raises(
        InvalidModel, match=r"model 'bad' cannot be served: .* is not an ONNX model"
    ):
        store.get("bad")
    with pytest.raises(InvalidModel, match="model 'empty' has neither"):
        store.get("empty")


def test_a_defect_in_loading_one_model_does_not_stop_the_others(tmp_path):
    put(tmp_path / "a")
    put(tmp_path / "b")

    def load(folder: Folder) -> str:
        if folder.name == "a":
            raise ZeroDivisionError("by zero")
        return folder.name

    store = Store(tmp_path, load)
    store.load_all()
    assert store.get("b") == "b"
    with pytest.raises(InvalidModel, match="unexpected ZeroDivisionError"):
        store.get("a")


def test_an_unknown_model_or_version_is_not_found_and_those_there_are_listed(tmp_path):
    put(tmp_path / "photos" / "1")
    put(tmp_path / "sentences")
    store = Store(tmp_path, Loader())
    store.load_all()
    with pytest.raises(NotFound, match="no model 'photo'; there are photos, sentences"):
        store.get("photo")
    with pytest.raises(NotFound, match="model 'photos' has no version '7'; it has 1"):
        store.get("photos", "7")


def test_an_empty_repository_serves_nothing_and_a_missing_one_is_refused(tmp_path):
    store = Store(tmp_path, Loader())
    assert store.load_all() == ()
    with pytest.raises(NotFound, match="there are none"):
        store.get("photos")
    with pytest.raises(InvalidModel, match="is not a folder"):
        Store(tmp_path / "nowhere", Loader()).load_all()


def test_loading_again_swaps_to_the_new_version(tmp_path):
    older = put(tmp_path / "m" / "1", 4)
    store = Store(tmp_path, Loader())
    store.load_all()
    assert store.get("m") == older
    newer = put(tmp_path / "m" / "2", 5)
    assert store.get("m") == older
    assert store.load("m") == newer
    assert store.get("m") == newer
    assert store.get("m", "1") == older


def test_a_new_version_that_is_broken_leaves_the_old_one_in_service(tmp_path):
    older = put(tmp_path / "m" / "1")
    store = Store(tmp_path, Loader())
    store.load_all()
    broken = write_model(tmp_path / "m" / "2")
    broken.write_bytes(b"<html>")
    with pytest.raises(InvalidModel, match="not an ONNX model"):
        store.load("m")
    assert store.get("m") == older
    assert [e.state for e in store.entries()] == ["ready", "unavailable"]
    broken.unlink()
    newer = put(tmp_path / "m" / "2", 5)
    assert store.load("m") == newer


def test_a_folder_emptied_under_a_served_model_leaves_it_in_service(tmp_path):
    digest = put(tmp_path / "m")
    store = Store(tmp_path, Loader())
    store.load_all()
    (tmp_path / "m" / "model.onnx").unlink()
    with pytest.raises(InvalidModel, match="has neither"):
        store.load("m")
    assert store.get("m") == digest


def test_a_model_whose_folder_is_gone_is_forgotten_by_the_next_scan(tmp_path):
    path = write_model(tmp_path / "m")
    store = Store(tmp_path, Loader())
    store.load_all()
    path.unlink()
    path.parent.rmdir()
    assert store.load_all() == ()
    with pytest.raises(NotFound):
        store.load("m")


def test_a_version_that_failed_is_not_tried_again_by_every_request(tmp_path):
    write_model(tmp_path / "m" / "1").write_bytes(b"<html>")
    put(tmp_path / "m" / "2")
    load = Loader()
    store = Store(tmp_path, load)
    store.load_all()
    for _ in range(3):
        with pytest.raises(InvalidModel):
            store.get("m", "1")
    assert load.asked == [("m", "2"), ("m", "1")]


def test_threads_that_ask_for_the_same_version_load_it_once(tmp_path):
    put(tmp_path / "m" / "1")
    put(tmp_path / "m" / "2")
    load = Loader()
    entered, release = threading.Event(), threading.Event()

    def slow(folder: Folder) -> str:
        if folder.version == "1":
            entered.set()
            assert release.wait(60)
        return load(folder)

    store = Store(tmp_path, slow)
    store.load_all()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(store.get("m", "1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(60)
    # the served version is there for others all the while
    assert store.get("m")
    release.set()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert load.asked == [("m", "2"), ("m", "1")]


class Thing:
    """A model that can be told from its copies, and looked at weakly."""

    def __init__(self, folder):
        self.version = folder.version


def test_what_is_unloaded_is_not_found_until_it_is_loaded_and_who_holds_it_keeps_it(tmp_path):
    put(tmp_path / "m" / "1")
    put(tmp_path / "m" / "2")
    store = Store(tmp_path, Thing)
    store.load_all()
    held = store.get("m")
    store.get("m", "1")
    store.unload("m")
    states = {entry.version: (entry.state, entry.reason) for entry in store.entries()}
    assert states == {"1": ("unloaded", "unloaded"), "2": ("unloaded", "unloaded")}
    for version in ("", "1", "2"):
        assert not store.loads("m", version)
        with pytest.raises(NotFound, match="model 'm' is unloaded"):
            store.get("m", version)
    assert held.version == "2"
    with pytest.raises(NotFound, match=r"no model 'n'; there are m"):
        store.unload("n")
    assert store.load("m").version == "2"
    assert store.loads("m", "1")


def test_every_model_that_is_served_no_more_is_told_of_once(tmp_path):
    put(tmp_path / "m" / "1")
    put(tmp_path / "n" / "1")
    dropped = []
    store = Store(tmp_path, Thing, on_drop=dropped.append)
    store.load_all()
    first, other = store.get("m"), store.get("n")
    second = store.load("m")
    assert dropped == [first]
    put(tmp_path / "m" / "2")
    third = store.load("m")  # version 1 stays, for those who name it
    assert dropped == [first]
    store.unload("m")
    assert dropped[1:] in ([second, third], [third, second])
    (tmp_path / "n" / "1" / "model.onnx").unlink()
    store.unload("n")
    assert dropped[3:] == [other]


def test_a_model_says_that_it_is_loading(tmp_path):
    put(tmp_path / "m" / "1")
    seen = []

    def load(folder):
        seen.append(store.loading)
        return Thing(folder)

    store = Store(tmp_path, load)
    store.load("m")
    assert (seen, store.loading) == (["m"], "")
    put(tmp_path / "broken")
    (tmp_path / "broken" / "1").mkdir()
    put(tmp_path / "broken" / "1")
    with pytest.raises(InvalidModel):
        store.load("broken")
    assert store.loading == ""


def test_a_model_that_is_dropped_is_leaving_for_as_long_as_it_is_held(tmp_path):
    put(tmp_path / "m")
    store = Store(tmp_path, Loader())
    store.load_all()
    held = store.get("m")
    assert not store.leaving("m", "1")
    store.unload("m")
    assert store.leaving("m", "1")
    del held
    assert not store.leaving("m", "1")
