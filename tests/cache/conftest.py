import pytest

from cache.redis_server import RedisServer


@pytest.fixture
def server(tmp_path):
    """A real Redis, empty."""
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.kill()
