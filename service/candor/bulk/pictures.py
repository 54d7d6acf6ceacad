"""Folders of pictures, walked in the order of their names."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from candor.bulk.spans import Broken, Span

__all__ = ["PICTURES", "picture_files", "picture_spans", "read_pictures"]

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def picture_files(path: Path) -> Iterator[Path]:
    """The pictures of a folder and the folders in it, or the picture itself.

    Names of one folder at a time are held; hidden ones and other files are passed over, links to
    folders are not followed.
    """
    if path.is_file():
        yield path
        return
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from picture_files(Path(entry.path))
        elif Path(entry.name).suffix.lower() in PICTURES:
            yield Path(entry.path)


def picture_spans(path: Path, n_rows: int) -> Iterator[Span]:
    """Spans of a folder's pictures; each carries its names, as no reader could find them again."""
    files = (str(file.relative_to(path)) for file in picture_files(path))
    first = 0
    while names := tuple(islice(files, n_rows)):
        yield Span(first, len(names), names=names)
        first += len(names)


def read_pictures(path: Path, span: Span) -> Iterator[tuple[Path, bytes | Broken]]:
    """Each picture's file, and what is in it or why it could not be read."""
    for name in span.names:
        file = path / name
        try:
            yield file, file.read_bytes()
        except OSError as error:
            yield file, Broken(f"{file} cannot be read: {error.strerror}")
