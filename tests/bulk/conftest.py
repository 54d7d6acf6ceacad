"""A service for the folder's tests, which runs every request alone."""

from collections.abc import Iterator

import pytest

from bulk.jobs import ALONE
from serving import Server, running


@pytest.fixture(scope="session")
def lone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("lone"), environ=ALONE) as server:
        yield server


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)
