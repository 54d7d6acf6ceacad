"""A text with each token on the colour of its value, as a page of its own."""

from html import escape

import numpy as np

from candor.render.legend import number
from candor.render.scale import Scale, scale_of, style_of
from candor.render.shown import shown
from candor.result import Array, Attribution, TextView

__all__ = ["words_html"]

_STOPS = 9
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:18px/1.9 sans-serif;margin:1em;max-width:45em;color:#141414;background:#fff;"
    "overflow-wrap:anywhere}"
    "b{font-weight:inherit;padding:.15em .2em;border-radius:.2em;unicode-bidi:isolate}"
    "u{text-decoration:underline dotted}"
    "footer{position:sticky;bottom:0;background:inherit;padding:.5em 0;font-size:13px;"
    "line-height:1.4}"
    ".scale{display:flex;justify-content:space-between;margin:0}.bar{height:1em}"
    ".caption{white-space:pre-line;margin:.5em 0 0}"
    "details{font-size:13px;line-height:1.4}td{padding:0 1em 0 0}td+td{text-align:right}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#1c1c1e}}"
)


def words_html(text: str, view: TextView, attribution: Attribution, *, caption: str = "") -> bytes:
    """Write the text as it was sent, UTF-8; each token tells its number when pointed at.

    The numbers stand in a table below as well, for whoever cannot point, or see colours. The page
    is dark where its reader's others are.

    Args:
        text: as it was sent.
        view: where its tokens stand; those that the vocabulary lacks are underlined.
        attribution: values [t], one a token.
        caption: lines below the legend; the first is the page's title.
    """
    scale = scale_of(attribution.values, style_of(attribution.method), on_paper=True)
    parts, table, end = [], [], 0
    rows = zip(view.offsets, view.known, attribution.values, strict=False)
    for (start, stop), known, value in rows:
        parts.append(_written(text[end:start]))
        parts.append(_token(text[start:stop], scale, value, known=known))
        told = _told(value, known=known)
        table.append(f"<tr><td>{_written(text[start:stop])}</td><td>{told}</td></tr>")
        end = stop
    parts.append(_written(text[end:]))
    body = "".join(parts).replace("\n", "<br>")
    title = _written(caption.partition("\n")[0])
    page = (
        '<!doctype html>\n<html><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n"
        f'<body><p dir="auto">{body}</p>\n'
        f"<details><summary>The numbers</summary><table>{''.join(table)}</table></details>\n"
        f'<footer>{_legend(scale)}<p class="caption">{_written(caption)}</p></footer>'
        "</body></html>\n"
    )
    return page.encode()


def _token(word: str, scale: Scale, value: Array, *, known: bool) -> str:
    red, green, blue = (int(part) for part in scale.colours(np.asarray(value)))
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 110
    style = f"background:#{red:02x}{green:02x}{blue:02x};color:{'#141414' if light else '#f5f5f5'}"
    seen = _written(word) if known else f"<u>{_written(word)}</u>"
    return f'<b style="{style}" title="{_told(value, known=known)}">{seen}</b>'


def _told(value: Array, *, known: bool) -> str:
    return number(float(value)) + ("" if known else ", unknown to the vocabulary")


def _written(text: str) -> str:
    return escape(shown(text))


def _legend(scale: Scale) -> str:
    colours = scale.colours(np.linspace(scale.low, scale.high, _STOPS))
    stops = ",".join("#" + "".join(f"{int(part):02x}" for part in colour) for colour in colours)
    beyond = ("&lt; ", "&gt; ") if scale.clipped else ("", "")
    low = (beyond[0] if scale.signed else "") + number(scale.low)
    middle = (
        "<span>speaks against</span><span>0</span><span>speaks for</span>" if scale.signed else ""
    )
    return (
        f'<div class="bar" style="background:linear-gradient(90deg,{stops})"></div>'
        f'<p class="scale"><span>{low}</span>{middle}'
        f"<span>{beyond[1]}{number(scale.high)}</span></p>\n"
    )
