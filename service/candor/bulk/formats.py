"""The formats of tables, by the ending of the file's name."""

from collections.abc import Mapping
from types import MappingProxyType

from candor.bulk.arrays import NPY, PARQUET
from candor.bulk.lines import CSV, JSONL
from candor.bulk.spans import Format, Span

__all__ = ["FORMATS", "Format", "Span"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {".parquet": PARQUET, ".jsonl": JSONL, ".ndjson": JSONL, ".csv": CSV, ".npy": NPY}
)
