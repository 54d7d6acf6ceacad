"""The estimate against what malloc has handed out, in a process where nothing else happens."""

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from candor.runtime.budget import Budget
from candor.runtime.extents import zeros_for
from candor.runtime.model import ModelPolicy, load_model
from candor.runtime.repository import find_folders
from candor.runtime.session import SessionPolicy
from serving import REPOSITORY, ROOT

MODELS = ("photos", "sentences", "digits-mlp", "gunpoint-fcn", "vowels-gru")


class _MallInfo(ctypes.Structure):
    """glibc's mallinfo2."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names.split())


def in_use() -> int:
    libc = ctypes.CDLL("libc.so.6")
    libc.mallinfo2.restype = _MallInfo
    found = libc.mallinfo2()
    return found.uordblks + found.hblkhd


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measured() -> list[tuple[str, int, int, int]]:
    """Name, estimate, bytes in use, resident bytes; of all at once under the last name."""
    budget = Budget()
    policy = ModelPolicy(SessionPolicy(("cpu",)), 10**7, lambda *_: None, budget=budget)

    def used(name: str):
        folders = find_folders(name, REPOSITORY / name)
        model = load_model(folders[max(folders, key=int)], policy)
        subject = model.subject()
        row = zeros_for(model.inputs)[model.input_name]
        rows = np.repeat(row, 8, axis=0)
        model.run({model.input_name: rows})
        direction = np.eye(subject.n_classes, dtype=np.float32)[:1]
        subject.gradient(rows, np.repeat(direction, 8, axis=0), "score")
        return model

    def look() -> tuple[int, int, int]:
        gc.collect()
        return budget.size_bytes, in_use(), resident()

    used("vowels-rnn")  # what is loaded with the first model belongs to none
    found, models, first = [], [], look()
    before = first
    for name in MODELS:
        models.append(used(name))
        after = look()
        found.append((name, *(a - b for a, b in zip(after, before, strict=True))))
        before = after
    found.append(("all", *(a - b for a, b in zip(before, first, strict=True))))
    return found


def test_what_is_counted_is_near_what_is_taken():
    done = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env={"PYTHONPATH": f"{ROOT / 'service'}:{ROOT / 'tests'}"},
    )
    for name, estimate, used, rss in (found := json.loads(done.stdout)):
        assert 0.65 < estimate / used < 1.35, (name, estimate, used, rss)
    _, estimate, used, rss = found[-1]
    assert 0.75 < estimate / used < 1.25
    # pages that nobody uses are in this one too, and are given back late
    assert 0.6 < estimate / rss < 1.4


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured()))
