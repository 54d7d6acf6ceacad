"""Inputs in chunks: whatever the cut, the rows are those of the file, in its order."""

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulk.jobs import SEED, pictures
from candor.bulk.chunks import chunks_of, survey
from candor.bulk.reading import batches_of
from candor.bulk.rows import Layout
from candor.errors import InvalidInput

SPEC = ("record", "FP32", (-1, 3))
RECORDS = Layout("", (SPEC,), ("a", "b", "c"), "key")
ANY = Layout("text", (("tokens", "INT64", (-1, -1)),), ("text",), "key")
ODD = ['two\nlines, and "quotes"', "", "plain", "ümläut \u2028 line", "  blanks  ", "a,b,c"]


def _texts(count: int) -> list[str]:
    rng = random.Random(SEED)
    return [f"{rng.choice(ODD)}{number}" for number in range(count)]


def _jsonl(path: Path, texts: list[str]) -> Path:
    lines = [json.dumps({"key": n, "text": t}, ensure_ascii=False) for n, t in enumerate(texts)]
    # An empty line is no row, and the last line may have no end.
    path.write_text("\n\n".join(lines).replace("\n\n", "\n", 1), encoding="utf-8")
    return path


def _csv(path: Path, texts: list[str]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        [("other", "text", "key"), *(("x", t, n) for n, t in enumerate(texts))]
    )
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    return path


def _parquet(path: Path, texts: list[str]) -> Path:
    keys = list(range(len(texts)))
    pq.write_table(pa.table({"text": texts, "key": keys}), path, row_group_size=7)
    return path


@pytest.mark.parametrize("write", [_jsonl, _csv, _parquet], ids=lambda f: f.__name__[1:])
@pytest.mark.parametrize("part_rows", [1, 3, 7, 10, 1000])
def test_rows_are_the_same_however_they_are_cut(tmp_path: Path, write, part_rows: int) -> None:
    texts = _texts(23)
    path = write(tmp_path / f"rows.{write.__name__[1:]}", texts)
    chunks = list(chunks_of([path], part_rows))
    assert [chunk.span.n_rows for chunk in chunks[:-1]] == [part_rows] * (len(chunks) - 1)
    for order in (chunks, chunks[::-1], chunks[::2] + chunks[1::2]):
        found = {
            row.number: (row.id, row.payload, row.error)
            for batch in batches_of(order, ANY, 4)
            for row in batch.rows
        }
        expected = {n: (str(n), text, "") for n, text in enumerate(texts)}
        assert found == expected, f"CANDOR_SEED={SEED}"
    assert survey([path], part_rows, ANY).n_rows == 23


def test_rows_of_a_call_follow_one_another_and_have_one_shape(tmp_path: Path) -> None:
    lengths = [4, 4, 4, 6, 6, 4, 4, 4, 4, 4]
    with (tmp_path / "series.jsonl").open("w") as file:
        for length in lengths:
            file.write(json.dumps({"series": [[0.5]] * length}) + "\n")
    layout = Layout("", (("series", "FP32", (-1, -1, 1)),))
    chunks = chunks_of([tmp_path / "series.jsonl"], 8)
    batches = list(batches_of(chunks, layout, 3))
    assert [len(batch.rows) for batch in batches] == [3, 2, 3, 2]
    assert [batch.last for batch in batches] == [False, False, True, True]
    shapes = [{row.payload["series"].shape for row in batch.rows} for batch in batches]
    assert shapes == [{(4, 1)}, {(6, 1)}, {(4, 1)}, {(4, 1)}]


def test_a_folder_is_walked_in_order_and_pictures_only(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", 5)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"hidden")
    found = [row.id for batch in batches_of(chunks_of([folder], 2), ANY, 8) for row in batch.rows]
    assert found == ["000.png", "002.png", "004.png", "below/001.png", "below/003.png"]


def test_records_are_columns_in_the_order_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("c,key,a,b\n3,x,1,2\n6,y,4,?\n9,z,7\n12,w,10,11\n")
    (batch,) = batches_of(chunks_of([file], 10), RECORDS, 10)
    assert batch.rows[0].payload["record"].tolist() == [1, 2, 3]
    assert [row.id for row in batch.rows] == ["x", "y", None, "w"]
    assert batch.rows[1].error == "column 'b' is '?'; expected a number"
    assert batch.rows[2].error == "this row has 3 cells; the first line has 4"
    assert batch.rows[3].payload["record"].dtype == np.float32


def test_flat_numbers_are_given_the_axes_of_the_input(tmp_path: Path) -> None:
    layout = Layout("image", (("image", "FP32", (-1, 2, 3)),))
    table = pa.table(
        {"image": pa.array([[float(n) for n in range(6)], [1.0]], pa.list_(pa.float32()))}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    (batch,) = batches_of(chunks_of([tmp_path / "rows.parquet"], 10), layout, 10)
    assert batch.rows[0].payload["image"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert batch.rows[1].error == "1 numbers do not fill a row of input 'image', [2, 3]"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.txt", b"text", "neither a picture"),
        ("rows.parquet", b"PAR1 no", "is no Parquet file"),
        ("rows.npy", b"\x93NUMPY", "is no .npy file"),
        ("rows.csv", b"a,b,key\n1,2,3\n", "there is no column 'c'"),
        ("rows.csv", b"a,b,b,key\n1,2,3,4\n", "'b' stands twice"),
        ("rows.csv", b"a,b,c,key\n", "there is no row in"),
        ("folder/notes.md", b"", "there is no picture"),
        ("nothing", None, "there is no file or folder"),
    ],
)  # fmt: skip
def test_an_input_that_is_none_is_named(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        survey([tmp_path / name.partition("/")[0]], 10, RECORDS)


def test_lines_that_are_none_are_rows_with_an_error(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"text": "a", "key": 1}\n{"text": \n"bare"\n{"txt": 1}\n"\xff"\n[1, 2]\n')
    layout = Layout("text", ANY.inputs)
    found = [row for batch in batches_of(chunks_of([file], 9), layout, 9) for row in batch.rows]
    assert [row.payload for row in found[:4]] == ["a", None, "bare", None]
    assert found[1].error.startswith("this line is no JSON")
    assert "there is no column 'text' in this row; there are txt" in found[3].error
    assert found[4].error.startswith("this line is no JSON")
    assert found[5].payload["tokens"].tolist() == [1, 2]


def test_a_file_that_is_cut_short_on_the_way_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('"a"\n"b"\n"c"\n"d"\n')
    chunks = chunks_of([file], 2)
    batches = batches_of(chunks, ANY, 2)
    next(batches)
    second = next(chunks_of([file], 4))
    file.write_text('"a"\n')
    with pytest.raises(InvalidInput, match="4 rows were found from row 0 on, and 1 are there now"):
        list(batches_of([second], ANY, 2))
