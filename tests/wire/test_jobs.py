"""Jobs over gRPC, over Connect, by both clients and by the command line."""

import json
import threading
import time
from shutil import copytree

import grpc
import numpy as np
import pytest
from google.protobuf import json_format

from candor import errors
from candor.client import AsyncClient, Client
from candor.v1 import explanation_pb2, job_pb2
from candor.v1.explanation_pb2_grpc import ExplanationServiceStub
from candor.v1.job_pb2_grpc import JobServiceStub
from cli.running import candor
from secured.conftest import KEYS, MODEL, bearer, keys_text, until
from serving import REPOSITORY, running

TEXT = "a film of quiet moments and one very loud ending"
LONG = [{"integrated_gradients": {"n_steps": 10_000}}]


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc_target) as found:
        yield found


@pytest.fixture(scope="module")
def jobs(channel):
    return JobServiceStub(channel)


def submission(job_id="", n_steps=300, text=TEXT, **changes):
    request = job_pb2.SubmitJobRequest(id=job_id)
    request.explain.model = "sentences"
    request.explain.input.texts.texts.append(text)
    request.explain.methods.add().integrated_gradients.n_steps = n_steps
    request.explain.methods.add().gradient.SetInParent()
    json_format.ParseDict(changes, request.explain)
    return request


def same(response):
    """What does not depend on when it was computed."""
    copy = explanation_pb2.ExplainResponse.FromString(response.SerializeToString())
    copy.timings_s.clear()
    for attribution in copy.attributions:
        attribution.ClearField("cache_status")
    return copy.SerializeToString(deterministic=True)


def test_the_answer_is_explains_byte_for_byte(jobs, channel):
    request = submission(text="computed by the job", outputs=["logits"], render={})
    job = jobs.SubmitJob(request).job
    assert job.state == job_pb2.JOB_STATE_QUEUED
    assert list(job.methods) == ["integrated_gradients", "gradient"]
    got = jobs.GetJob(job_pb2.GetJobRequest(id=job.id, wait_ms=60_000))
    assert got.job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert got.job.progress == 1
    times = [got.job.submitted, got.job.started, got.job.ended, got.job.expires]
    assert [t.ToNanoseconds() for t in times] == sorted(t.ToNanoseconds() for t in times)
    answer = ExplanationServiceStub(channel).Explain(request.explain)
    assert [a.cache_status for a in got.answer.attributions] == [
        explanation_pb2.CACHE_STATUS_MISS
    ] * 2
    assert [a.cache_status for a in answer.attributions] == [explanation_pb2.CACHE_STATUS_HIT] * 2
    assert same(got.answer) == same(answer)
    assert not jobs.GetJob(job_pb2.GetJobRequest(id=job.id, omit_answer=True)).HasField("answer")


def test_any_connection_watches_it_and_the_last_message_is_its_end(jobs, server):
    job = jobs.SubmitJob(submission(n_steps=3000)).job
    first = next(iter(jobs.WatchJob(job_pb2.WatchJobRequest(id=job.id))))
    assert first.job.id == job.id
    with grpc.insecure_channel(server.grpc_target) as other:
        news = list(JobServiceStub(other).WatchJob(job_pb2.WatchJobRequest(id=job.id)))
    assert [each.job.state for each in news[:-1]] == sorted(each.job.state for each in news[:-1])
    assert news[-1].job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert len(news[-1].answer.attributions) == 2
    assert not any(each.HasField("answer") for each in news[:-1])


def test_submitted_twice_it_is_one_job(jobs):
    first, second = (jobs.SubmitJob(submission("twice")).job for _ in range(2))
    assert first.submitted == second.submitted
    with pytest.raises(grpc.RpcError) as caught:
        jobs.SubmitJob(submission("twice", text="another"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "'twice' was submitted before" in caught.value.details()


@pytest.mark.parametrize(
    ("method", "request_", "code", "says"),
    [
        ("GetJob", job_pb2.GetJobRequest(id="none"), "NOT_FOUND", "no job 'none'"),
        ("CancelJob", job_pb2.CancelJobRequest(id="none"), "NOT_FOUND", "no job 'none'"),
        ("GetJob", job_pb2.GetJobRequest(id="x" * 500), "NOT_FOUND", "no job"),
        ("SubmitJob", submission("a b"), "INVALID_ARGUMENT", "1 to 64 letters"),
        ("SubmitJob", job_pb2.SubmitJobRequest(), "NOT_FOUND", "model"),
        ("SubmitJob", submission(explain_if="x<1"), "INVALID_ARGUMENT", "explain_if"),
        ("ListJobs", job_pb2.ListJobsRequest(limit=-1), "INVALID_ARGUMENT", "1 to 1000"),
        ("ListJobs", job_pb2.ListJobsRequest(limit=1001), "INVALID_ARGUMENT", "limit is 1001"),
    ],
)
def test_what_is_wrong_is_told_at_once(jobs, method, request_, code, says):
    with pytest.raises(grpc.RpcError) as caught:
        getattr(jobs, method)(request_)
    assert caught.value.code().name == code
    assert says in caught.value.details()


@pytest.mark.parametrize("wait_ms", [-1.0, float("nan"), float("inf"), 60_001.0])
def test_a_wait_that_is_none_is_named(jobs, wait_ms):
    job = jobs.SubmitJob(submission()).job
    with pytest.raises(grpc.RpcError) as caught:
        jobs.GetJob(job_pb2.GetJobRequest(id=job.id, wait_ms=wait_ms))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "wait_ms" in caught.value.details()


def test_what_only_the_work_can_tell_is_the_jobs_error(client):
    job = client.submit("sentences", ["gradient"], texts=[TEXT], targets="no such class")
    with pytest.raises(errors.InvalidTarget, match="no such class"):
        job.wait(60)
    assert (job.state, type(job.status.error)) == ("failed", errors.InvalidTarget)
    assert job.status.done


def test_over_connect_in_json(web):
    service = "/candor.v1.JobService"
    asked = json_format.MessageToDict(submission("connect"))
    taken = web.post(f"{service}/SubmitJob", json=asked)
    assert taken.status_code == 200
    got = web.post(f"{service}/GetJob", json={"id": "connect", "waitMs": 60_000}).json()
    assert got["job"]["state"] == "JOB_STATE_SUCCEEDED"
    assert len(got["answer"]["attributions"]) == 2
    listed = web.post(f"{service}/ListJobs", json={}).json()["jobs"]
    assert "connect" in [job["id"] for job in listed]
    stopped = web.post(f"{service}/CancelJob", json={"id": "connect"}).json()
    assert stopped["job"]["state"] == "JOB_STATE_SUCCEEDED"  # it had ended
    missing = web.post(f"{service}/GetJob", json={"id": "none"})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def rows_run(web_metrics):
    lines = web_metrics().splitlines()
    found = [line for line in lines if line.startswith("candor_model_calls_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in found if '"sentences"' in line)


def test_the_client_submits_finds_and_cancels(client, server, web):
    def metrics():
        return web.get(f"{server.metrics_url}/metrics").text

    before = rows_run(metrics)
    job = client.submit("sentences", LONG, texts=[TEXT] * 100, cache="bypass", job_id="cancelled")
    with Client(server.grpc_target) as other:
        found = other.job("cancelled")
        until(lambda: found.refresh().progress > 0)
        assert found.partial()[0].method == "integrated_gradients"
        with pytest.raises(errors.DeadlineExceeded, match="it goes on, and can be waited for"):
            found.wait(0.05)
        assert found.cancel().state == "cancelled"
    with pytest.raises(errors.Cancelled, match="the job was cancelled"):
        job.wait(60)
    assert job.progress < 1
    until(lambda: 'candor_inflight{class="bulk"} 0' in metrics())
    ran = rows_run(metrics)
    # The slices that ran may still end; the whole would be 1 000 000 rows.
    client.explain("sentences", ["gradient"], texts=[TEXT], cache="bypass")
    assert rows_run(metrics) - ran < 10_000
    assert ran - before < 900_000
    assert repr(job).startswith("Job('cancelled', cancelled, ")
    assert "cancelled" in [each.id for each in client.jobs()]
    assert [each.id for each in client.jobs(limit=1)] != []


async def test_the_asynchronous_client_does_the_same(server):
    async with AsyncClient(server.grpc_target) as client:
        seen = []
        job = await client.submit("sentences", [*LONG, "gradient"], texts=[TEXT], budget_ms=600)
        answer = await job.wait(60, on_progress=seen.append)
        again = await (await client.job(job.id)).wait(60)
        assert [each.method for each in answer.answers] == ["integrated_gradients", "gradient"]
        np.testing.assert_array_equal(again.of("gradient").values, answer.of("gradient").values)
        assert all(status.state in ("queued", "running") for status in seen)
        assert (await job.refresh()).progress == 1
        assert await job.partial() == ()
        assert (await job.cancel()).state == "succeeded"
        assert job.id in [each.id for each in await client.jobs()]
        with pytest.raises(errors.NotFound):
            await client.job("none")


def test_the_command_line_lists_waits_and_cancels(client, server):
    job = client.submit("sentences", ["gradient"], texts=["for the command line"])
    job.wait(60)
    where = ("--server", server.grpc_target)
    one = candor("jobs", job.id, "--wait", "--json", *where)
    assert one.returncode == 0, one.stderr
    assert json.loads(one.stdout)[0] | {"expires": None} == {
        "id": job.id,
        "state": "succeeded",
        "progress": 1.0,
        "model": {"name": "sentences", "version": "1", "digest": job.status.model.digest},
        "methods": ["gradient"],
        "submitted": job.status.submitted.isoformat(),
        "started": job.status.started.isoformat(),
        "ended": job.status.ended.isoformat(),
        "expires": None,
        "error": None,
    }
    long = client.submit("sentences", LONG, texts=[TEXT] * 100, cache="bypass")
    stopped = candor("jobs", long.id, "--cancel", *where)
    assert "cancelled" in stopped.stdout
    listed = candor("jobs", *where)
    assert job.id in listed.stdout
    assert long.id in listed.stdout


# A server with keys, and with narrow limits ---------------------------------------------------


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    copytree(REPOSITORY / MODEL, folder / "models" / MODEL)
    copytree(REPOSITORY / MODEL, folder / "models" / "copy")
    (folder / "keys.toml").write_text(keys_text())
    environ = {
        "CANDOR_API_KEYS_FILE": str(folder / "keys.toml"),
        "CANDOR_JOB_LIMIT": "2",
        "CANDOR_WORKERS": "1",
        "CANDOR_JOB_MEMORY_BYTES": "200000",
    }
    with running(folder, folder / "models", environ) as server:
        yield server


def digits(n=1, seed=0):
    return {"image": np.random.default_rng(seed).normal(size=(n, 1, 28, 28)).astype(np.float32)}


def test_tenants_and_keys_see_their_own_jobs_only(keyed):
    def connected(name):
        return Client(keyed.grpc_target, api_key=KEYS[name], attempts=1)

    with connected("all") as owner, connected("one") as one, connected("twin") as twin:
        mine = owner.submit(MODEL, ["gradient"], tensors=digits(), job_id="job")
        mine.wait(60)
        for stranger in (one, twin):
            assert stranger.jobs() == ()
            with pytest.raises(errors.NotFound, match="no job 'job'"):
                stranger.job("job")
        theirs = twin.submit(MODEL, ["gradient"], tensors=digits(seed=1), job_id="job")
        theirs.wait(60)
        hidden = twin.submit("copy", ["gradient"], tensors=digits(), job_id="copy")
        hidden.wait(60)
        # One tenant, but this key may use one model only.
        assert [job.id for job in one.jobs()] == ["job"]
        assert one.job("job").wait(60).prediction.model.name == MODEL
        for ask in (one.job, lambda job_id: type(hidden)(one._jobs, one._metadata, hidden.status)
                    .cancel()):  # fmt: skip
            with pytest.raises(errors.NotFound, match="no job 'copy'"):
                ask("copy")
        assert {job.id for job in twin.jobs()} == {"job", "copy"}
        assert mine.refresh().submitted != theirs.refresh().submitted


def test_who_shows_no_key_is_told_nothing(keyed, web):
    address = f"{keyed.http_url}/candor.v1.JobService/ListJobs"
    assert web.post(address, json={}).status_code == 401
    assert web.post(address, json={}, headers=bearer("all")).status_code == 200


def test_over_its_limits_a_server_refuses_with_a_hint(keyed):
    methods = [{"integrated_gradients": {"n_steps": 10_000}}]
    with Client(keyed.grpc_target, api_key=KEYS["all"], attempts=1) as client:
        taken = [
            client.submit(MODEL, methods, tensors=digits(16, seed), cache="bypass")
            for seed in range(2)
        ]
        with pytest.raises(errors.Overloaded, match="job_limit, 2") as caught:
            client.submit(MODEL, methods, tensors=digits(16, 9), cache="bypass")
        assert caught.value.retry_after_s == 5.0
        with Client(keyed.grpc_target, api_key=KEYS["twin"], attempts=1) as other:
            with pytest.raises(errors.Overloaded, match="job_memory_bytes, 200000"):
                other.submit(MODEL, ["gradient"], tensors=digits(80))
            assert other.submit(MODEL, ["gradient"], tensors=digits(1, 5)).id
        for job in taken:
            assert job.cancel().state == "cancelled"


def test_a_key_with_a_limit_has_no_more_jobs_at_a_time(keyed):
    methods = [{"integrated_gradients": {"n_steps": 10_000}}]
    with Client(keyed.grpc_target, api_key=KEYS["narrow"], attempts=1) as client:
        first = client.submit(MODEL, methods, tensors=digits(16, 20), cache="bypass")
        second = client.submit(MODEL, methods, tensors=digits(16, 21), cache="bypass")
        until(lambda: first.refresh().state == "running")
        assert second.refresh().state == "queued"
        first.cancel()
        second.cancel()


def test_waiting_outlives_the_server_that_was_asked(tmp_path):
    """A client that waits is told within a bounded number of attempts that nobody answers."""
    models = tmp_path / "models"
    copytree(REPOSITORY / MODEL, models / MODEL)
    methods = [{"integrated_gradients": {"n_steps": 10_000}}]
    with running(tmp_path, models) as server, Client(server.grpc_target, attempts=1) as client:
        job = client.submit(MODEL, methods, tensors=digits(50), cache="bypass")
        ends = []

        def wait():
            began = time.monotonic()
            with pytest.raises(errors.DeadlineExceeded):
                job.wait(3)
            ends.append(time.monotonic() - began)

        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: client.job(job.id).state == "running")
        server.process.kill()
        waiting.join()
    assert ends[0] >= 3
