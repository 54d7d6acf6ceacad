"""Every way into what decodes: good cases, how they are changed, and what takes them.

A way takes bytes and says in a word what came of them; a `Defect` is what must not happen.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

import onnx

from candor.errors import CandorError, InvalidModel
from candor.result import Images, Texts
from candor.runtime.files import read_model
from candor.runtime.manifest import load_manifest
from candor.runtime.preprocess import encode, plan
from candor.runtime.specs import TensorSpec
from fuzz import seeds
from fuzz.changes import changed_body, changed_manifest, changed_message, changed_picture, scrambled
from fuzz.door import Defect, Door, said_enough
from fuzz.questions import questions
from serving import REPOSITORY, ROOT

__all__ = ["WAYS", "Way", "open_ways"]

_CORPUS = Path(__file__).with_name("corpus")
_LOAD_S = 300

# An input of each kind of manifest that is committed.
_SPECS = {
    "image": [TensorSpec("image", "FP32", (-1, 3, 64, 64))],
    "tokens": [TensorSpec("tokens", "INT64", (-1, -1))],
    "tabular": [TensorSpec("record", "FP32", (-1, 14))],
    "series": [TensorSpec("series", "FP32", (-1, -1, 12))],
}


@dataclass(frozen=True)
class Way:
    """One way in.

    Attributes:
        good: cases that are right.
        kept: cases that once went wrong.
        change: makes a wrong one of a right one.
        take: decodes it, and says in a word what came of it.
    """

    good: tuple[bytes, ...]
    kept: tuple[bytes, ...]
    change: Callable[[bytes, Random], bytes]
    take: Callable[[bytes], str]

    def case(self, rng: Random) -> bytes:
        """A case that is new each time; now and then a right one."""
        found = rng.choice((*self.good, *self.kept))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
            found = self.change(found, rng)
        return found


WAYS = ("rpc", "http", "picture", "text", "manifest", "file", "model")
# How often each is drawn: what is quick, or has many branches, more often.
WEIGHTS = (30, 30, 20, 6, 12, 4, 1)


def open_ways(folder: Path) -> tuple[dict[str, Way], Callable[[], None]]:
    """All ways, and what closes them.

    Args:
        folder: for files; it is filled and not emptied.
    """
    door, loader = Door(folder / "served"), Loader(folder)
    photos = load_manifest(REPOSITORY / "photos")
    sizes = [
        plan(
            replace(photos, input=replace(photos.input, resize=resize)),
            _SPECS["image"],
            max_image_pixels=10**6,
        )
        for resize in ("crop", "pad", "stretch")
    ]
    words = plan(load_manifest(REPOSITORY / "sentences"), _SPECS["tokens"])
    takes: dict[str, tuple[list[bytes], Callable[[bytes, Random], bytes], Callable[[bytes], str]]]
    takes = {
        "rpc": (
            [b"%s\n%s" % (path.encode(), m.SerializeToString()) for path, m in _rpcs()],
            partial(changed_message, door.methods),
            door.rpc,
        ),
        "http": ([_written(*each) for each in seeds.http()], changed_body, door.http),
        "picture": (
            list(seeds.pictures()),
            changed_picture,
            lambda case: _taken(lambda: encode(Images((case,)), sizes[len(case) % 3])),
        ),
        "text": (seeds.texts(), scrambled, lambda case: _taken(lambda: _text(case, words))),
        "manifest": (seeds.manifests(), changed_manifest, partial(_manifest, folder)),
        "file": (seeds.models(), _changed_model, partial(_file, folder)),
        "model": (seeds.models(), _changed_model, loader.take),
    }
    ways = {
        name: Way(tuple(good), _kept(name), change, take)
        for name, (good, change, take) in takes.items()
    }

    def close() -> None:
        loader.close()
        door.close()

    return ways, close


def _rpcs():
    yield from seeds.rpcs()
    yield from questions()


def _kept(name: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((_CORPUS / name).glob("*")))


def _written(path: str, headers: dict[str, str], document: object) -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [path, *(f"{name}: {value}" for name, value in headers.items())]
    return "\n".join(lines).encode() + b"\n\n" + body


def _taken(decode: Callable[[], object]) -> str:
    """Decode; only a `CandorError` that says something may come out."""
    try:
        decode()
    except CandorError as error:
        said_enough(error.message)
        return error.kind
    return "ok"


def _text(case: bytes, words: object) -> object:
    return encode(Texts((case.decode(errors="replace"),)), words)


def _manifest(folder: Path, case: bytes) -> str:
    path = folder / "manifest"
    path.mkdir(exist_ok=True)
    (path / "model.toml").write_bytes(case)
    if not (path / "vocabulary.txt").exists():
        (path / "vocabulary.txt").write_text("<pad>\n<unk>\na\nfilm\n")

    def decode() -> None:
        manifest = load_manifest(path)
        for specs in _SPECS.values():
            try:
                plan(manifest, specs)
            except InvalidModel as error:
                said_enough(error.message)

    return _taken(decode)


def _file(folder: Path, case: bytes) -> str:
    path = folder / "file.onnx"
    path.write_bytes(case)
    return _taken(lambda: read_model(path))


def _changed_model(case: bytes, rng: Random) -> bytes:
    return changed_message({b"": onnx.ModelProto}, b"\n" + case, rng)[1:]


class Loader:
    """A process that loads models; another one where it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._process = folder / "loaded", None

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def take(self, case: bytes) -> str:
        """Load a model of these bytes, and look at what explains it."""
        path = self._folder / "model" / "1" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case)
        state, reason, looked_at = self._ask()
        if "unexpected" in reason or "unexpected" in looked_at:
            raise Defect(f"a model that is {state}: {reason} {looked_at}")
        return said_enough(reason) and "invalid_model" if reason else state

    def _ask(self) -> list[str]:
        if self._process is None:
            paths = os.pathsep.join((str(ROOT / "service"), str(ROOT / "tests")))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.loader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": paths},
            )
        process = self._process
        process.stdin.write(f"{self._folder}\n".encode())
        process.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if ready.select(_LOAD_S) else b""
        if not line:
            code = process.poll()
            self.close()
            raise Defect(f"loading it took over {_LOAD_S} s, or ended the process: {code}")
        return json.loads(line)
