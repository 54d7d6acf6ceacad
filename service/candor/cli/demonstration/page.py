"""The demo's pictures on one page: index.html and one contact sheet."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from candor.cli.demonstration.pictures import Shown
from candor.render.sheet import contact_sheet

__all__ = ["write_pages"]

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>candor: photographs explained</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem;
         color: #222; background: #fff; }
  section { margin-bottom: 3rem; }
  .row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
  figure { margin: 0; flex: 1 1 16rem; max-width: 24rem; }
  figure img { width: 100%; height: auto; }
  figcaption { color: #666; font-size: .9rem; }
</style>
<h1>Photographs explained</h1>
<p>Grad-CAM: where the evidence for the class was found. Gradient: whose change would change the
score most. LIME: which segments speak for the class (red) and against it (blue). What the model
did not see, because it crops to a square, is grey.</p>
"""


def write_pages(folder: Path, shown: Sequence[Shown]) -> tuple[Path, Path]:
    """Write both; returns the page and the sheet."""
    page, sheet = folder / "index.html", folder / "contact_sheet.png"
    page.write_text(_HEAD + "".join(map(_section, shown)) + "</html>\n", encoding="utf-8")
    contact_sheet([each.strip(folder) for each in shown]).save(sheet)
    return page, sheet


def _section(shown: Shown) -> str:
    best = ", ".join(f"{ranked.label} {ranked.probability:.3f}" for ranked in shown.top)
    figures = "".join(
        f'<figure><img src="{escape(file)}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
        for file, caption in zip(shown.files, shown.captions, strict=True)
    )
    return (
        f"<section>\n<h2>{escape(shown.title)}: why {escape(shown.target)}?</h2>\n"
        f'<p>{escape(shown.verdict)} <br>Top five: {escape(best)}.</p>\n<div class="row">\n'
        f"{figures}</div>\n</section>\n"
    )
