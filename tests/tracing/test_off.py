"""Without traces, nothing that exports them is imported; with them and without it, it is said."""

import subprocess
import sys

from serving import ROOT

SERVED = """
import sys
import candor.app, candor.cli.serve, candor.wire.rest
ours = ("opentelemetry.exporter", "opentelemetry.sdk.trace")  # redis-py imports some of the rest
print(sorted(name for name in sys.modules if name.startswith(ours)))
"""
MISSING = """
import sys
sys.modules["opentelemetry.sdk.resources"] = None
from candor.errors import InvalidOption
from candor.tracing import open_tracing
try:
    open_tracing()
except InvalidOption as error:
    print(error.message)
"""


def ran(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"PYTHONPATH": str(ROOT / "service")},
    )
    return done.stdout


def test_nothing_that_exports_traces_is_imported_by_the_service() -> None:
    assert ran(SERVED) == "[]\n"


def test_the_packages_that_are_missing_are_named_with_what_installs_them() -> None:
    said = ran(MISSING)
    assert "traces is true, but opentelemetry" in said
    assert "pip install 'candor[traces]'" in said
