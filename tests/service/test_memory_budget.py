"""Models and programs under a budget that is far too small: they go all the time, and come back."""

import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from candor.client import Client
from candor.errors import InvalidModel
from candor.inference.v2 import grpc_service_pb2 as pb
from service.test_metrics import value
from serving import REPOSITORY, Server, running
from wire.protocol import Protocol

SHAPES = {"photos": (3, 64, 64), "digits-lenet": (1, 28, 28), "gunpoint-fcn": (150, 1)}
METHODS = {"photos": "grad_cam", "digits-lenet": "gradient", "gunpoint-fcn": "cam"}
SEED = int(os.environ.get("CANDOR_SEED", random.randrange(2**32)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in SHAPES:
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def small(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may keep nothing but what runs."""
    environ = {"CANDOR_MODEL_MEMORY_BYTES": "1", "CANDOR_MAX_BATCH_SIZE": "1"}
    with running(tmp_path_factory.mktemp("log"), root, environ) as found:
        yield found


def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(SEED)
    return {
        name: rng.normal(size=(4, 1, *shape)).astype(np.float32) for name, shape in SHAPES.items()
    }


def ask(client: Client, name: str, row: np.ndarray) -> tuple[bytes, ...]:
    """Everything that is said of one row: the prediction, and a map beside its own prediction."""
    about = client.model(name)
    tensors = {about.inputs[0][0]: row}
    plain = client.predict(name, tensors=tensors, outputs=[about.outputs[0][0]])
    made = client.explain(name, [METHODS[name]], tensors=tensors, cache="bypass")
    scores = made.prediction.scores
    assert scores is not None
    arrays = (*plain.outputs.values(), scores, made.of(METHODS[name]).values)
    assert len(arrays) == 3
    return tuple(array.tobytes() for array in arrays)


def test_answers_are_the_same_bytes_while_programs_go_and_come_all_the_time(
    small: Server, client: Client
) -> None:
    given = rows()
    wanted = {(n, i): ask(client, n, r) for n, of in given.items() for i, r in enumerate(of)}
    before = value(small, "candor_model_unloads_total")
    wrong: list[tuple[str, int]] = []

    def caller(number: int) -> None:
        draw = random.Random(SEED + number)
        with Client(small.grpc_target) as own:
            for name, row in draw.choices(list(wanted), k=6):
                if ask(own, name, given[name][row]) != wanted[name, row]:
                    wrong.append((name, row))
            done.append(number)

    done: list[int] = []
    threads = [threading.Thread(target=caller, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2, 3]
    assert not wrong, f"CANDOR_SEED={SEED}"
    assert value(small, "candor_model_unloads_total") > before + 6
    assert value(small, "candor_model_unloads_total", program="predict") > 0


def test_what_is_unloaded_is_ready_all_the_while_and_described_as_before(
    small: Server, client: Client
) -> None:
    with Client(small.grpc_target) as own:
        ask(own, "photos", rows()["photos"][0])  # the others make room for it
        protocol = Protocol(small.grpc_target)
        index = protocol.call("RepositoryIndex", pb.RepositoryIndexRequest()).models
        assert {model.state for model in index} == {"READY"}
        for name in SHAPES:
            request = pb.ModelReadyRequest(name=name)
            assert protocol.call("ModelReady", request).ready
            assert own.model(name) == client.model(name)
        protocol.close()
        # one program of one model at most, with the model that it belongs to
        assert value(small, "candor_model_memory_bytes") < 40e6


def test_a_file_that_was_changed_meanwhile_is_never_taken_for_the_one_that_was_loaded(
    small: Server, root: Path
) -> None:
    given, path = rows(), root / "digits-lenet" / "1" / "model.onnx"
    whole = path.read_bytes()
    with Client(small.grpc_target, attempts=1) as own:
        wanted = ask(own, "digits-lenet", given["digits-lenet"][0])
        path.write_bytes((root / "photos" / "1" / "model.onnx").read_bytes())
        ask(own, "photos", given["photos"][0])
        with pytest.raises(InvalidModel, match=r"unloaded to keep to model_memory_bytes.* changed"):
            ask(own, "digits-lenet", given["digits-lenet"][0])
        path.unlink()
        with pytest.raises(InvalidModel, match="cannot be read again"):
            ask(own, "digits-lenet", given["digits-lenet"][0])
        ask(own, "photos", given["photos"][0])
        path.write_bytes(whole)
        assert ask(own, "digits-lenet", given["digits-lenet"][0]) == wanted
