"""One ONNX Runtime session: which device it runs on, what it takes and gives, and how it fails.

Invariant: nothing of ONNX Runtime leaves this file, neither its types nor its exceptions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import onnxruntime as ort
from google.protobuf.message import EncodeError
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from candor.autodiff import Program, apart
from candor.errors import CandorError, InternalError, InvalidInput, InvalidModel, TooLarge
from candor.result import Array
from candor.runtime.bfloat16 import BFLOAT16, bfloat16_hint, run_session
from candor.runtime.footprint import Footprint
from candor.runtime.freedom import has_free_sizes, symbols_of_rows
from candor.runtime.handed import hand_over
from candor.runtime.hazards import fatal_optimizations
from candor.runtime.reasons import reason_of
from candor.runtime.specs import TensorSpec, spec_from_runtime

__all__ = ["ProviderChoice", "Session", "SessionPolicy", "choose_providers"]

_SUFFIX = "ExecutionProvider"

# What would silently trade digits for speed is switched off: an explanation must agree with its
# reference, and one digest must not stand for two precisions.
_PROVIDER_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "CUDAExecutionProvider": {"use_tf32": "0"},
}

# onnxruntime derives these from Exception alone, so that there is no common class to catch.
_RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    ort_state.EPFail,
    ort_state.EngineError,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.ModelLoaded,
    ort_state.NoModel,
    ort_state.NoSuchFile,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    RuntimeError,
    ValueError,
)

_LOAD_ERRORS: tuple[type[Exception], ...] = (*_RUNTIME_ERRORS, EncodeError)

# First match decides what a failed run was. A node that fails on a graph that loaded has been given
# values that it cannot take: an index out of range, sizes that do not fit together.
_RUN_FAILURES: tuple[tuple[re.Pattern[str], type[CandorError]], ...] = (
    (re.compile(r"Failed to allocate memory|out of memory|bad_alloc"), TooLarge),
    (re.compile(r"CUDA|CUDNN|CUBLAS|EP_FAIL|ENGINE_ERROR|NOT_IMPLEMENTED"), InternalError),
    (re.compile(r"INVALID_ARGUMENT|while running|are missing from input feed"), InvalidInput),
)


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How sessions are made.

    Attributes:
        providers: names in order of preference, short (`cuda`) or full, in any case.
        intra_op_threads: threads within one run; concurrency comes from concurrent runs.
        optimise: whether ONNX Runtime may rewrite the graph.
        max_run_bytes: that a run on CPUs may hold at one time, as estimated; 0: any number.
    """

    providers: tuple[str, ...] = ("cuda", "cpu")
    intra_op_threads: int = 1
    optimise: bool = True
    max_run_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """Execution providers as ONNX Runtime names them.

    Attributes:
        used: those to try, in order.
        skipped: those asked for that this build of ONNX Runtime does not have.
    """

    used: tuple[str, ...]
    skipped: tuple[str, ...]


def choose_providers(
    wanted: Sequence[str], available: Sequence[str] | None = None
) -> ProviderChoice:
    """Match the wanted names with what the installed ONNX Runtime offers.

    Raises:
        InvalidModel: none of them is offered.
    """
    offered = ort.get_available_providers() if available is None else available
    by_short = {_short(name): name for name in offered}
    used = [by_short[_short(name)] for name in wanted if _short(name) in by_short]
    skipped = tuple(name for name in wanted if _short(name) not in by_short)
    if not used:
        raise InvalidModel(
            f"none of the providers {', '.join(map(repr, wanted)) or '(none named)'} is offered by "
            f"this build of ONNX Runtime; it has {', '.join(sorted(by_short))}"
        )
    return ProviderChoice(tuple(dict.fromkeys(used)), skipped)


class Session:
    """A compiled graph, ready to run from any number of threads at once."""

    def __init__(
        self,
        program: onnx.ModelProto | Program,
        policy: SessionPolicy,
        *,
        name: str = "model",
        rows: int | None = None,
    ) -> None:
        """Compile a graph.

        Args:
            program: with its weights inside, or apart; they are copied once, into the session.
            policy: providers and threads.
            name: how messages call the graph.
            rows: how many every run on CPUs will have; None for any number. There the blocked
                layout of pictures asks for a known number wherever two values meet.

        Raises:
            InvalidModel: ONNX Runtime refuses the graph, or has none of the providers.
        """
        choice = choose_providers(policy.providers)
        program = program if isinstance(program, Program) else apart(program)
        self._session = _open(program, policy, choice.used, name, rows)
        self._footprint = Footprint(program.model, program.size_bytes)
        self._max_run_bytes = policy.max_run_bytes
        self.name = name
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        without_device = (_short(p) for p in choice.used if p not in self.providers)
        self.skipped_providers = (*choice.skipped, *without_device)
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))
        self._bfloat16 = {spec.name for spec in self.outputs if spec.dtype == BFLOAT16}

    @property
    def provider(self) -> str:
        """The provider that comes first among those in use: `cuda`, `cpu`, ..."""
        return _short(self.providers[0])

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, estimated (`runtime.footprint`); grows with the largest run."""
        return self._footprint.size_bytes

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        """Run once, in the calling thread, without the interpreter lock.

        Args:
            feeds: every input by name.
            outputs: which ones to compute; () for all, in the graph's order.

        Returns:
            The outputs by name.

        Raises:
            InvalidInput: the graph cannot take these values; the message names the node.
            TooLarge: the run wants more memory than there is, or than it may have.
            InternalError: anything else.
        """
        if self._max_run_bytes and self.provider == "cpu":
            self._footprint.check(feeds, self._max_run_bytes)
        names = list(outputs) or [spec.name for spec in self.outputs]
        try:
            given = not self._bfloat16.isdisjoint(names)
            found = run_session(self._session, names, feeds, gives_bfloat16=given)
        except _RUNTIME_ERRORS as error:
            text = str(error)
            kind = next((k for pattern, k in _RUN_FAILURES if pattern.search(text)), InternalError)
            raise kind(f"{self.name} cannot run on this input: {reason_of(error)}") from error
        self._footprint.ran(feeds)
        return dict(zip(names, found, strict=True))


def _open(
    program: Program, policy: SessionPolicy, providers: Sequence[str], name: str, rows: int | None
) -> Any:
    """Compile for the first provider, or where there is no device for it, for those after it."""
    graph = program.model.graph
    options = _session_options(policy, several_shapes=has_free_sizes(graph))
    if rows is not None and _short(providers[0]) == "cpu":
        for symbol in symbols_of_rows(graph):
            options.add_free_dimension_override_by_name(symbol, rows)
    try:
        _held = hand_over(program.weights, options)  # until the session is there
        session = ort.InferenceSession(
            program.model.SerializeToString(),
            options,
            providers=list(providers),
            provider_options=[dict(_PROVIDER_OPTIONS.get(p, {})) for p in providers],
            # ONNX Runtime's own fallback prints, and swaps the device even in the middle of a run,
            # after which `provider` would lie.
            enable_fallback=0,
            disabled_optimizers=fatal_optimizations(graph),
        )
    except _LOAD_ERRORS as error:
        if len(providers) > 1:
            return _open(program, policy, providers[1:], name, rows)
        reason = reason_of(error) + bfloat16_hint(graph)
        raise InvalidModel(f"ONNX Runtime cannot load {name}: {reason}") from error
    return session


def _session_options(policy: SessionPolicy, *, several_shapes: bool) -> Any:
    options = ort.SessionOptions()
    # The arena keeps what the largest batch needed, but without it every run maps its memory anew:
    # a depthwise network takes 1.02 times as long on one picture of 224 x 224, 2.1 on eight.
    options.enable_cpu_mem_arena = True
    # Memory patterns save 1.5 % there, and keep a plan for every shape ever seen. Rows alone give a
    # thousand shapes at most; where callers choose lengths as well there is no end to them.
    options.enable_mem_pattern = not several_shapes
    options.intra_op_num_threads = policy.intra_op_threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if policy.optimise else levels.ORT_DISABLE_ALL
    )
    # Threads that spin between two runs take the core from the other sessions and the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # What matters comes back as an exception; the log would repeat it on stderr.
    options.log_severity_level = 4
    return options


def _spec(argument: Any) -> TensorSpec:
    return spec_from_runtime(argument.name, argument.type, argument.shape)


def _short(provider: str) -> str:
    return provider.strip().lower().removesuffix(_SUFFIX.lower())
