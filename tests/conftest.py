"""What every folder of tests may use."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from serving import Server, running

# Examples may take long on a busy machine; that alone is no failure.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A candor with the committed models, memory cache and defaults, shared by the whole run."""
    with running(tmp_path_factory.mktemp("server")) as found:
        yield found
