import shutil

import pytest

from candor.errors import NotFound
from candor.runtime.polling import Poller
from candor.runtime.store import Store
from unit.runtime.builders import linear_model, write_model
from unit.runtime.test_store import Loader, put


@pytest.fixture
def load():
    return Loader()


@pytest.fixture
def store(tmp_path, load):
    put(tmp_path / "m" / "1")
    return Store(tmp_path, load)


@pytest.fixture
def poller(tmp_path, store):
    found = Poller(tmp_path, store)
    store.load_all()
    return found


def test_what_is_still_being_written_is_left_alone_until_it_was_the_same_twice(
    tmp_path, load, store, poller
):
    content = linear_model(5).SerializeToString()
    path = write_model(tmp_path / "m" / "2")
    step = len(content) // 7
    for end in range(step, len(content), step):
        path.write_bytes(content[:end])
        poller.look()
    path.write_bytes(content)
    poller.look()
    assert load.asked == [("m", "1")]
    poller.look()
    poller.look()
    assert load.asked == [("m", "1"), ("m", "2")]


def test_what_has_not_changed_is_not_loaded_again_broken_or_not(tmp_path, load, store, poller):
    write_model(tmp_path / "m" / "2").write_bytes(b"<html>")
    for _ in range(5):
        poller.look()
    assert load.asked == [("m", "1"), ("m", "2")]
    assert [e.state for e in store.entries()] == ["ready", "unavailable"]


def test_what_is_gone_twice_is_forgotten_and_what_comes_back_is_loaded(
    tmp_path, load, store, poller
):
    (tmp_path / "m").rename(tmp_path / ".away")
    poller.look()
    assert store.get("m")
    (tmp_path / ".away").rename(tmp_path / "m")
    poller.look()
    poller.look()
    assert load.asked == [("m", "1")]
    shutil.rmtree(tmp_path / "m")
    poller.look()
    poller.look()
    with pytest.raises(NotFound):
        store.get("m")
