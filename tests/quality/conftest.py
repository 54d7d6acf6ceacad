"""Fresh rows each run; a failure names the seed that repeats it."""

from agreement.conftest import seed

__all__ = ["seed"]
