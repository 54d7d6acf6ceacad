"""Every query of dashboard, alerts and autoscalers finds what a real candor really counts.

Redis, candor and Prometheus run; candor is asked for everything, refuses something, and loses its
Redis. What a query names and nobody counts would come to nothing.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import skimage.data
import yaml
from prometheus_client import CollectorRegistry

from candor.client import Client
from candor.errors import CandorError
from candor.metrics import Metrics
from deploy.rendering import KUBERNETES, one, overlay
from deploy.watched import PROMETHEUS, Prometheus, wait_for, watching
from serving import ROOT, Server, running

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "candor.json").read_text())
RULES = yaml.safe_load((PROMETHEUS / "rules" / "candor.yml").read_text("utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
# Comparisons that hold only when something is wrong; before them stands what is compared.
CODES = re.compile(r'code=~"([A-Z_|]+)"')
SEEDS = itertools.count()  # another each time, or the cache would answer
COMPARED = re.compile(r"\s(?:==|<=?|>=?)\s(?!bool).*", re.DOTALL)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("watched")
    redis = folder / "redis.sock"
    program = shutil.which("redis-server")
    assert program, "redis-server is missing; `make setup` brings it"
    database = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(redis), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(redis.exists, folder)
        # Places for two long explanations, so that one of three is refused.
        environ = {
            "CANDOR_REDIS_URL": f"unix://{redis}",
            "CANDOR_CACHE_LOCK": "true",
            "CANDOR_WORKERS": "1",
            "CANDOR_EXPLAIN_QUEUE": "1",
        }
        with running(folder, environ=environ) as server:
            target = server.metrics_url.removeprefix("http://")
            with watching(folder, [target]) as found:
                busy(server)
                # What first appears is no rise yet: it has to be seen before it counts further.
                wait_for(lambda: found.query("candor_shed_total"), folder / "log")
                database.terminate()
                database.wait(timeout=120)
                busy(server)
                wait_for(lambda: found.query("candor_redis_up == 0"), folder / "log")
                yield found
    finally:
        database.terminate()
        database.wait(timeout=120)


def busy(server: Server) -> None:
    """Ask for a bit of everything, twice, and for more than fits at once."""
    picture = skimage.data.coffee()
    with Client(server.grpc_target) as client:
        for _ in range(2):
            client.predict("photos", images=[picture])
            client.explain("photos", ["grad_cam"], images=[picture])
            client.explain("sentences", ["gradient", "lime"], texts=["Not a bad film, only long."])
    lock = threading.Barrier(3)
    refused: list[CandorError] = []

    def explain(seed: int) -> None:
        with Client(server.grpc_target, attempts=1) as client:
            client.models()  # connected, all of them, before they ask
            lock.wait()
            try:
                client.explain(
                    "photos",
                    {"lime": {"n_samples": 2000, "segments": "grid", "seed": seed}},
                    images=[picture],
                )
            except CandorError as error:
                refused.append(error)

    threads = [
        threading.Thread(target=explain, args=(seed,))
        for seed in (next(SEEDS), next(SEEDS), next(SEEDS))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused


def in_grafana(expression: str) -> str:
    """With Grafana's variables as Grafana would fill them in."""
    for name, value in {"$__rate_interval": "1h", "$model": "photos|sentences"}.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def has_data(prometheus: Prometheus, expression: str) -> None:
    """Wait for a series that has a value: what was counted last may not have been seen yet."""

    def numbers() -> list[str]:
        values = [row["value"][1] for row in prometheus.query(expression)]
        return [value for value in values if value != "NaN"]

    try:
        wait_for(numbers, Path(os.devnull))
    except AssertionError:
        pytest.fail(f"{expression} comes to {prometheus.query(expression)}")


TARGETS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}".replace(" ", "-"))
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
]


@pytest.mark.parametrize("expression", TARGETS)
def test_panel_shows_something(prometheus: Prometheus, expression: str) -> None:
    has_data(prometheus, in_grafana(expression))


def test_dashboard_draws_every_metric_that_we_count() -> None:
    registry = CollectorRegistry()
    Metrics(registry).redis_up(up=True)
    drawn = " ".join(
        target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
    )
    assert [family.name for family in registry.collect() if family.name not in drawn] == []


def test_labels_of_the_legends_are_there(prometheus: Prometheus) -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            rows = prometheus.query(in_grafana(target["expr"]))
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert all(label in row["metric"] for row in rows), (panel["title"], label)


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    host, _, port = source["url"].removeprefix("http://").partition(":")
    (published,) = compose[host]["ports"]
    assert published.endswith(f":{port}")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "candor.yml").read_text())[
        "providers"
    ]
    mounts = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_alert_compares_something(prometheus: Prometheus, alert: dict[str, Any]) -> None:
    """Without its comparison, each alert's expression comes to series that are there."""
    expression = alert["expr"]
    if expression.startswith("absent("):
        expression = expression.removeprefix("absent(").removesuffix(")")
    # Faults cannot be ordered: the same for answers of any code, if those named are codes.
    for codes in CODES.findall(expression):
        assert set(codes.split("|")) < set(grpc.StatusCode.__members__)
    expression = CODES.sub('code!=""', expression)
    for part in re.split(r"\n\s*and ", expression):
        has_data(prometheus, COMPARED.sub("", part.strip()))


def test_rules_are_loaded_and_well(prometheus: Prometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert loaded.keys() == {rule["alert"] for rule in ALERTS}
    wait_for(
        lambda: all(
            rule["health"] == "ok"
            for group in prometheus.get("rules")["groups"]
            for rule in group["rules"]
        ),
        Path(os.devnull),
    )

    # It is down, and the alert waits to be sure.
    def alerts() -> set[str]:
        return {row["metric"]["alertname"] for row in prometheus.query("ALERTS")}

    wait_for(lambda: "CandorRedisDown" in alerts(), Path(os.devnull))
    assert "CandorDown" not in alerts()


def test_autoscalers_ask_for_something(prometheus: Prometheus) -> None:
    for trigger in one(overlay("autoscale-keda"), "ScaledObject")["spec"]["triggers"]:
        query = trigger["metadata"]["query"]
        (row,) = wait_for(partial(prometheus.query, query), Path(os.devnull))
        assert float(row["value"][1]) >= 0
        float(trigger["metadata"]["threshold"])


def test_adapter_answers_what_the_autoscaler_asks(prometheus: Prometheus) -> None:
    """Each rule as the Prometheus adapter fills it in, for the metrics that the HPA names."""
    adapter = yaml.safe_load((KUBERNETES / "components" / "hpa" / "adapter.yaml").read_text())
    answered = {}
    for rule in adapter["rules"]:
        assert wait_for(partial(prometheus.query, rule["seriesQuery"]), Path(os.devnull))
        expression = rule["metricsQuery"].replace("<<.GroupBy>>", "pod")
        expression = expression.replace("<<.LabelMatchers>>", 'namespace="candor",pod=~"candor-0"')
        (row,) = wait_for(partial(prometheus.query, expression), Path(os.devnull))
        assert row["metric"] == {"pod": "candor-0"}
        assert float(row["value"][1]) >= 0
        answered[rule["name"]["as"]] = row
    asked = one(overlay("autoscale"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert {metric["pods"]["metric"]["name"] for metric in asked} == answered.keys()


def test_alerts_are_raised_by_what_they_are_for() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; `make setup` brings it from Debian's prometheus package"
    tests = Path(__file__).with_name("alerts.yml")
    done = subprocess.run(
        [promtool, "test", "rules", str(tests)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for alert in ALERTS:
        assert re.search(rf"alertname: {alert['alert']}\n +exp_alerts", tests.read_text()), alert
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["alert"] in (ROOT / "docs" / "deploying.md").read_text("utf-8")
