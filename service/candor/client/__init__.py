"""The Python client: `Client` and `AsyncClient`, answers as numpy arrays, errors of candor's own.

It needs grpcio, protobuf and numpy, nothing of the server.
"""

from candor.client.aio import AsyncClient
from candor.client.answers import (
    Answer,
    Drawing,
    Estimate,
    Explanation,
    ModelInfo,
    ModelSummary,
    Prediction,
    Progress,
    RankedClass,
    Row,
)
from candor.client.asking import Asking, Rows
from candor.client.connection import Tls
from candor.client.jobs import Job
from candor.client.jobs_aio import AsyncJob
from candor.client.jobs_reading import JobStatus
from candor.client.sync import Client

__all__ = [
    "Answer",
    "Asking",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Drawing",
    "Estimate",
    "Explanation",
    "Job",
    "JobStatus",
    "ModelInfo",
    "ModelSummary",
    "Prediction",
    "Progress",
    "RankedClass",
    "Row",
    "Rows",
    "Tls",
]
