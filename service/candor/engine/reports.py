"""Telling the caller how far each answer has come, and noting when the last one of a method did."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from candor.engine.assemble import Found
from candor.engine.cut import cut_to_view
from candor.engine.plan import Ask, Plan
from candor.engine.request import Report
from candor.engine.watch import OnProgress
from candor.explain.parse import method_name
from candor.result import Attribution

__all__ = ["Reporter"]


class Reporter:
    """Translates what happens to a flight into reports for the places that wait for it.

    Attributes:
        ready_at_s: the monotonic instant of the latest answer, by method.
    """

    def __init__(self, plan: Plan, on_report: Callable[[Report], None] | None) -> None:
        self._on_report = on_report
        self.ready_at_s: dict[str, float] = {}
        self._views = plan.views
        self._places: dict[str, list[Ask]] = defaultdict(list)
        if on_report is not None:
            for ask in plan.asks:
                self._places[ask.flight].append(ask)

    @property
    def listener(self) -> Callable[[Ask], OnProgress] | None:
        """Makes the listener of an ask; None where nobody listens."""
        return None if self._on_report is None else self._listener

    def found(self, found: Mapping[str, Found]) -> None:
        """Report answers, by flight."""
        for flight, answer in found.items():
            self._ready(answer)
            shown = None if answer.not_explained else answer.entry.attribution
            self._tell(flight, 1.0, shown)

    def answered(self, ask: Ask, found: Found) -> None:
        """Report one answer."""
        self._ready(found)
        self._tell(ask.flight, 1.0, found.entry.attribution)

    def _ready(self, found: Found) -> None:
        self.ready_at_s[found.entry.attribution.method] = time.monotonic()

    def _listener(self, ask: Ask) -> OnProgress:
        return lambda share, partial: self._tell(ask.flight, share, partial)

    def _tell(self, flight: str, share: float, partial: Attribution | None) -> None:
        if self._on_report is None:
            return
        for ask in self._places[flight]:
            _, row, target = ask.place
            shown = None if partial is None else cut_to_view(partial, self._views[row])
            self._on_report(Report(method_name(ask.options), row, target, share, shown))
