"""What each committed sheet was drawn of, and with which code: so a stale one can be told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / "docs" / "images" / "models"
RECORD = PICTURES / "drawn.json"
_OF_PAGE = ("draw", "layout", "made", "shown")
_OF_SERVICE = (
    "bars", "canvas", "colours", "legend", "letters", "overlay", "placement", "scale", "series",
    "shown", "units", "words",
)  # fmt: skip
_SOURCES = (
    *(Path("models/zoo/page") / f"{name}.py" for name in _OF_PAGE),
    *(Path("service/candor/render") / f"{name}.py" for name in _OF_SERVICE),
)


class Drawn(TypedDict):
    """A sheet's file, the digest of the model that it is of, and the code's `drawing_code`."""

    file: str
    digest: str
    code: str


def drawing_code() -> str:
    """Digest of the sources that decide what a sheet looks like."""
    found = hashlib.sha256()
    for source in _SOURCES:
        found.update((ROOT / source).read_bytes())
    return found.hexdigest()


def read_record() -> dict[str, Drawn]:
    """The sheets by model; {} before the first is drawn."""
    if not RECORD.exists():
        return {}
    found: dict[str, Drawn] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def write_record(drawn: dict[str, Drawn]) -> None:
    """Keep what was drawn; a file that no sheet has any more is removed."""
    kept = {RECORD.name, *(sheet["file"] for sheet in drawn.values())}
    for path in PICTURES.iterdir():
        if path.name not in kept:
            path.unlink()
    RECORD.write_text(json.dumps(drawn, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def stale(drawn: Drawn, digest: str) -> str:
    """Why a sheet is not what would be drawn of the model with that digest now; "" where it is."""
    if drawn["digest"] != digest:
        return "of another file of the model than is served"
    return "" if drawn["code"] == drawing_code() else "by other drawing code than there is now"
