"""What every folder of tests may use."""

from collections.abc import Iterator

import pytest

from serving import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A candor with the committed models, memory cache and defaults, shared by the whole run."""
    with running(tmp_path_factory.mktemp("server")) as found:
        yield found
