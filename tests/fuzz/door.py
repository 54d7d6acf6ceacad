"""The service without its sockets: the handlers of every RPC and of HTTP, over a real engine.

What a handler raises beside a `CandorError` comes out as `Defect`, and so does a refusal that says
nothing. Cases are bytes: `path\\n` and a message for gRPC; `path\\n`, headers, an empty line and a
body for HTTP.
"""

import asyncio
import json
import logging
import re
import shutil
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from urllib.parse import unquote

from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry

from candor.app import working
from candor.engine.deadline import Deadline
from candor.errors import CandorError, InternalError
from candor.inference.v2 import grpc_service_pb2
from candor.metrics import Metrics
from candor.opening import open_frame, open_jobs
from candor.settings import Settings
from candor.v1 import explanation_pb2, job_pb2, model_pb2
from candor.wire.call import Call, accounted, request_id
from candor.wire.calls import parsed, written
from candor.wire.health import Readiness
from candor.wire.http import http_app
from candor.wire.oip import SERVICE
from candor.wire.oip_stream import StreamInfer
from candor.wire.rest import rest_routes
from candor.wire.services import Services
from serving import REPOSITORY

__all__ = ["MODELS", "Defect", "Door", "said_enough"]

MODELS = ("adult-mlp", "digits-lenet", "sentences", "vowels-rnn")
_TARGET = re.compile(rb"(?:[A-Z]+ )?/[!-~]*")
_PATIENCE_S = 0.5
_ANSWERS = 3  # of a stream; the rest is left, as a caller may
_REFUSED = {400, 404, 405, 408, 413, 415, 422, 429, 499, 501, 503, 504}


class Defect(AssertionError):
    """Something that no request may bring about."""


def said_enough(words):
    """The words of a refusal, if they are more than a shrug."""
    if len(words.split()) < 3:
        raise Defect(f"a refusal says only {words!r}")
    return words


class _Watch(logging.Handler):
    """Keeps what calls log as a defect."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []
        logging.getLogger("candor.access").addHandler(self)

    def emit(self, record):
        if record.exc_info:
            self.found.append(record.exc_info[1])


class Door:
    """A service in this process; one loop, which runs while it is asked."""

    def __init__(self, folder: Path) -> None:
        for name in MODELS:
            shutil.copytree(REPOSITORY / name, folder / name, dirs_exist_ok=True)
        self._loop, self._stack = asyncio.new_event_loop(), AsyncExitStack()
        self._watch = _Watch()
        settings = Settings(
            model_root=folder,
            workers=1,
            cache_memory_bytes=2**20,
            job_limit=4,
            job_memory_bytes=2**20,
            job_ttl_s=1.0,
            max_image_pixels=10**6,
            # Programs are compiled as they are asked for: what is left of them must not look lost.
            model_memory_bytes=64 * 2**20,
        )
        self._loop.run_until_complete(self._open(settings))

    def close(self) -> None:
        """Stop everything."""
        logging.getLogger("candor.access").removeHandler(self._watch)
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _open(self, settings: Settings) -> None:
        metrics, readiness = Metrics(CollectorRegistry()), Readiness()
        self.frame = frame = open_frame(settings, metrics, None, None)
        engine, store = await self._stack.enter_async_context(working(settings, frame))
        jobs = await self._stack.enter_async_context(open_jobs(settings, metrics))
        services = Services(engine, jobs, store, readiness, frame)
        readiness.set("ready")
        inference = services.inference
        stream = StreamInfer(inference.infer, readiness, frame)
        self._app = http_app(readiness, rest_routes(services))
        self.methods = {}
        for module, service, routes in (
            (grpc_service_pb2, "GRPCInferenceService",
             {**inference.routes(), "ModelStreamInfer": stream.serve}),
            (explanation_pb2, "ExplanationService", services.explanations.routes()),
            (job_pb2, "JobService", services.desk.routes()),
            (model_pb2, "ModelService", services.models.routes()),
        ):  # fmt: skip
            described = module.DESCRIPTOR.services_by_name[service]
            for method in described.methods:
                if method.name in routes:
                    name = SERVICE if module is grpc_service_pb2 else described.full_name
                    path = f"/{name}/{method.name}"
                    self.methods[path] = method, routes[method.name]

    def rpc(self, case: bytes) -> str:
        """Ask over gRPC; what came of it."""
        path, _, payload = case.partition(b"\n")
        asked = self.methods.get(path.decode("latin-1"))
        if asked is None:
            return "no such method"
        return self._watched(self._rpc(*asked, payload))

    def _watched(self, work):
        """Run it; what was logged as our defect counts, though a stream or a job hides it."""
        outcome = self._loop.run_until_complete(work)
        if self._watch.found:
            raise Defect("logged as internal error") from self._watch.found.pop()
        return outcome

    async def _rpc(self, method, handler, payload):
        call = Call(request_id(None), Deadline.after(_PATIENCE_S))
        try:
            with accounted(call, "fuzz", self.frame):
                async with asyncio.timeout(120):
                    if method.client_streaming:
                        return await self._taken(handler(_one(payload), call))
                    message = await parsed(GetMessageClass(method.input_type), payload, call)
                    if method.server_streaming:
                        return await self._taken(handler(message, call))
                    await written(await handler(message, call), call, self.frame)
        except InternalError as error:
            raise Defect(f"INTERNAL {error}") from error
        except CandorError as error:
            said_enough(error.message)
            return error.kind
        return "ok"

    async def _taken(self, answers):
        async with aclosing(answers) as stream:
            for _ in range(_ANSWERS):
                if await anext(stream, None) is None:
                    break
        return "ok"

    def http(self, case: bytes) -> str:
        """Ask over HTTP; what came of it."""
        head, _, body = case.partition(b"\n\n")
        target, *lines = head.split(b"\n")
        if not _TARGET.fullmatch(target):
            return "not HTTP"  # the server that reads it from the socket says so itself
        headers = [
            (name.strip().lower(), value.strip())
            for name, colon, value in (line.partition(b":") for line in lines)
            if colon
        ]
        return self._watched(self._http(target.decode(), headers, body))

    async def _http(self, path, headers, body):
        verb, _, path = path.rpartition(" ")
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
            "method": verb or "POST", "scheme": "http", "path": unquote(path), "root_path": "",
            "raw_path": path.encode(), "query_string": query.encode(),
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        waiting, sent = [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive():
            if waiting:
                return waiting.pop()
            return await asyncio.get_running_loop().create_future()

        async def send(message):
            sent.append(message)

        async with asyncio.timeout(60):
            await self._app(scope, receive, send)
        status = sent[0]["status"]
        page = b"".join(message.get("body", b"") for message in sent[1:])
        if 400 <= status != 415:
            if status not in _REFUSED:
                raise Defect(f"{status} {page[:300]!r}")
            said = json.loads(page)
            if "ready" not in said:  # that says it all
                said_enough(said.get("error") or said.get("message", ""))
        if dict(sent[0]["headers"]).get(b"content-type", b"").startswith(b"application/connect+"):
            return _ended(page)
        return str(status)


def _ended(page):
    """How a stream over Connect went, which its last envelope says."""
    last = flags = None
    while page:
        flags, length = page[0], int.from_bytes(page[1:5], "big")
        last, page = page[5 : 5 + length], page[5 + length :]
    if flags != 2:
        raise Defect(f"a stream has no end, but {flags} {last!r}")
    error = json.loads(last).get("error")
    if error is None:
        return "stream"
    if error["code"] in ("internal", "unknown"):
        raise Defect(f"{error}")
    said_enough(error["message"])
    return f"stream {error['code']}"


async def _one(payload):
    yield payload
