"""Fresh random models and inputs each run; a failure names the seed that repeats it."""

import os
import secrets

import pytest


@pytest.fixture
def seed() -> int:
    """New each time; CANDOR_TEST_SEED repeats a run that failed."""
    return int(os.environ.get("CANDOR_TEST_SEED") or secrets.randbelow(2**31))
