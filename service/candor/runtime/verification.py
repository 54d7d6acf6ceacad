"""Is the compiled gradient of a model its slope? Finite differences in float64 along random lines.

The program that is served is promoted to float64 and checked there, where a difference quotient has
nine digits; then what is served in float32 is compared with that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np
from onnx import ModelProto

from candor.errors import InvalidInput, InvalidModel, NotFound, Unsupported
from candor.result import Array
from candor.runtime.blueprints import Plan
from candor.runtime.exact import in_float64
from candor.runtime.programs.displaced import DISPLACED, displaced_program
from candor.runtime.programs.gradient import GRADIENT, VALUE, gradient_program
from candor.runtime.programs.heads import DIRECTION, SCORE
from candor.runtime.session import Session, SessionPolicy

__all__ = ["Agreement", "Slope", "Verdict", "Verification"]

Verdict = Literal["agrees", "differs", "kink"]


@dataclass(frozen=True, slots=True)
class Slope:
    """One direction of one row: the slope of a score, and what the gradient says of it.

    Attributes:
        row: which row, from 0.
        target: the class whose score is differentiated.
        direction: which direction, from 0.
        slope: the difference quotient, per unit of length along the direction.
        along: the gradient times the direction.
        error: their difference, relative to the larger one, or where both are small, to what a
            gradient of this length has along a random direction.
        verdict: `kink` where no direction was found along which two step sizes agree.
        redraws: how many directions before it crossed a kink.
    """

    row: int
    target: int
    direction: int
    slope: float
    along: float
    error: float
    verdict: Verdict
    redraws: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two gradients of one row: the cosine of their angle, and how many elements agree.

    Attributes:
        close: share of the elements that differ by at most 1e-5 of the largest.
    """

    row: int
    cosine: float
    close: float

    @property
    def verdict(self) -> Verdict:
        """Rounding may change the side of a kink, and with it a patch; never the direction."""
        return "agrees" if self.cosine > _COSINE else "differs"


_COSINE: Final = 0.99
_REDRAWS: Final = 5
_FINER: Final = 4.0


class _Precision(NamedTuple):
    step: float
    tolerance: float
    finest: float


# Rounding leaves a quotient of steps of 1e-6 nine digits: seven where steps are as much finer.
_WIDE: Final = _Precision(step=1e-6, tolerance=1e-6, finest=1e-6 / 64)
# Some operator computes in float32: the quotient has three digits at best.
_NARROW: Final = _Precision(step=3e-2, tolerance=3e-2, finest=3e-2)


class Verification:
    """The programs of one check, compiled once; `narrow` names what still runs in float32.

    Attributes:
        step: of the differences, relative to the size of the explained value; where a kink is
            crossed, shorter ones are tried.
        tolerance: the largest relative error that counts as agreement.
    """

    def __init__(self, plan: Plan, policy: SessionPolicy, seed: int) -> None:
        """Compile the programs.

        Raises:
            Unsupported: the model has no gradient, or one that is an estimate by design.
            InvalidModel: ONNX Runtime refuses a program.
        """
        if plan.blueprint.anatomy.straight_through:
            raise Unsupported(
                "values on the way are quantised, so that gradients are straight-through "
                "estimates: no finite difference of a rounded value is near them"
            )
        self._plan = plan
        self._rng = np.random.default_rng(seed)
        cpu = replace(policy, providers=("cpu",))

        def loads(program: ModelProto) -> bool:
            try:
                Session(program, cpu)
            except InvalidModel:
                return False
            return True

        served = gradient_program(plan.blueprint, "score")
        back = in_float64(served, loads)
        forth = in_float64(displaced_program(plan.blueprint), loads)
        self.narrow = tuple(sorted(back.narrow | forth.narrow))
        precision = _NARROW if self.narrow else _WIDE
        self.step, self.tolerance, self._finest = precision
        self._served = Session(served, policy)
        self._plain = Session(served, replace(policy, optimise=False))
        self._back = Session(back.program, cpu)
        self._forth = Session(forth.program, cpu)

    def targets(self, rows: Array, target: int | None) -> list[int]:
        """The classes to check: the one asked for, else each row's top class.

        Raises:
            NotFound: there is no such class.
            InvalidInput: the model cannot run on these rows.
        """
        n_classes = self._plan.n_classes
        if target is not None:
            if not 0 <= target < n_classes:
                raise NotFound(f"there is no class {target}; there are 0 to {n_classes - 1}")
            return [target] * len(rows)
        nothing = np.zeros((len(rows), n_classes), np.float32)
        found = self._served.run({self._plan.blueprint.input: rows, DIRECTION: nothing}, [SCORE])
        if not np.isfinite(found[SCORE]).all():
            raise InvalidInput("the scores of these rows are not finite")
        return [int(top) for top in found[SCORE].argmax(axis=1)]

    def slopes(self, rows: Array, targets: list[int], directions: int) -> Iterator[Slope]:
        """Check each row along random directions."""
        exact = self._exact(rows, targets)
        gradient, value = exact[GRADIENT], exact[VALUE]
        for direction in range(directions):
            waiting, redraws = list(range(len(rows))), 0
            while waiting:
                way = self._rng.standard_normal(value.shape)
                way /= _length(way)
                # A kink that lies beside the row itself is crossed in every direction: by shorter
                # steps it may not be.
                step = max(self._finest, self.step / _FINER**redraws)
                coarse, fine = self._quotients(rows, targets, value, way, step)
                again = []
                for row in waiting:
                    slope = float(fine[row])
                    judged = self._judge(gradient[row], way[row], float(coarse[row]), slope)
                    if judged[2] == "kink" and redraws < _REDRAWS:
                        again.append(row)
                    else:
                        yield Slope(row, targets[row], direction, slope, *judged, redraws)
                waiting, redraws = again, redraws + 1

    def served(self, rows: Array, targets: list[int]) -> Iterator[Agreement]:
        """Compare what is served with the same in float64."""
        yield from self._compare(self._served, rows, targets, self._exact(rows, targets)[GRADIENT])

    def unoptimised(self, rows: Array, targets: list[int]) -> Iterator[Agreement]:
        """Compare what is served with the same graph run as it is written."""
        feeds = self._feeds(rows, targets)
        plain = self._plain.run(feeds, [GRADIENT])[GRADIENT]
        yield from self._compare(self._served, rows, targets, plain)

    def _exact(self, rows: Array, targets: list[int]) -> dict[str, Array]:
        wide = {name: _wide(value) for name, value in self._feeds(rows, targets).items()}
        return self._back.run(wide, [GRADIENT, VALUE])

    def _feeds(self, rows: Array, targets: list[int]) -> Mapping[str, Array]:
        one_hot = np.zeros((len(rows), self._plan.n_classes), np.float32)
        one_hot[np.arange(len(rows)), targets] = 1
        return {self._plan.blueprint.input: rows, DIRECTION: one_hot}

    def _quotients(
        self, rows: Array, targets: list[int], value: Array, way: Array, step: float
    ) -> tuple[Array, Array]:
        """Central differences at two step sizes, [n] each, per unit of length."""
        typical = np.sqrt(np.mean(value**2)) or 1.0
        step *= typical * np.sqrt(value[0].size)

        def quotient(step: float) -> Array:
            ahead, behind = (self._score(rows, targets, value + s * step * way) for s in (1, -1))
            slope: Array = (ahead - behind) / (2 * step)
            return slope

        coarse, fine = quotient(step), quotient(step / _FINER)
        if not self.narrow:
            return coarse, fine
        # Richardson: the curvature's share of the error goes, the noise hardly grows.
        finer: Array = (_FINER**2 * fine - coarse) / (_FINER**2 - 1)
        return coarse, finer

    def _score(self, rows: Array, targets: list[int], value: Array) -> Array:
        given = {self._plan.blueprint.input: _wide(rows), DISPLACED: value}
        names = [spec.name for spec in self._forth.inputs]
        feeds = {name: given[name] if DISPLACED in names else value for name in names}
        found: Array = self._forth.run(feeds)[SCORE][np.arange(len(rows)), targets]
        return found

    def _judge(
        self, gradient: Array, way: Array, coarse: float, fine: float
    ) -> tuple[float, float, Verdict]:
        """Say what the gradient has along a direction, by how much that is off, and whether."""
        along = float(np.vdot(gradient, way))
        usual = float(np.linalg.norm(gradient)) / np.sqrt(gradient.size)
        scale = max(abs(fine), abs(along), usual) or 1.0
        error = abs(fine - along) / scale
        if error <= self.tolerance:
            return along, error, "agrees"
        crossed = abs(coarse - fine) > self.tolerance * scale
        return along, error, "kink" if crossed else "differs"

    def _compare(
        self, session: Session, rows: Array, targets: list[int], wanted: Array
    ) -> Iterator[Agreement]:
        found = session.run(self._feeds(rows, targets), [GRADIENT])[GRADIENT]
        for row, (a, b) in enumerate(zip(_wide(found), _wide(wanted), strict=True)):
            lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
            cosine = float(np.vdot(a, b)) / lengths if lengths else float(not (a.any() or b.any()))
            close = np.mean(np.abs(a - b) <= 1e-5 * np.abs(b).max())
            yield Agreement(row, cosine, float(close))


def _wide(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def _length(way: Array) -> Array:
    axes = tuple(range(1, way.ndim))
    lengths: Array = np.sqrt(np.sum(way**2, axis=axes, keepdims=True))
    return lengths
