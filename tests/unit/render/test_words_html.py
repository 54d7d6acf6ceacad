"""A text as a page: nothing of the text is lost, and none of it is markup."""

import re
from html.parser import HTMLParser

import numpy as np

from candor.render.words_html import words_html
from candor.result import Attribution, TextView

TEXT = 'Say <script>alert("x")</script> &amp;\nagain, zyx!'
VIEW = TextView(
    ("say", "<", "script", "again", "zyx"),
    ((0, 3), (4, 5), (5, 11), (38, 43), (45, 48)),
    (True, True, True, True, False),
)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += "\n" if tag == "br" else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def page(*values: float, method: str = "lime") -> tuple[_Page, str]:
    attribution = Attribution(method, np.array(values, np.float32), {})
    html = words_html(TEXT, VIEW, attribution, caption="lime: <positive>").decode()
    found = _Page()
    found.feed(html)
    return found, html


def test_the_text_stands_there_as_it_was_sent() -> None:
    found, html = page(1, 0, 0, -1, 0.5)
    assert TEXT in found.text
    assert "script" not in [tag for tag, _ in found.tags]
    assert "lime: &lt;positive&gt;" in html


def test_each_token_has_its_colour_and_its_number() -> None:
    found, _ = page(1, 0, 0, -1, 0.5)
    tokens = [attributes for tag, attributes in found.tags if tag == "b"]
    assert [token["title"] for token in tokens] == [
        "1", "0", "0", "-1", "0.5, unknown to the vocabulary",
    ]  # fmt: skip
    colours = [re.findall("background:#(..)(..)(..)", str(token["style"]))[0] for token in tokens]
    red, blue = colours[0], colours[3]
    assert int(red[0], 16) > int(red[2], 16) + 80
    assert int(blue[2], 16) > int(blue[0], 16) + 80
    parts = [int(part, 16) for part in colours[1]]
    assert max(parts) - min(parts) < 6, "zero is grey"
    assert [tag for tag, _ in found.tags].count("u") == 1


def test_magnitudes_have_no_other_side() -> None:
    _, signed = page(1, 0, 0, -1, 0.5)
    _, magnitudes = page(1, 0, 0, 1, 0.5, method="gradient")
    assert "speaks against" in signed
    assert "speaks against" not in magnitudes


def test_the_numbers_stand_in_a_table_too() -> None:
    found, html = page(1, 0, 0, -1, 0.5)
    assert [tag for tag, _ in found.tags].count("tr") == 5
    assert "<td>again</td><td>-1</td>" in html


def test_the_page_is_dark_where_its_reader_wants_that() -> None:
    _, html = page(1, 0, 0, -1, 0.5)
    assert "prefers-color-scheme:dark" in html


def test_no_letter_of_the_text_turns_what_follows() -> None:
    text = "good \u202ebad"
    view = TextView(("good", "\u202ebad"), ((0, 4), (5, 9)), (True, True))
    html = words_html(text, view, Attribution("lime", np.ones(2, np.float32), {})).decode()
    assert "\u202e" not in html
    assert "\ufffdbad" in html
