"""The gate before a server stops: who is held, who is refused, and when it is quiet."""

import asyncio
import time

import pytest

from candor.errors import Unavailable
from candor.wire.gate import Gate


async def test_who_comes_to_an_open_gate_goes_through():
    gate = Gate()
    await gate.enter()
    gate.refuse()  # it was never shut: nobody is turned away
    await gate.enter()
    assert gate.n_held == 0


async def test_who_comes_to_a_shut_gate_is_held_until_it_is_refused():
    gate = Gate()
    shut = asyncio.create_task(gate.shut())
    await asyncio.sleep(0)
    held = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await shut
    assert gate.n_held == 3
    assert not any(call.done() for call in held)
    gate.refuse()
    ends = await asyncio.gather(*held, return_exceptions=True)
    assert [type(end) for end in ends] == [Unavailable] * 3
    assert gate.n_held == 0
    with pytest.raises(Unavailable, match="stopping"):
        await gate.enter()


async def test_it_is_not_quiet_while_calls_come_and_is_shut_after_a_second_all_the_same():
    gate = Gate()
    began, calls = time.monotonic(), []
    shut = asyncio.create_task(gate.shut())
    while not shut.done():
        await asyncio.sleep(0.005)
        calls.append(asyncio.create_task(gate.enter()))
    assert time.monotonic() - began >= 1
    gate.refuse()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_one_who_hangs_up_is_held_no_longer():
    gate = Gate()
    shut = asyncio.create_task(gate.shut())
    await asyncio.sleep(0)
    call = asyncio.create_task(gate.enter())
    await asyncio.sleep(0.01)
    call.cancel()
    await shut
    assert gate.n_held == 0
