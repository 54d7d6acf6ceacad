"""A text with each token on the colour of its value, as a page of its own."""

from html import escape

import numpy as np

from candor.render.legend import number
from candor.render.scale import Scale, scale_of, style_of
from candor.result import Array, Attribution, TextView

__all__ = ["words_html"]

_STOPS = 9
_STYLE = (
    "body{font:18px/1.9 sans-serif;margin:1em;max-width:45em;color:#141414;background:#fff}"
    "b{font-weight:inherit;padding:.15em .2em;border-radius:.2em}"
    "u{text-decoration:underline dotted}"
    "p.scale{display:flex;justify-content:space-between;font-size:13px;color:#505050;margin:0}"
    "div{height:.8em;margin-top:1em}p.caption{font-size:13px;white-space:pre-line}"
)


def words_html(text: str, view: TextView, attribution: Attribution, *, caption: str = "") -> bytes:
    """Write the text as it was sent, UTF-8; each token tells its number when pointed at.

    Args:
        text: as it was sent.
        view: where its tokens stand; those that the vocabulary lacks are underlined.
        attribution: values [t], one a token.
        caption: a line below the legend.
    """
    scale = scale_of(attribution.values, style_of(attribution.method), on_paper=True)
    parts, end = [], 0
    rows = zip(view.offsets, view.known, attribution.values, strict=False)
    for (start, stop), known, value in rows:
        parts.append(escape(text[end:start]))
        parts.append(_token(text[start:stop], scale, value, known=known))
        end = stop
    parts.append(escape(text[end:]))
    body = "".join(parts).replace("\n", "<br>")
    page = (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{escape(caption)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><p>{body}</p>\n{_legend(scale)}"
        f'<p class="caption">{escape(caption)}</p></body></html>\n'
    )
    return page.encode()


def _token(word: str, scale: Scale, value: Array, *, known: bool) -> str:
    red, green, blue = (int(part) for part in scale.colours(np.asarray(value)))
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 110
    style = f"background:#{red:02x}{green:02x}{blue:02x};color:{'#141414' if light else '#f5f5f5'}"
    shown = escape(word) if known else f"<u>{escape(word)}</u>"
    told = number(float(value)) + ("" if known else ", unknown to the vocabulary")
    return f'<b style="{style}" title="{told}">{shown}</b>'


def _legend(scale: Scale) -> str:
    colours = scale.colours(np.linspace(scale.low, scale.high, _STOPS))
    stops = ",".join("#" + "".join(f"{int(part):02x}" for part in colour) for colour in colours)
    beyond = ("&lt; ", "&gt; ") if scale.clipped else ("", "")
    low = (beyond[0] if scale.signed else "") + number(scale.low)
    middle = (
        "<span>speaks against</span><span>0</span><span>speaks for</span>" if scale.signed else ""
    )
    return (
        f'<div style="background:linear-gradient(90deg,{stops})"></div>'
        f'<p class="scale"><span>{low}</span>{middle}'
        f"<span>{beyond[1]}{number(scale.high)}</span></p>\n"
    )
