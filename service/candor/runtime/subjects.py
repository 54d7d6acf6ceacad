"""A model as explainers see it, by each of its outputs, and what is known of it without weights."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from threading import Lock
from typing import NamedTuple, TypeAlias

from onnx import ModelProto

from candor.errors import Unsupported
from candor.result import Array, Geometry
from candor.runtime.blueprints import Outline, Plan, plan_explanations
from candor.runtime.budget import Budget
from candor.runtime.compiled import Compiled, Lender, OnRun
from candor.runtime.kept import OpenSession
from candor.runtime.manifest import Manifest
from candor.runtime.methods import EXPLANATIONS, refusals
from candor.runtime.predictor import Predictor
from candor.runtime.programs.blueprint import Blueprint, End
from candor.runtime.programs.mapped import with_layers
from candor.runtime.several import Several, laid
from candor.runtime.tokens import Tokenizer

__all__ = ["Compiling", "Subjects"]

_Planned: TypeAlias = Callable[[str | None], AbstractContextManager[Plan]]
_Inputs: TypeAlias = tuple[tuple[str, ...], tuple[End, ...], tuple[str, ...]]


class Compiling(NamedTuple):
    """How programs are compiled, and who is told of their runs.

    Attributes:
        model: whose they are, for log and metrics.
        budget: of the memory in which they are kept.
    """

    model: str
    budget: Budget
    open_session: OpenSession
    on_run: OnRun


class Subjects:
    """One model's outputs, each compiled when it is first explained; safe to use from threads.

    Attributes:
        outline: of the default output; None where the model cannot be explained.
        refusal: why it cannot; "" where it can.
    """

    def __init__(
        self,
        predictor: Predictor,
        manifest: Manifest,
        tokenizer: Tokenizer | None,
        compiling: Compiling,
    ) -> None:
        """Read the default output's plan off the graph.

        Raises:
            InvalidModel: the manifest contradicts the graph.
        """
        distributions = predictor.distributions

        # Bound to neither this object nor the model: a cycle would outlive both.
        def plan_of(proto: ModelProto, output: str | None) -> Plan:
            return plan_explanations(proto, manifest, tokenizer, output, distributions)

        self._planned: _Planned = partial(predictor.planned, plan=plan_of)
        self._compiling = compiling
        self._compiled: dict[str | None, Compiled] = {}
        self._inputs: dict[str | None, _Inputs] = {}
        self._methods: Mapping[str, str | None] = {}
        self._lock = Lock()
        self.outline: Outline | None = None
        self.refusal = ""
        try:
            with self._planned(None) as found:
                self.outline = found.outline
        except Unsupported as error:
            self.refusal = error.message  # its traceback keeps alive what callers hold

    @property
    def known(self) -> Outline:
        """The outline.

        Raises:
            Unsupported: the model cannot be explained.
        """
        if self.outline is None:
            # A fresh one: an exception that is raised twice drags both tracebacks along.
            raise Unsupported(self.refusal)
        return self.outline

    @property
    def methods(self) -> Mapping[str, str | None]:
        """Each explanation method: None where the model supports it, else the reason why not."""
        if not self._methods:
            self._methods = self._supported()
        return self._methods

    def of(self, output: str | None) -> Compiled:
        """The subject of one output; None is the default one.

        Raises:
            NotFound, Unsupported: there is no such output, or it cannot be explained.
        """
        if output is None and self.outline is None:  # known without reading the model again
            raise Unsupported(self.refusal)
        with self._lock:
            if output not in self._compiled:
                self._compiled[output] = self._subject(output)
            return self._compiled[output]

    def laid(
        self, output: str | None, tensors: Mapping[str, Array]
    ) -> tuple[Compiled | Several, Array]:
        """The subject of one output for such rows, and the rows as it takes them.

        Raises:
            NotFound, Unsupported: as `of`.
            InvalidInput: as `several.laid`.
        """
        compiled = self.of(output)
        inputs, ends, held = self._inputs[output]
        if not ends:
            return compiled, tensors[inputs[0]]
        return laid(compiled, ends, held, tensors)

    def geometry(self, name: str, output: str | None) -> Geometry:
        """How rows of an explained input are laid out; "" is the only one.

        Raises:
            NotFound, Unsupported: as `of`.
        """
        compiled = self.of(output)
        ends = self._inputs[output][1]
        own = (end.geometry for end in ends if not name or end.input == name)
        return next(own, compiled.geometry)

    def _subject(self, output: str | None) -> Compiled:
        model, budget, open_session, on_run = self._compiling
        lender = Lender(budget, model, partial(_blueprint, self._planned, output))
        with self._planned(output) as found:
            blueprint = found.blueprint
            self._inputs[output] = blueprint.inputs, with_layers(blueprint), blueprint.held
            return Compiled(blueprint, found.geometry, open_session, on_run, lender)

    def _supported(self) -> Mapping[str, str | None]:
        if self.outline is None:
            return dict.fromkeys(EXPLANATIONS, self.refusal)
        with self._planned(None) as found:
            return refusals(found.blueprint)


@contextmanager
def _blueprint(planned: _Planned, output: str | None) -> Iterator[Blueprint]:
    with planned(output) as found:
        yield found.blueprint
