import io

import numpy as np
from rich.console import Console

from candor.render.tokens import coloured_text, feature_table, token_table
from candor.result import TextView

TEXT = "Not a bad film."
VIEW = TextView(
    tokens=("not", "a", "bad", "film", "."),
    offsets=((0, 3), (4, 5), (6, 9), (10, 14), (14, 15)),
    known=(True, True, True, False, True),
)
WEIGHTS = np.array([-0.5, 0.0, 1.0, 0.25, 0.0])


def _printed(what: object, *, colour: bool = False) -> str:
    file = io.StringIO()
    system = "truecolor" if colour else None
    Console(file=file, width=100, color_system=system, force_terminal=colour).print(what)
    return file.getvalue()


def _lines(**values: np.ndarray) -> dict[str, str]:
    table = token_table(VIEW.tokens, VIEW.known, values)
    lines = _printed(table).splitlines()[1:]
    return {line.split()[0]: line for line in lines}


def test_the_text_stands_as_it_was_sent() -> None:
    assert _printed(coloured_text(TEXT, VIEW, "lime", WEIGHTS)).strip() == TEXT


def test_only_tokens_are_coloured() -> None:
    text = coloured_text(TEXT, VIEW, "lime", WEIGHTS)
    assert [(span.start, span.end) for span in text.spans] == list(VIEW.offsets)
    assert "48;2;" in _printed(text, colour=True)


def test_bars_show_the_sign_without_colour() -> None:
    lines = _lines(lime=WEIGHTS)
    assert lines["not"].index("█") < lines["not"].index("│")
    assert lines["bad"].index("█") > lines["bad"].index("│")
    assert "█" not in lines["a"]


def test_bars_are_as_long_as_the_values() -> None:
    lines = _lines(lime=WEIGHTS)
    assert [lines[token].count("█") for token in ("not", "bad", "film")] == [5, 10, 2]


def test_numbers_carry_their_sign() -> None:
    lines = _lines(lime=WEIGHTS, gradient=np.abs(WEIGHTS))
    assert "-0.5" in lines["not"]
    assert "+1" in lines["bad"]
    assert lines["bad"].rstrip().endswith("1")


def test_unknown_words_are_marked() -> None:
    lines = _lines(lime=WEIGHTS)
    assert "(unknown)" in lines["film"]
    assert "(unknown)" not in lines["bad"]


def test_long_texts_show_the_strongest_tokens_in_order() -> None:
    values = np.zeros(500)
    values[[3, 400, 100]] = [1.0, -2.0, 0.5]
    table = token_table([f"t{i}" for i in range(500)], [True] * 500, {"lime": values}, max_rows=3)
    printed = _printed(table)
    assert [line.split()[0] for line in printed.splitlines()[1:4]] == ["t3", "t100", "t400"]
    assert "3 of 500 tokens" in printed


def test_the_features_of_a_record_come_with_the_largest_values_first() -> None:
    values = {"lime": np.array([0.1, -2.0, 0.5]), "gradient": np.array([0.0, 0.0, 0.1])}
    printed = _printed(feature_table(["age <= 28.00", "sex=Male", "hours"], values))
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["sex=Male", "hours", "age"]
    assert "█" * 10 + "│" in lines[1]
    few = _printed(feature_table(list("abc"), values, max_rows=2))
    assert "2 of 3 features" in few


def test_the_terminal_gets_no_orders_from_a_text() -> None:
    text = "ok \x1b[2J\u202ebad"
    view = TextView(("ok", "\x1b[2J\u202ebad"), ((0, 2), (3, 11)), (True, True))
    for printed in (
        _printed(coloured_text(text, view, "lime", np.ones(2))),
        _printed(token_table(view.tokens, view.known, {"lime": np.ones(2)})),
        _printed(feature_table(view.tokens, {"lime": np.ones(2)})),
    ):
        assert "\ufffd[2J\ufffdbad" in printed
        assert "\x1b" not in printed


def test_a_zero_has_no_minus() -> None:
    assert "-0" not in _printed(feature_table(["a"], {"lime": np.array([-0.0])}))
