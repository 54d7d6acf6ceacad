"""A part: the answers of one chunk as a Parquet file, which is there wholly or not at all.

It is written under another name, forced to the disk, and then renamed, which no kill can interrupt.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from candor.bulk.asking import Answered
from candor.bulk.reading import Row
from candor.client import Answer, Explanation
from candor.protocol.views import view_record
from candor.result import Target

__all__ = ["Counts", "Part", "Shape", "counts_of", "part_path", "remove_unfinished"]

_GROUP_BYTES: Final = 16 * 2**20
_UNFINISHED: Final = ".part-*.unfinished"


@dataclass(frozen=True, slots=True)
class Shape:
    """Which columns parts have.

    Attributes:
        methods: in the order asked.
        n_targets: of each row; with several, the columns of a method are numbered from 1.
        labels: of the model's classes.
        inputs: where several are explained, these; then a method has columns for each.
    """

    methods: tuple[str, ...]
    n_targets: int
    labels: tuple[str, ...]
    inputs: tuple[str, ...] = ()

    def answers(self) -> list[tuple[str, str, str, int]]:
        """Of each answer of a row: column, method, input ("": the only one), target's position."""
        return [
            (".".join(filter(None, (method, own, self._number(position)))), method, own, position)
            for method in self.methods
            for own in self.inputs or ("",)
            for position in range(self.n_targets)
        ]

    def _number(self, position: int) -> str:
        return str(position + 1) if self.n_targets > 1 else ""

    def schema(self) -> pa.Schema:
        """The columns with their types."""
        fields = [
            ("id", pa.string()),
            ("path", pa.string()),
            ("row", pa.int64()),
            ("label", pa.string()),
            ("class", pa.int32()),
            ("probability", pa.float32()),
            ("probabilities", pa.list_(pa.float32())),
        ]
        for column, *_ in self.answers():
            fields += [
                (column, pa.list_(pa.float32())),
                (f"{column}_shape", pa.list_(pa.int32())),
                (f"{column}_target", pa.string()),
                (f"{column}_state", pa.string()),
                (f"{column}_trust", pa.string()),
            ]
        return pa.schema([*fields, ("view", pa.string()), ("error", pa.string())])


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a part has, and how many of them have an error."""

    rows: int
    failed: int


class Part:
    """A part that is being written; `finish` makes it one that is there."""

    def __init__(self, folder: Path, number: int, shape: Shape) -> None:
        self._path = part_path(folder, number)
        self._unfinished = folder / f".{self._path.stem}.{secrets.token_hex(4)}.unfinished"
        self._shape = shape
        self._schema = shape.schema()
        self._writer = pq.ParquetWriter(self._unfinished, self._schema, compression="zstd")
        self._records: list[dict[str, Any]] = []
        self._n_bytes = self._rows = self._failed = 0

    def add(self, rows: Sequence[Row], answers: Sequence[Answered]) -> Counts:
        """Append rows with what was answered; the counts of these."""
        failed = 0
        for row, answered in zip(rows, answers, strict=True):
            record = {"id": row.id, "path": row.path, "row": row.number}
            if isinstance(answered, str):
                failed += 1
                self._records.append(record | {"error": answered})
            else:
                values = _answered(self._shape, *answered)
                self._n_bytes += sum(v.nbytes for v in values.values() if isinstance(v, np.ndarray))
                self._records.append(record | values)
        self._rows, self._failed = self._rows + len(rows), self._failed + failed
        if self._n_bytes >= _GROUP_BYTES:
            self._flush()
        return Counts(len(rows), failed)

    def finish(self) -> None:
        """Put the part where it belongs."""
        self._flush()
        counts = {"candor.rows": str(self._rows), "candor.failed": str(self._failed)}
        self._writer.add_key_value_metadata(counts)
        self._writer.close()
        _sync(self._unfinished)
        self._unfinished.replace(self._path)
        _sync(self._path.parent)

    def abandon(self) -> None:
        """Leave nothing behind of a part that will not be finished."""
        self._writer.close()
        self._unfinished.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._records:
            table = pa.Table.from_pylist(self._records, schema=self._schema)
            self._writer.write_table(table)
        self._records, self._n_bytes = [], 0


def part_path(folder: Path, number: int) -> Path:
    """Where the part of a chunk is, once it is there."""
    return folder / f"part-{number:06d}.parquet"


def counts_of(path: Path) -> Counts:
    """What a part says of itself; its rows are not read."""
    metadata: Mapping[bytes, bytes] = pq.read_metadata(path).metadata or {}
    return Counts(int(metadata[b"candor.rows"]), int(metadata[b"candor.failed"]))


def remove_unfinished(folder: Path) -> None:
    """Remove what was left by a process that was killed."""
    for path in folder.glob(_UNFINISHED):
        path.unlink(missing_ok=True)


def _answered(shape: Shape, explanation: Explanation, row: int) -> dict[str, Any]:
    prediction = explanation.prediction
    record: dict[str, Any] = {"view": _json(view_record(prediction.rows[row].view))}
    if prediction.probabilities is not None:
        best = prediction.rows[row].top[0]
        record["probabilities"] = prediction.probabilities[row]
        record |= {
            "label": best.label or None, "class": best.index, "probability": best.probability
        }  # fmt: skip
    for column, method, own, position in shape.answers():
        answer = explanation.of(method, row, position, own)
        record |= {
            f"{column}_target": _target(answer.target, shape.labels),
            f"{column}_state": _state(answer),
            f"{column}_trust": _json(dict(answer.trust)),
        }
        if not answer.not_explained:
            record[column] = answer.values.ravel()
            record[f"{column}_shape"] = list(answer.values.shape)
    return record


def _state(answer: Answer) -> str:
    if answer.not_explained:
        return f"not explained: {answer.not_explained}"
    return "complete" if answer.complete else "cut short"


def _target(target: Target, labels: Sequence[str]) -> str:
    sides = [side for side in (target.plus, target.minus) if side is not None]
    return " - ".join(labels[side] if side < len(labels) else str(side) for side in sides)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
