"""A repository that changes on the disk under a server that follows it."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from candor.client import Client
from candor.errors import CandorError, NotFound
from serving import REPOSITORY, Server, running

ROW = np.linspace(-1, 1, 28 * 28, dtype=np.float32).reshape(1, 1, 28, 28)
DIGITS = REPOSITORY / "digits-lenet" / "1" / "model.onnx"
CLOTHES = REPOSITORY / "fashion-lenet" / "1" / "model.onnx"


def put(source: Path, target: Path) -> None:
    """As one should: whole under another name, then renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target.with_name(".new"))
    target.with_name(".new").rename(target)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(DIGITS, tmp_path / "models" / "m" / "1" / "model.onnx")
    return tmp_path / "models"


@pytest.fixture
def polled(root: Path, tmp_path: Path) -> Iterator[Server]:
    environ = {"CANDOR_REPOSITORY_MODE": "poll", "CANDOR_REPOSITORY_POLL_S": "0.2"}
    with running(tmp_path, root, environ) as found:
        yield found


@pytest.fixture
def own(polled: Server) -> Iterator[Client]:
    with Client(polled.grpc_target, attempts=1) as client:
        yield client


def until(true: Callable[[], bool]) -> None:
    """Wait for what has to happen."""
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def index(server: Server) -> dict[tuple[str, str], tuple[str, str]]:
    listed = httpx.post(f"{server.http_url}/v2/repository/index", timeout=60).json()
    return {(m["name"], m["version"]): (m["state"], m.get("reason", "")) for m in listed}


def digest(client: Client, name: str = "m") -> str:
    return client.model(name).id.digest


def score(client: Client, name: str = "m") -> bytes:
    """What the model says of the row, to the bit."""
    scores = client.predict(name, tensors={"image": ROW}).scores
    assert scores is not None
    return scores.tobytes()


def logged(server: Server, event: str) -> list[dict[str, str]]:
    lines = (line for line in server.log.read_text().splitlines() if line.startswith("{"))
    return [record for record in map(json.loads, lines) if record["event"] == event]


def test_versions_come_and_go_under_load_and_every_answer_is_one_of_theirs(
    root: Path, polled: Server, own: Client
) -> None:
    first = score(own)
    put(CLOTHES, root / "n" / "model.onnx")
    until(lambda: ("n", "1") in index(polled))
    other = score(own, "n")
    allowed = {first, other}
    assert len(allowed) == 2
    seen: list[bytes] = []
    failed: list[CandorError] = []
    over = threading.Event()

    def ask() -> None:
        with Client(polled.grpc_target, attempts=1) as client:
            while not over.is_set():
                try:
                    seen.append(score(client))
                except CandorError as error:
                    failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    old = digest(own)
    put(CLOTHES, root / "m" / "2" / "model.onnx")
    until(lambda: digest(own) != old)
    assert own.model("m").id.version == "2"
    until(lambda: seen[-1] == other)
    shutil.rmtree(root / "m" / "2")
    until(lambda: digest(own) == old)
    put(CLOTHES, root / "m" / "1" / "model.onnx")  # over the one that is served
    until(lambda: digest(own) != old)
    over.set()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert set(seen) == allowed
    shutil.rmtree(root / "m")
    until(lambda: {name for name, _ in index(polled)} == {"n"})
    with pytest.raises(NotFound, match="there is no model 'm'; there are n"):
        score(own)


def test_a_broken_version_leaves_the_old_one_in_service_and_is_told_of_until_it_is_mended(
    root: Path, polled: Server, own: Client
) -> None:
    old = digest(own)
    path = root / "m" / "2" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(b"<html>")
    until(lambda: ("m", "2") in index(polled))
    state, reason = index(polled)["m", "2"]
    assert state == "UNAVAILABLE"
    assert "not an ONNX model" in reason
    assert (digest(own), own.model("m").id.version) == (old, "1")
    assert index(polled)["m", "1"] == ("READY", "")
    until(
        lambda: bool(
            logged(
                polled, "a change on the disk cannot be served: what was served before is served on"
            )
        )
    )
    time.sleep(1.5)  # several looks: what has not changed is not tried again
    assert len(logged(polled, "model is broken")) == 1
    put(CLOTHES, path)
    until(lambda: own.model("m").id.version == "2")
    assert index(polled)["m", "2"] == ("READY", "")


def test_a_served_file_that_is_overwritten_with_rubbish_is_served_on_and_said_to_be(
    root: Path, polled: Server, own: Client
) -> None:
    old, before = digest(own), score(own)
    put(Path(__file__), root / "m" / "1" / "model.onnx")
    until(lambda: index(polled)["m", "1"][1] != "")
    assert index(polled)["m", "1"][0] == "READY"
    assert "its files cannot be served now" in index(polled)["m", "1"][1]
    assert digest(own) == old
    assert score(own) == before


def test_a_root_that_is_away_for_a_while_takes_nothing_with_it(
    root: Path, polled: Server, own: Client
) -> None:
    old = digest(own)
    root.rename(root.with_name("elsewhere"))
    until(lambda: bool(logged(polled, "the repository cannot be read: all is served as it was")))
    time.sleep(0.8)
    assert digest(own) == old
    root.with_name("elsewhere").rename(root)
    put(CLOTHES, root / "n" / "model.onnx")
    until(lambda: ("n", "1") in index(polled))
    assert digest(own) == old
