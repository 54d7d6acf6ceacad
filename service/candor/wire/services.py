"""The servicers, built once for all front doors."""

from dataclasses import dataclass

from candor.engine.engine import Engine
from candor.engine.jobs.ledger import Jobs
from candor.wire.call import Frame
from candor.wire.explanations import Explanations
from candor.wire.health import Readiness
from candor.wire.jobs import JobDesk
from candor.wire.lookup import Models
from candor.wire.models import ModelCatalogue
from candor.wire.oip import Inference
from candor.wire.replays import Replays

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """What every front door serves.

    Attributes:
        control: whether models may be loaded and unloaded on request.
        replays: of answers that were given before; None where each is written anew.
    """

    engine: Engine
    jobs: Jobs
    store: Models
    readiness: Readiness
    frame: Frame
    control: bool = False
    replays: Replays | None = None

    @property
    def inference(self) -> Inference:
        """The Open Inference Protocol."""
        return Inference(
            self.engine,
            self.store,
            self.readiness,
            self.frame.statistics,
            self.control,
            self.replays,
        )

    @property
    def explanations(self) -> Explanations:
        """`candor.v1.ExplanationService`."""
        return Explanations(self.engine, self.store, self.replays)

    @property
    def desk(self) -> JobDesk:
        """`candor.v1.JobService`."""
        return JobDesk(self.jobs, self.explanations, self.frame)

    @property
    def models(self) -> ModelCatalogue:
        """`candor.v1.ModelService`."""
        return ModelCatalogue(self.store)
