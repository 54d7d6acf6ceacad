import json
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from candor.cli.exits import UsageError
from candor.cli.loading.mix import Ask, draw, parse_mix
from candor.cli.loading.pace import Closed, Open, due_times, parse_concurrency, parse_rate
from candor.cli.loading.rows import made_for
from candor.cli.loading.samples import NOT_SENT, OK, Sample, Samples
from candor.cli.loading.summary import PERCENTILES, by_ask, of_all, timeline
from candor.client import Client
from cli.running import ROOT, candor
from serving import Server, running
from wire.protocol import get

SMALL = "vowels-esn"


def load(server: Server, *arguments: str) -> dict:
    done = candor("load", "--server", server.grpc_target, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# What is sent


def test_pictures_and_signals_have_parts_that_an_explanation_can_tell_apart(server: Server) -> None:
    rng = np.random.default_rng(1)
    with Client(server.grpc_target) as client:
        for name, shape in (("photos", (1, 3, 64, 64)), ("ecg200-fcn", (1, 96, 1))):
            sent = made_for(client.model(name), 1, 96, 0, rng)()
            (x,) = sent["tensors"].values()
            assert x.shape == shape
            found = client.explain(name, {"lime": {"n_samples": 60}}, **sent).of("lime")
            assert np.unique(found.segments).size >= 10
            assert found.trust["n_evaluations"] >= 50


def test_each_new_request_is_another(server: Server) -> None:
    with Client(server.grpc_target) as client:
        new = made_for(client.model("photos"), 2, 32, 0, np.random.default_rng(1))
        first, second = (new()["tensors"]["image"] for _ in range(2))
        assert not np.array_equal(first, second)
        assert not np.array_equal(first[0], first[1])


# When requests are due


@pytest.mark.parametrize("steady", [True, False])
def test_a_ramp_sends_as_many_as_lie_under_its_line(steady: bool) -> None:
    due = due_times(Open(100, 500), 20, np.random.default_rng(1), steady=steady)
    assert (np.diff(due) >= 0).all()
    assert due[0] > 0
    assert due[-1] < 20
    for until in (5, 10, 20):  # 100 t + 10 t²
        expected = 100 * until + 10 * until**2
        # six deviations of a Poisson count; one request where nothing is random
        bound = 1 if steady else 6 * np.sqrt(expected)
        assert abs((due < until).sum() - expected) <= bound


def test_arrivals_at_random_have_the_distances_of_independent_callers() -> None:
    gaps = np.diff(due_times(Open(50, 50), 400, np.random.default_rng(1), steady=False))
    # of an exponential distribution: mean and deviation are both 1/50 (20,000 draws)
    assert gaps.mean() == pytest.approx(0.02, rel=0.06)
    assert gaps.std() == pytest.approx(0.02, rel=0.1)


def test_steady_arrivals_are_evenly_apart() -> None:
    due = due_times(Open(4, 4), 2, np.random.default_rng(1), steady=True)
    np.testing.assert_allclose(due, np.arange(8) / 4 + 0.125)


def test_stages_are_read_in_order() -> None:
    assert parse_concurrency("1,2, 4") == (Closed(1), Closed(2), Closed(4))
    assert parse_rate("10,20:40") == (Open(10, 10), Open(20, 40))


@pytest.mark.parametrize("text", ["0", "two", "1,,2", "-1", "1.5"])
def test_callers_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--concurrency is '"):
        parse_concurrency(text)


@pytest.mark.parametrize("text", ["0", "fast", "1:2:3", "-5", "nan", "inf", "5:"])
def test_rates_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--rate is '"):
        parse_rate(text)


# What is asked


def test_a_mix_is_drawn_by_its_weights() -> None:
    asks = parse_mix(["photos=3", "photos:grad_cam+lime"])
    assert asks == (Ask("photos", "predict", 3.0), Ask("photos", "grad_cam+lime", 1.0))
    assert [ask.methods for ask in asks] == ["", "grad_cam,lime"]
    rng = np.random.default_rng(1)
    drawn = [draw(asks, rng) for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.06)  # six deviations


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photos=none"], "not a positive number"),
        (["photos=-1"], "not a positive number"),
        ([":lime"], "form MODEL:METHOD=WEIGHT"),
        (["photos:lime+"], "form MODEL:METHOD=WEIGHT"),
        (["photos", "photos:predict"], "stands twice"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_mix(words)


# What came of it


def test_figures_are_of_the_answered_and_count_from_when_they_were_due() -> None:
    rng = np.random.default_rng(1)
    samples = Samples()
    due = np.sort(rng.uniform(0, 10, 1000))
    late, service = rng.exponential(0.01, 1000), rng.exponential(0.05, 1000)
    for at, wait, work in zip(due, late, service, strict=True):
        samples.add(Sample(0, at, at + wait, at + wait + work, OK, "miss"))
    samples.add(Sample(0, 1.0, 1.0, 99.0, "overloaded", ""))
    samples.add(Sample(1, 2.0, 50.0, 50.0, NOT_SENT, ""))
    total = of_all(samples.columns())
    assert (total.n_due, total.n_ok) == (1002, 1000)
    assert total.failures == {"overloaded": 1, NOT_SENT: 1}
    assert total.cache == {"miss": 1000}
    latency = 1e3 * (late + service)
    for percentile in PERCENTILES:
        found = total.percentiles_ms[percentile]
        assert (latency <= found * (1 + 1e-9)).mean() >= percentile / 100
        assert np.isclose(latency, found).any()  # one that was measured
    assert total.max_ms == pytest.approx(latency.max())
    assert total.rate == pytest.approx(1000 / (due + late + service).max())
    first, second = by_ask(samples.columns(), parse_mix(["a", "b"]))
    assert (first.n_due, second.n_due, second.n_ok) == (1001, 1, 0)
    moments = timeline(samples.columns())
    assert sum(moment.rate for moment in moments) == 1000
    assert sum(moment.failed for moment in moments) == 2


# The command


def test_a_closed_loop_counts_every_request_once(server: Server) -> None:
    before = _served(server, SMALL)
    report = load(server, "--mix", SMALL, "--concurrency", "1,3", "--seconds", "0.5")
    assert [stage["name"] for stage in report["stages"]] == ["1 caller", "3 callers"]
    totals = [stage["total"] for stage in report["stages"]]
    assert all(total["n_ok"] == total["n_due"] > 0 for total in totals)
    assert all(0 < total["p50_ms"] <= total["p99_ms"] <= total["max_ms"] for total in totals)
    # and the one before the stages
    assert _served(server, SMALL) - before == 1 + sum(total["n_ok"] for total in totals)


def test_new_rows_miss_the_cache_and_repeated_ones_hit_it(server: Server) -> None:
    mix = ("--mix", f"{SMALL}:gradient", "--concurrency", "1", "--seconds", "2")
    seed = str(np.random.default_rng().integers(2**31))
    new = load(server, *mix, "--seed", seed)["stages"][0]["total"]
    assert new["cache"] == {"miss": new["n_ok"]}
    repeated = load(server, *mix, "--seed", seed + "1", "--repeat", "2")["stages"][0]["total"]
    assert repeated["cache"]["hit"] == repeated["n_ok"] - repeated["cache"].get("miss", 0) > 0
    assert repeated["cache"].get("miss", 0) <= 1  # the other of the two was sent before
    bypassed = load(server, *mix, "--repeat", "1", "--cache", "bypass")["stages"][0]["total"]
    assert bypassed["cache"] == {"bypass": bypassed["n_ok"]}


def test_a_mix_of_kinds_goes_to_each_and_is_reported(server: Server, tmp_path: Path) -> None:
    kinds = [f"{SMALL}=2", "sentences:gradient", "photos:grad_cam+gradient"]
    done = candor(
        "load", "--server", server.grpc_target, "--mix", *kinds, "--rate", "20:40,30", "--steady",
        "--seconds", "1.5", "--out", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "20/s to 40/s" in done.stdout
    report = json.loads((tmp_path / "load.json").read_text())
    assert [stage["total"]["n_due"] for stage in report["stages"]] == [45, 45]
    for stage in report["stages"]:
        assert sum(kind["n_due"] for kind in stage["kinds"]) == 45
        assert sum(second["rate"] for second in stage["seconds"]) == stage["total"]["n_ok"]
    page = (tmp_path / "load.html").read_text()
    charts = [chart + "</svg>" for chart in page.split("</svg>")[:-1]]
    assert len(charts) == 4
    for chart in charts:
        drawing = ElementTree.fromstring(chart[chart.index("<svg") :])  # noqa: S314 - our own
        lines = drawing.findall("{http://www.w3.org/2000/svg}polyline")
        assert lines
        points = [point.split(",") for line in lines for point in line.attrib["points"].split()]
        assert all(0 <= float(x) <= 560 and 0 <= float(y) <= 290 for x, y in points)
    assert all(name in page for name in (f"{SMALL}:predict", "photos:grad_cam+gradient"))


def test_rows_of_the_users_are_sent(server: Server, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 2), np.float32))
    done = candor(
        "load", "--server", server.grpc_target, "--mix", SMALL, "--seconds", "0.2",
        str(tmp_path / "x.npy"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "it has 2 axes, not 3" in done.stderr  # what the model says of rows of this shape
    report = load(server, "--mix", "sentences", "--seconds", "1", "--text", "Not bad.")
    assert report["stages"][0]["total"]["n_ok"] > 0


def test_what_a_busy_service_refuses_is_counted(tmp_path: Path) -> None:
    environ = {"CANDOR_EXPLAIN_QUEUE": "1", "CANDOR_WORKERS": "1"}
    with running(tmp_path, environ=environ) as tight:
        mix = ("--mix", "digits-lenet:lime", "--seconds", "1.5")
        report = load(tight, *mix, "--rate", "2000", "--max-under-way", "6")
        total = report["stages"][0]["total"]
        assert total["failures"].get("overloaded", 0) > 0
        assert total["n_due"] == total["n_ok"] + sum(total["failures"].values())


def test_one_that_cannot_be_answered_ends_the_test_at_once(server: Server) -> None:
    done = candor("load", "--server", server.grpc_target, "--mix", SMALL, "fotos")
    assert done.returncode == 1
    assert "fotos" in done.stderr
    done = candor("load", "--server", server.grpc_target, "--mix", f"{SMALL}:shap")
    assert done.returncode == 1
    assert "shap" in done.stderr
    done = candor("load", "--server", server.grpc_target, "--mix", SMALL, "--seconds", "0")
    assert done.returncode == 2
    assert "--seconds is 0.0" in done.stderr


def test_broken_off_it_reports_what_it_has(server: Server) -> None:
    before = _served(server, SMALL)
    with subprocess.Popen(
        # Who runs the tests in the background may have SIGINT ignored, by all that they start.
        ["/usr/bin/env", "--default-signal=INT", sys.executable, "-m", "candor", "load",
         "--server", server.grpc_target, "--mix", SMALL, "--seconds", "600", "--json"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "service")},
    ) as process:  # fmt: skip
        while _served(server, SMALL) < before + 20 and process.poll() is None:
            pass
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    (stage,) = json.loads(output)["stages"]
    assert stage["total"]["n_ok"] >= 10


def _served(server: Server, model: str) -> int:
    prefix = f'candor_requests_total{{code="OK",method="predict",model="{model}"'
    lines = get(f"{server.metrics_url}/metrics").text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(prefix))
