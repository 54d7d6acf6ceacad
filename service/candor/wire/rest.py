"""All that is served over HTTP beside the probes, as one list of routes."""

from starlette.routing import Route

from candor.v1 import explanation_pb2, job_pb2, model_pb2
from candor.wire.connect import connect_routes
from candor.wire.http_frame import Rest
from candor.wire.rest_oip import OipRest
from candor.wire.rest_v1 import KserveRest
from candor.wire.services import Services

__all__ = ["rest_routes"]

_EXPLANATIONS = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"]
_JOBS = job_pb2.DESCRIPTOR.services_by_name["JobService"]
_MODELS = model_pb2.DESCRIPTOR.services_by_name["ModelService"]


def rest_routes(services: Services) -> list[Route]:
    """The Open Inference Protocol, KServe's first, and `candor.v1` over Connect."""
    rest = Rest(services.frame, services.readiness)
    inference = services.inference
    return [
        *OipRest(inference, rest).routes(),
        *KserveRest(inference, rest).routes(),
        *connect_routes(_EXPLANATIONS, services.explanations.routes(), rest),
        *connect_routes(_JOBS, services.desk.routes(), rest),
        *connect_routes(_MODELS, services.models.routes(), rest),
    ]
