"""Waiting for several things: all or the first failure, and never past the deadline."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from candor.engine.deadline import Deadline
from candor.errors import DeadlineExceeded

__all__ = ["all_of", "within"]

T = TypeVar("T")


async def all_of(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all at the same time; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


@asynccontextmanager
async def within(deadline: Deadline) -> AsyncIterator[None]:
    """Cancel the block when the deadline passes.

    Raises:
        DeadlineExceeded: it did.
    """
    limit = asyncio.timeout(deadline.remaining_s())
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded("the deadline passed before the answer was ready") from error
