"""Settings that cannot be read are told in words of ours."""

import pytest

from candor.errors import InvalidOption
from candor.settings import load_settings

WHOLE = "expected a whole number of at least"


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        (
            "CANDOR_WORKERS",
            "abc",
            f"CANDOR_WORKERS is 'abc': {WHOLE} 1 (ONNX Runtime runs at the same time; "
            "default the cores at hand)",
        ),
        ("CANDOR_WORKERS", "0", f"{WHOLE} 1 "),
        ("CANDOR_WORKERS", "1.5", f"{WHOLE} 1 "),
        ("CANDOR_EXPLAIN_BUDGET_MS", "-1", f"{WHOLE} 0 (time after which"),
        ("CANDOR_EXPLAIN_BUDGET_MS", "soon", f"{WHOLE} 0 (time after which"),
        ("CANDOR_DRAIN_S", "soon", "expected a number of seconds, 0 or more ("),
        ("CANDOR_DRAIN_S", "nan", "expected a number of seconds, 0 or more ("),
        ("CANDOR_DRAIN_S", "soon", "default 30.0 s)"),
        ("CANDOR_PROVIDERS", ",", "expected at least one name, separated by commas"),
        ("CANDOR_GRPC_ADDRESS", "8001", "expected host:port, for example 127.0.0.1:8001"),
    ],
)
def test_a_value_that_cannot_be_read_says_what_would_be_right(variable, text, words):
    with pytest.raises(InvalidOption) as caught:
        load_settings(environ={variable: text})
    assert words in str(caught.value)
    assert "invalid literal" not in str(caught.value)
    assert "could not convert" not in str(caught.value)


def test_the_least_that_is_taken_is_taken():
    settings = load_settings(
        {"explain_budget_ms": "0"}, {"CANDOR_WORKERS": "1", "CANDOR_DRAIN_S": "0"}
    )
    assert (settings.workers, settings.drain_s, settings.explain_budget_ms) == (1, 0, 0)
