"""Every kind of input, through a service and in this process, beside what the client is told."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from bulk.jobs import (
    assert_same,
    bulk,
    census,
    parts,
    pictures,
    rows,
    texts,
    write_csv,
    write_parquet,
)
from candor.client import Client
from serving import Server

SERIES = [np.sin(np.arange(length) * 0.3)[:, None].repeat(12, 1) for length in (9, 9, 14)]


def _folder(tmp_path: Path) -> Path:
    return pictures(tmp_path / "photos", 5)


def _picture_paths(tmp_path: Path) -> Path:
    folder = pictures(tmp_path / "photos", 3)
    names = [file.relative_to(tmp_path).as_posix() for file in sorted(folder.rglob("*.png"))]
    return write_csv(tmp_path / "list.csv", {"image": names, "note": ["a", "b", "c"]})


def _picture_bytes(tmp_path: Path) -> Path:
    files = sorted(pictures(tmp_path / "photos", 3).rglob("*.png"))
    column = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    return write_parquet(tmp_path / "photos.parquet", {"image": column})


def _pixels(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 3, 64, 64), np.float32))
    return tmp_path / "x.npy"


def _series(tmp_path: Path) -> Path:
    column = pa.array([row.tolist() for row in SERIES], pa.list_(pa.list_(pa.float64())))
    return write_parquet(tmp_path / "series.parquet", {"series": column})


def _records(tmp_path: Path) -> Path:
    columns = {f"f{number}": column.tolist() for number, column in enumerate(census(7).T)}
    return write_csv(tmp_path / "census.csv", columns)


def _record_lists(tmp_path: Path) -> Path:
    return write_parquet(tmp_path / "census.parquet", {"record": census(7).tolist()})


KINDS = [
    (_folder, "photos", "grad_cam", 5),
    (_picture_paths, "photos", "grad_cam,gradient", 3),
    (_picture_bytes, "photos", "grad_cam", 3),
    (_pixels, "photos", "gradient", 3),
    (lambda tmp_path: texts(tmp_path / "texts.jsonl", 6), "sentences", "gradient,lime", 6),
    (_series, "vowels-gru", "gradient", 3),
    (_records, "adult-mlp", "lime", 7),
    (_record_lists, "adult-mlp", "gradient", 7),
]


@pytest.mark.parametrize(("make", "model", "methods", "count"), KINDS)
def test_in_this_process_is_as_through_the_service(
    lone_server: Server, tmp_path: Path, make, model: str, methods: str, count: int
) -> None:
    job = (make(tmp_path), "--model", model, "--methods", methods, "--part-rows", "2")
    # An answer that was found in another company of rows may differ in its last bit.
    job += ("--cache", "bypass")
    job += ("--option", "lime.n_samples=50") if "lime" in methods else ()
    here, there = tmp_path / "here", tmp_path / "there"
    assert bulk(*job, "--out", here) == 0
    assert bulk(*job, "--out", there, "--server", lone_server.grpc_target) == 0
    assert_same(here, there)
    found = rows(here)
    assert len(found) == count
    assert len(parts(here)) == -(-count // 2)
    for row in found:
        assert row["error"] is None
        assert row["probability"] == max(row["probabilities"])
        for method in methods.split(","):
            assert len(row[method]) == np.prod(row[f"{method}_shape"])
            assert row[f"{method}_state"] == "complete"


def test_rows_hold_what_the_client_is_told(lone_server: Server, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 3)
    job = (
        folder,
        "--model",
        "photos",
        "--methods",
        "grad_cam",
        "--server",
        lone_server.grpc_target,
    )
    targets = ("--target", "tabby cat", "--target", "tabby cat-lion")
    assert bulk(*job, *targets, "--call-rows", "1", "--out", tmp_path / "out") == 0
    row = rows(tmp_path / "out")[1]
    with Client(lone_server.grpc_target) as client:
        asked = [["tabby cat", ("tabby cat", "lion")]]
        told = client.explain("photos", ["grad_cam"], images=[row["path"]], targets=asked)
    best = told.prediction.rows[0].top[0]
    assert (row["id"], row["label"], row["class"]) == ("002.png", best.label, best.index)
    np.testing.assert_array_equal(
        np.float32(row["probabilities"]), told.prediction.probabilities[0]
    )
    for number, target in ((1, "tabby cat"), (2, "tabby cat - lion")):
        answer = told.of("grad_cam", position=number - 1)
        column = f"grad_cam.{number}"
        values = np.float32(row[column]).reshape(row[f"{column}_shape"])
        np.testing.assert_array_equal(values, answer.values)
        assert row[f"{column}_target"] == target


def test_several_inputs_are_one_data_set(tmp_path: Path) -> None:
    inputs = [texts(tmp_path / f"{name}.jsonl", 3) for name in "ab"]
    job = ("--model", "sentences", "--methods", "gradient", "--id", "key", "--part-rows", "2")
    assert bulk(*inputs, *job, "--out", tmp_path / "out") == 0
    # What begins with a line or a dot is no part of it.
    table = ds.dataset(tmp_path / "out").to_table()
    keys = [(Path(row["path"]).name, row["row"], row["id"]) for row in table.to_pylist()]
    assert sorted(keys) == [(f"{n}.jsonl", i, f"k{i}") for n in "ab" for i in range(3)]


def test_rows_that_need_no_explanation_say_so(tmp_path: Path) -> None:
    job = (texts(tmp_path / "t.jsonl", 3), "--model", "sentences", "--methods", "gradient")
    out = tmp_path / "out"
    assert bulk(*job, "--explain-if", "top_probability<0.01", "--out", out) == 0
    for row in rows(out):
        assert row["gradient"] is row["error"] is None
        assert row["gradient_state"].startswith("not explained: ")
        assert row["label"] in ("positive", "negative")
