"""The compiled programs of a model: each made when it is first needed, kept within the budget."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import partial
from threading import Lock
from typing import NamedTuple, TypeAlias

from onnx import ModelProto

from candor.autodiff import Program
from candor.runtime.budget import Budget, Part, Resident
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.session import Session

__all__ = ["Build", "KeptPrograms", "Lender", "OpenSession"]

Build: TypeAlias = Callable[[Blueprint], ModelProto | Program]

OpenSession: TypeAlias = Callable[[ModelProto | Program, int | None], Session]
"""Compiles a program, on CPUs for so many rows a run; None for any number."""


class Lender(NamedTuple):
    """Where programs are kept, and what they are compiled from.

    Attributes:
        budget: that they count to.
        model: whose they are, for log and metrics.
        blueprint: there while it is needed; its weights may not be in memory else.
    """

    budget: Budget
    model: str
    blueprint: Callable[[], AbstractContextManager[Blueprint]]


class KeptPrograms:
    """Programs by key. Safe to use from several threads."""

    def __init__(self, lender: Lender, open_session: OpenSession) -> None:
        self._lender = lender
        self._open = open_session
        self._programs: dict[Hashable, Resident[Session]] = {}
        self._lock = Lock()
        self._compiling = Lock()

    def of(self, key: Hashable, name: str, build: Build, rows: int | None) -> Resident[Session]:
        """One program; it is compiled when it is entered, unless it is there.

        Args:
            key: what tells it from the others.
            name: for log and metrics.
            build: makes the graph.
            rows: that every run of it has on CPUs; None for any number.
        """
        found = self._programs.get(key)
        if found is None:
            with self._lock:
                found = self._programs.get(key)
                if found is None:
                    lender = self._lender
                    # Not bound to this object: a cycle would outlive the model.
                    make = partial(_compiled, lender, self._open, self._compiling, build, rows)
                    found = Resident(lender.budget, Part(lender.model, name), make)
                    self._programs[key] = found
        return found


def _compiled(
    lender: Lender, open_session: OpenSession, compiling: Lock, build: Build, rows: int | None
) -> tuple[Session, int]:
    # One of a model's at a time: compiling takes several times the memory of what it makes.
    with compiling, lender.blueprint() as blueprint:
        session = open_session(build(blueprint), rows)
    return session, session.size_bytes
