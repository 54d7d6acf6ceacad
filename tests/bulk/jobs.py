"""Jobs as tests run them: inputs made anew, commands in a process of their own or in this one."""

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from skimage import data

from candor.cli import main
from serving import REPOSITORY, ROOT

SEED = int(os.environ.get("CANDOR_SEED", random.randrange(2**31)))
"""Fresh in every run; assertions on what was drawn name it."""

# One request a run: what is joined with others may differ in the last bit.
ALONE: Mapping[str, str] = MappingProxyType({"CANDOR_MAX_BATCH_SIZE": "1"})


def command(*words: str | Path) -> list[str]:
    """A command line of `candor bulk`, in this process' way of naming the models."""
    named = "--server" in words or "--model-root" in words
    root = [] if named else ["--model-root", str(REPOSITORY)]
    return ["bulk", *map(str, words), *root]


def bulk(*words: str | Path) -> int:
    """Run a job here; its exit code."""
    return main(command(*words))


def started(*words: str | Path) -> subprocess.Popen[str]:
    """A job in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CANDOR_")}
    environment |= {**ALONE, "PYTHONPATH": os.pathsep.join([str(ROOT / "service"), *sys.path])}
    # Who runs the tests in the background may have SIGINT ignored, by all that they start.
    heeding = ["/usr/bin/env", "--default-signal=INT", sys.executable]
    return subprocess.Popen(
        [*heeding, "-m", "candor", *command(*words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def parts(out: Path) -> list[Path]:
    return sorted(out.glob("part-*.parquet"))


def rows(out: Path) -> list[dict[str, object]]:
    """All rows of a job, in the order of its parts."""
    return pa.concat_tables([pq.read_table(part) for part in parts(out)]).to_pylist()


def assert_same(found: Path, expected: Path) -> None:
    """The same parts with the same rows, to the last bit; LIME's as good as."""
    names = [part.name for part in parts(expected)]
    assert [part.name for part in parts(found)] == names
    for name in names:
        ours, theirs = (pq.read_table(out / name) for out in (found, expected))
        for column in theirs.column_names:
            if column in ("lime", "lime_trust"):
                _assert_close(ours[column].to_pylist(), theirs[column].to_pylist())
            else:
                assert ours[column].equals(theirs[column]), f"{name}: {column}"


def _assert_close(ours: list[Any], theirs: list[Any]) -> None:
    """Its samples are run in slices as large as time allows, which shows in the last bits."""
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, list):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())
        else:
            assert (one and set(json.loads(one))) == (other and set(json.loads(other)))


def texts(path: Path, count: int) -> Path:
    """Sentences that differ, with a key."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            word = ("dull", "fine", "witty", "long")[number % 4]
            line = {"key": f"k{number}", "text": f"A {word} film, of {number} minutes."}
            file.write(json.dumps(line) + "\n")
    return path


def pictures(folder: Path, count: int) -> Path:
    """Pieces of a photograph, every other one in a folder below."""
    (folder / "below").mkdir(parents=True)
    pixels = data.chelsea()
    for number in range(count):
        place = folder / "below" if number % 2 else folder
        piece = pixels[number : number + 150, 2 * number : 2 * number + 150]
        Image.fromarray(piece).save(place / f"{number:03d}.png")
    return folder


def write_csv(path: Path, table: Mapping[str, Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    return path


def write_parquet(path: Path, table: Mapping[str, Sequence[object]], group: int = 5) -> Path:
    pq.write_table(pa.table(dict(table)), path, row_group_size=group)
    return path


def census(count: int) -> np.ndarray:
    """Records as the model of the census takes them, float32 [n, 14]."""
    rng = np.random.default_rng(SEED)
    found = rng.integers(0, 4, (count, 14)).astype(np.float32)
    found[:, 0] = rng.integers(17, 90, count)
    return found
