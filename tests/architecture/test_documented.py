"""What can be named in a request, a setting or a dashboard has its place in the documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from candor import errors
from candor.cli import COMMANDS
from candor.explain.options import METHODS
from candor.metrics import Metrics
from candor.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _metric_names() -> Iterator[str]:
    registry = CollectorRegistry()
    Metrics(registry).redis_up(up=True)
    for family in registry.collect():
        yield family.name + ("_total" if family.type == "counter" else "")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda row: row.name)
def test_every_setting_is_documented(setting: tuple[str, ...]) -> None:
    assert all(f"`{name}`" in _page("settings.md") for name in setting[1:3])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_option_is_documented(method: str) -> None:
    section = _page("methods.md").partition(f"### `{method}`")[2].partition("\n### ")[0]
    for option in METHODS[method].__dataclass_fields__:
        assert f"| `{option}` |" in section


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "CandorError"])
def test_every_error_is_documented(name: str) -> None:
    assert f"`{name}`" in _page("errors.md")


@pytest.mark.parametrize("name", sorted(_metric_names()))
def test_every_metric_is_documented(name: str) -> None:
    assert f"`{name}`" in _page("metrics.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"### `candor {command}`" in _page("command-line.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [link for link in _LINK.findall(page.read_text("utf-8")) if "://" not in link]
    missing = [link for link in targets if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_page_can_be_reached_from_the_readme(page: Path) -> None:
    assert f"docs/{page.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
