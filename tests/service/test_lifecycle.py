"""Start, stop, and settings that cannot be followed."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data

from candor.client import Answer, Client
from candor.errors import CandorError, Unavailable
from serving import ROOT, running


def test_request_in_flight_is_finished_after_sigterm(tmp_path: Path) -> None:
    answers: list[tuple[int, ...]] = []

    def ask(target: str) -> None:
        with Client(target) as client:
            methods = [{"lime": {"n_samples": 3000, "segments": "grid"}}]
            found = client.explain("photos", methods, images=[skimage.data.coffee()])
            answers.append(found.of("lime").values.shape)

    with running(tmp_path) as server:
        with Client(server.grpc_target) as client:
            client.predict("photos", images=[skimage.data.coffee()])
        asking = threading.Thread(target=ask, args=(server.grpc_target,))
        asking.start()
        _wait_busy(server.metrics_url)
        code = server.stop()
        asking.join()
    assert answers == [(64, 64)]
    assert code == 0


def test_a_long_explanation_is_answered_with_what_it_has_when_the_server_stops(
    tmp_path: Path,
) -> None:
    answers: list[Answer] = []
    methods = [{"lime": {"n_samples": 100_000, "segments": "grid"}}]

    def ask(target: str, picture: np.ndarray) -> None:
        with Client(target, attempts=1) as client:
            found = client.explain("photos", methods, images=[picture] * 2)
            answers.extend(found.of("lime", row) for row in range(2))

    with running(tmp_path, environ={"CANDOR_DRAIN_S": "6"}) as server:
        asking = [
            threading.Thread(target=ask, args=(server.grpc_target, picture))
            for picture in (skimage.data.coffee(), skimage.data.chelsea())
        ]
        for thread in asking:
            thread.start()
        _wait_busy(server.metrics_url, n=2)
        code = server.stop()
        for thread in asking:
            thread.join()
    assert code == 0
    assert len(answers) == 4
    for answer in answers:
        assert not answer.complete
        figures: Any = answer.trust["figures"]
        assert 10 < figures["n_samples"] < 100_000
        for (low, high), value in zip(figures["intervals"], figures["coefficients"], strict=True):
            assert low <= value <= high


def test_who_calls_while_it_stops_is_told_to_go_elsewhere(tmp_path: Path) -> None:
    ends: list[CandorError] = []

    def ask(target: str) -> None:
        picture = np.random.default_rng().normal(size=(1, 3, 64, 64)).astype(np.float32)
        with Client(target) as client:
            while True:
                try:
                    client.predict("photos", tensors={"image": picture}, timeout_s=60)
                except CandorError as error:
                    ends.append(error)
                    return

    with running(tmp_path) as server:
        asking = [threading.Thread(target=ask, args=(server.grpc_target,)) for _ in range(6)]
        for thread in asking:
            thread.start()
        _wait_busy(server.metrics_url, "interactive")
        code = server.stop()
        for thread in asking:
            thread.join()
    assert code == 0
    # Also of a call that gRPC itself ended with CANCELLED, as the server had just stopped: it is
    # tried again, and finds nobody.
    assert [type(error) for error in ends] == [Unavailable] * 6


def test_port_in_use_is_said_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve({"CANDOR_GRPC_ADDRESS": address})
    assert done.returncode not in (0, None)
    assert address in done.stderr
    assert "Traceback" not in done.stderr


def test_setting_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    done = serve({"CANDOR_WORKERS": "many"})
    assert done.returncode == 1
    assert "CANDOR_WORKERS" in done.stderr
    assert "Traceback" not in done.stderr


def test_model_root_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = serve({"CANDOR_MODEL_ROOT": str(tmp_path / "nowhere")})
    assert done.returncode not in (0, None)
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_bare_model_takes_its_name_from_the_setting(tmp_path: Path) -> None:
    root = ROOT / "models" / "repository" / "photos" / "1"
    x = np.zeros((1, 3, 64, 64), np.float32)
    with (
        running(tmp_path, root, {"CANDOR_MODEL_NAME": "mounted"}) as server,
        Client(server.grpc_target) as client,
    ):
        assert client.predict("mounted", tensors={"image": x}).scores is not None


def serve(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if "CANDOR_" not in key}
    ports = {f"CANDOR_{name}_ADDRESS": "127.0.0.1:0" for name in ("GRPC", "HTTP", "METRICS")}
    return subprocess.run(
        [sys.executable, "-m", "candor", "serve"],
        env={**clean, "PYTHONPATH": str(ROOT / "service"), **ports, **environ},
        capture_output=True, text=True, check=False, timeout=300, cwd=ROOT,
    )  # fmt: skip


def _wait_busy(url: str, work_class: str = "bulk", n: int = 1) -> None:
    busy = re.compile(rf'candor_inflight{{class="{work_class}"}} (\d+)')
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as page:  # noqa: S310
            found = busy.search(page.read().decode())
            if found is not None and int(found[1]) >= n:
                return
    raise AssertionError("the request never arrived")
