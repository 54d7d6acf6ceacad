"""Ask the services that compose_and_ask.sh has started, and take Redis from them for a while.

ask_composed.py PROJECT CERTIFICATE
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import skimage.data

from candor.client import Client
from candor.v1 import model_pb2
from candor.v1.model_pb2_grpc import ModelServiceStub

METHODS = ["grad_cam", "lime"]


def main(project: str, certificate: str) -> None:
    """Go through everything, in order; end with an assertion that says what was not so."""
    grpc_port, tls_port = os.environ["CANDOR_GRPC_PORT"], os.environ["CANDOR_TLS_PORT"]
    with Client(f"127.0.0.1:{grpc_port}") as client:
        client.wait_ready(timeout_s=180)
        wait("candor_redis_up == 1", lambda: value("candor_redis_up") == 1)
        healthy(project)
        password_is_needed(project)
        cached(client, project)
        seen_by_prometheus()
        redis_lost(client, project)
    encrypted(f"localhost:{tls_port}", Path(certificate).read_bytes())


def explained(client: Client) -> None:
    """Explain the same picture in the same way."""
    found = client.explain("photos", METHODS, images=[skimage.data.chelsea()])
    for method in METHODS:
        assert found.of(method).values.shape == (64, 64)


def cached(client: Client, project: str) -> None:
    """Computed once, kept in Redis, and found there by a candor whose memory is empty."""
    explained(client)
    assert computed() == len(METHODS)
    explained(client)
    assert computed() == len(METHODS)
    wait("both are in Redis", lambda: redis(project, "DBSIZE") == str(len(METHODS)))
    crash(f"{project}_candor_1")
    wait("candor is there again", lambda: computed() == 0)
    client.wait_ready(timeout_s=180)
    explained(client)
    assert computed() == 0, "after the crash it should have come from Redis"
    assert count('candor_cache_total{kind="explanation",status="hit"}') == len(METHODS)
    print("asked three times, computed once: after a crash the answer came from Redis")


def seen_by_prometheus() -> None:
    """What was asked, and what came from the cache, by query; no alert."""
    hits = 'sum(candor_cache_total{status="hit"})'
    wait("the hits are in Prometheus", lambda: value(hits) == len(METHODS))
    asked = value('sum(max_over_time(candor_requests_total{method="lime",code="OK"}[10m]))')
    assert asked, "the answers are not in Prometheus"
    assert value('up{job="candor"}') == 1
    rules = api("rules")["groups"][0]["rules"]
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []
    print(f"Prometheus has seen it, and evaluates {len(rules)} alerts")


def redis_lost(client: Client, project: str) -> None:
    """Answers go on without Redis, Prometheus hears of it, and it is taken to again."""
    podman("stop", f"{project}_redis_1")
    seeds = itertools.count()  # another each time, or its memory would answer

    def ask() -> None:
        client.explain(
            "sentences", {"lime": {"seed": next(seeds)}}, texts=["A long film, not bad."]
        )

    for _ in range(5):
        ask()
    wait("candor_redis_up == 0", lambda: value("candor_redis_up") == 0)
    wait(
        "CandorRedisDown is pending",
        lambda: value('ALERTS{alertname="CandorRedisDown",alertstate="pending"}') == 1,
    )
    podman("start", f"{project}_redis_1")

    def back() -> bool:
        ask()
        return value("candor_redis_up") == 1

    wait("Redis is back", back)
    print("Redis lost and found again: no request failed, and Prometheus knew")


def encrypted(target: str, certificate: bytes) -> None:
    """The same service behind TLS, by its name, with the certificate checked."""
    credentials = grpc.ssl_channel_credentials(certificate)
    with grpc.secure_channel(target, credentials) as channel:
        ask = ModelServiceStub(channel).ListModels
        answer = ask(model_pb2.ListModelsRequest(), timeout=30, wait_for_ready=True)
    assert "photos" in {model.id.name for model in answer.models}
    print("asked through TLS")


def healthy(project: str) -> None:
    """The health check that the file gives the engine."""
    wait(
        "healthy", lambda: podman("healthcheck", "run", f"{project}_candor_1", check=False)[0] == 0
    )


def password_is_needed(project: str) -> None:
    """Redis answers nobody who does not know the password."""
    _, said = podman("exec", f"{project}_redis_1", "redis-cli", "DBSIZE")
    assert "NOAUTH" in said, said


def computed() -> float:
    """Explanations that this candor has computed since it started."""
    return count('candor_cache_total{kind="explanation",status="miss"}')


def count(series: str) -> float:
    """A counter as candor itself says it; 0 where it has not counted yet."""
    port = os.environ["CANDOR_METRICS_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(series + " ")), 0.0)


def redis(project: str, *words: str) -> str:
    """What Redis answers to somebody who knows the password."""
    script = 'REDISCLI_AUTH=$(cat /secrets/password) exec redis-cli "$@"'
    return podman("exec", f"{project}_redis_1", "sh", "-c", script, "redis-cli", *words)[1].strip()


def crash(container: str) -> None:
    """End a container's process as if memory had run out; its restart policy brings it back."""
    _, pid = podman("inspect", "--format", "{{.State.Pid}}", container)
    os.kill(int(pid), signal.SIGKILL)


def podman(*words: str, check: bool = True) -> tuple[int, str]:
    """Exit code and output."""
    done = subprocess.run(["podman", *words], check=False, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.returncode, done.stdout + done.stderr


def api(path: str, **parameters: str) -> dict[str, list[dict[str, list[dict[str, str]]]]]:
    """The data that Prometheus' HTTP API answers."""
    port = os.environ["PROMETHEUS_PORT"]
    asked = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(asked, timeout=10) as page:
        return json.load(page)["data"]


def value(expression: str) -> float | None:
    """The one value that an expression comes to in Prometheus; None for none."""
    found = api("query", query=expression)["result"]
    return float(found[0]["value"][1]) if found else None


def wait(what: str, done: Callable[[], object], seconds: float = 60) -> None:
    """Look until it is so."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if done():
                return
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:g} s: {what}")


if __name__ == "__main__":
    main(*sys.argv[1:])
