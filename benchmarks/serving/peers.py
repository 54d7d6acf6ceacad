"""The same file behind other servers, each on the core that candor has, in turns with it.

They are installed in environments of their own under `.cache/peers`, in the versions below. Each
has one process that answers (Ray Serve: its proxy and one replica), one ONNX Runtime thread, and no
log of single calls.
"""

import asyncio
import base64
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import sleep

import grpc
import numpy as np
import psutil

from benchmarks.autodiff.networks import onnx_file
from benchmarks.serving.bodies import closed_bodies, post
from benchmarks.serving.processes import MODELS, ROOT, SERVER_CORE, free_port, pinned, service
from benchmarks.serving.raw import Run, closed_loop
from benchmarks.serving.rows import INFER, Row, inferences, spread, unique
from candor.result import Array

__all__ = ["large", "small"]

_ROUNDS = 7
_SERVERS = "benchmarks.serving.peer_servers"
_START_S = 180
_VARIABLES = {
    "PYTHONPATH": str(ROOT),
    "RAY_raylet_start_wait_time_s": str(_START_S),
    "RAY_agent_register_timeout_ms": str(1000 * _START_S),
}

_Send = Callable[[float], Run]


@dataclass(frozen=True, slots=True)
class _Peer:
    """A server: what it is installed from, how it is started, and how it is asked.

    Attributes:
        start: from the ONNX file, a port and a folder for its files, what its Python is told.
        send: from the port, the rows and the callers, what sends for some seconds.
        protocol: for the table.
    """

    name: str
    packages: tuple[str, ...]
    start: Callable[[Path, int, Path], Sequence[str]]
    send: Callable[[int, list[Array], int], _Send]
    protocol: str


def small(seconds: float) -> Iterator[Row]:
    """digits-lenet, eight callers."""
    file = MODELS / "digits-lenet" / "1" / "model.onnx"
    for peer in _PEERS:
        yield _row(peer, file, "digits-lenet", unique((1, 1, 28, 28), 512), 8, seconds)


def large(seconds: float) -> Iterator[Row]:
    """ResNet-18 at 224, two callers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(onnx_file("ResNet-18"))
        for peer in _PEERS:
            yield _row(peer, file, "ResNet-18", unique((1, 3, 224, 224), 16), 2, seconds)


def _row(
    peer: _Peer, file: Path, what: str, rows: list[Array], callers: int, seconds: float
) -> Row:
    title = f"{what}, {callers} callers, against {peer.name} over {peer.protocol}"
    python = _installed(peer)
    if python is None:
        return Row(title, "", "does not install here", "", "")
    try:
        ours, theirs, ratio = _compare(peer, python, file, rows, callers, seconds)
    except TimeoutError as error:
        return Row(title, "", f"does not start here: {error}", "", "")
    return Row(title, ours, theirs, ratio, "> 1")


def _compare(
    peer: _Peer, python: Path, file: Path, rows: list[Array], callers: int, seconds: float
) -> tuple[str, str, str]:
    """Our figures, theirs, and the ratio of the rates."""
    ours: list[Run] = []
    theirs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own" / "model" / "1"
        own.mkdir(parents=True)
        shutil.copy(file, own / "model.onnx")
        with service(own.parents[1]) as running, _started(peer, python, file) as (port, process):
            grpc_port = int(running.target.rpartition(":")[2])
            send, send_theirs = _over_grpc(grpc_port, rows, callers), peer.send(port, rows, callers)
            _answered(send_theirs, process)
            for warm in (send, send_theirs):
                warm(min(1.0, seconds))
            for _ in range(_ROUNDS):
                theirs.append(send_theirs(seconds))
                ours.append(send(seconds))
            memory = [_resident_mib(each.pid) for each in (running.process, process)]
    ratios = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
    return _figures(ours, memory[0]), _figures(theirs, memory[1]), spread(ratios)


def _figures(runs: list[Run], mib: float) -> str:
    middle, late = ([float(np.percentile(run.latencies_ms, q)) for run in runs] for q in (50, 99))
    rate = spread([run.rate for run in runs], 0 if runs[0].rate > 100 else 1)
    return f"{rate} /s, p50 {spread(middle)} ms, p99 {spread(late)} ms, {mib:.0f} MiB"


def _resident_mib(pid: int) -> float:
    """Of a process and all that it started; what they share counts once."""
    root = psutil.Process(pid)
    found = [process.memory_full_info().pss for process in (root, *root.children(recursive=True))]
    return float(sum(found)) / 2**20


def _installed(peer: _Peer) -> Path | None:
    """The Python that has the server; None where it cannot be installed."""
    folder = ROOT / ".cache" / "peers" / peer.name.lower().replace(" ", "-")
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "onnxruntime==1.31.1", *peer.packages]
    told = subprocess.run(install, check=False, capture_output=True, text=True)
    if told.returncode:
        print(f"{peer.name}: {told.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    done.touch()
    return python


@contextmanager
def _started(
    peer: _Peer, python: Path, file: Path
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port that it answers on, and its process."""
    with tempfile.TemporaryDirectory() as folder:
        port, log = free_port(), Path(folder) / "log"
        command = [str(python), *peer.start(file, port, Path(folder))]
        process = pinned(command, SERVER_CORE, log, **_VARIABLES)
        try:
            yield port, process
        except Exception:
            print(log.read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            _end(process)


def _answered(send: _Send, process: subprocess.Popen[bytes]) -> None:
    """Return once a row is answered."""
    for _ in range(_START_S):
        try:
            send(0.0)
        except (OSError, EOFError, RuntimeError, grpc.RpcError):
            if process.poll() is not None:
                raise TimeoutError(f"it ended with {process.poll()}") from None
            sleep(1)
        else:
            return
    raise TimeoutError(f"no answer within {_START_S} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        for each in psutil.Process(process.pid).children(recursive=True):
            each.kill()
    process.kill()
    process.wait()


# How each is asked --------------------------------------------------------------------------------


def _over_grpc(port: int, rows: list[Array], callers: int) -> _Send:
    """The Open Inference Protocol, tensors raw: the same bytes for candor and for MLServer."""
    requests = inferences("model", _input_of(rows[0]), rows)
    target = f"127.0.0.1:{port}"
    return lambda seconds: asyncio.run(closed_loop(target, INFER, requests, callers, seconds))


def _input_of(row: Array) -> str:
    return "image" if row.shape[-1] == 28 else "x"


def _over_json(port: int, rows: list[Array], callers: int) -> _Send:
    """LitServe reads JSON; base64 in it is far quicker than numbers."""
    documents = [{"data": base64.b64encode(row.tobytes()).decode()} for row in rows]
    requests = [post("/predict", json.dumps(each).encode(), "application/json")
                for each in documents]  # fmt: skip
    return lambda seconds: asyncio.run(closed_bodies(port, requests, callers, seconds))


def _over_bytes(port: int, rows: list[Array], callers: int) -> _Send:
    requests = [post("/predict", row.tobytes(), "application/octet-stream") for row in rows]
    return lambda seconds: asyncio.run(closed_bodies(port, requests, callers, seconds))


# How each is started ------------------------------------------------------------------------------


def _mlserver(file: Path, port: int, folder: Path) -> Sequence[str]:
    settings = {
        "host": "127.0.0.1", "grpc_port": port, "http_port": free_port(),
        "metrics_port": free_port(), "debug": False, "parallel_workers": 0,
        "grpc_max_message_length": 2**26,
    }  # fmt: skip
    model = {
        "name": "model",
        "implementation": f"{_SERVERS}.mlserver_model.Onnx",
        "parameters": {"uri": str(file)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return ["-m", "mlserver.cli.main", "start", str(folder)]


def _script(name: str, file: Path, port: int, _: Path) -> Sequence[str]:
    return ["-m", f"{_SERVERS}.{name}", str(file), str(port)]


_PEERS = (
    _Peer("MLServer", ("mlserver==1.7.1",), _mlserver, _over_grpc, "gRPC"),
    _Peer(
        "LitServe", ("litserve==0.2.19",), partial(_script, "litserve_api"), _over_json,
        "HTTP, base64 in JSON",
    ),
    _Peer(
        "Ray Serve", ("ray[serve]==2.60.0",), partial(_script, "ray_app"), _over_bytes,
        "HTTP, bytes",
    ),
)  # fmt: skip
