"""Bodies that somebody else made wrong, over HTTP: whatever comes in, no answer is a 500.

Each case is a good document with some of its values, or its bytes, changed at random. The seed is
printed with a failure; `CANDOR_MUTATIONS=10000` asks for more cases.
"""

import gzip
import json
import os
import random
from collections import Counter

CASES = int(os.environ.get("CANDOR_MUTATIONS", "200"))
JUNK = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, -0.0),
    *(float("nan"), float("inf"), "", "x", "\ud800", "é" * 50, "1", "-1", "1e9", "\0"),
    *("candor.lime", "lime", "grad_cam", [], [[]], [1, [2]], {}, [None], [0] * 20),
    *({"b64": "AA=="}, {"b64": 3}),
)
NAMES = (
    *("candor.explain", "candor.target", "candor.targets", "candor.seed", "candor.budget_ms"),
    *("candor.lime.n_samples", "candor.lime.segments", "timeout", "priority", "x", "b64"),
    *("binary_data", "binary_data_output", "binary_data_size", "classification"),
    *("shared_memory_region", "\ud800"),
)
HEADERS = {
    "inference-header-content-length": ("0", "1", "40", "99999999999", "-1", "x"),
    "content-encoding": ("gzip", "deflate", "br", "identity"),
    "content-type": ("application/proto", "text/plain", ""),
    "connect-timeout-ms": ("1", "0", "-1", "99999999999", "1000"),
}
TEXT = {"name": "tokens", "shape": [1], "datatype": "BYTES", "data": ["a film"], "parameters": {}}
RECORD = {"name": "record", "shape": [1, 14], "datatype": "FP32", "data": [0.5] * 14}
EXPLAIN = {"candor.explain": "gradient,lime", "candor.lime.n_samples": 10, "candor.target": 0}
TYPED = {
    "model": "sentences",
    "version": "1",
    "input": {"texts": {"texts": ["a film"]}},
    "methods": [{"gradient": {"timesInput": True}}, {"lime": {"nSamples": "10", "seed": "3"}}],
    "targets": [{"targets": [{"index": 1}]}],
    "explained": "EXPLAINED_SCORE",
    "budgetMs": 50,
    "outputs": ["logits"],
}
OUTPUTS = [{"name": "logits", "parameters": {"classification": 2, "binary_data": False}}]
GOODS = (
    ("/v2/models/sentences/infer",
     {"id": "a", "inputs": [TEXT], "outputs": OUTPUTS, "parameters": EXPLAIN}),
    ("/v2/models/adult-mlp/infer", {"inputs": [RECORD], "parameters": EXPLAIN}),
    ("/v1/models/sentences:explain", {"instances": ["a film", "bad"], "parameters": EXPLAIN}),
    ("/v1/models/adult-mlp:explain", {"instances": [[0.1] * 14] * 2, "parameters": EXPLAIN}),
    ("/v1/models/photos:predict", {"instances": [{"b64": "AAAA"}]}),
    ("/candor.v1.ExplanationService/Explain", TYPED),
    ("/candor.v1.ExplanationService/Estimate", {"explain": TYPED}),
    ("/v2/repository/index", {"ready": True}),
    ("/v2/repository/models/adult-mlp/load", {"parameters": {"config": "{}"}}),
)  # fmt: skip


def mutated(value, rng):
    """The value with some of what is in it changed."""
    if rng.random() < 0.12:
        return rng.choice(JUNK)
    if isinstance(value, dict):
        changed = {name: mutated(inner, rng) for name, inner in value.items()}
        if changed and rng.random() < 0.08:
            changed.pop(rng.choice(list(changed)))
        if rng.random() < 0.08:
            changed[rng.choice(NAMES)] = rng.choice(JUNK)
        return changed
    if isinstance(value, list):
        changed = [mutated(inner, rng) for inner in value]
        return changed[: len(changed) - (rng.random() < 0.05)] + changed[: rng.random() < 0.05]
    return value


def sent(document, rng):
    """Body and headers of a request that may be wrong in any way."""
    for _ in range(rng.randrange(3)):
        document = mutated(document, rng)
    body, headers = bytearray(json.dumps(document).encode()), {"content-type": "application/json"}
    kind = rng.random()
    if kind < 0.1:
        for _ in range(3):
            body[rng.randrange(len(body))] = rng.randrange(256)
    elif kind < 0.15:
        del body[rng.randrange(len(body)) :]
    elif kind < 0.3:
        name = rng.choice(list(HEADERS))
        headers[name] = rng.choice(HEADERS[name])
        body += bytes(rng.randrange(20))
    elif kind < 0.35:
        body, headers["content-encoding"] = gzip.compress(body), "gzip"
    return bytes(body), headers


def test_no_body_is_answered_with_a_defect(web):
    seed = int(os.environ.get("CANDOR_SEED", random.SystemRandom().randrange(2**32)))
    rng = random.Random(seed)
    seen = Counter()
    for case in range(CASES):
        path, good = rng.choice(GOODS)
        body, headers = sent(good, rng)
        answer = web.post(path, content=body, headers=headers)
        seen[answer.status_code] += 1
        where = f"CANDOR_SEED={seed}, case {case}: {path} {headers} {body[:300]!r} {answer.text}"
        # 501 is what Connect has for a compression that is not known.
        assert answer.status_code < 500 or answer.status_code in (501, 503, 504), where
        if answer.status_code >= 400 and answer.status_code != 415:
            said = answer.json()
            assert len(said.get("error") or said["message"]) > 8, where
    assert seen[200] > CASES / 20  # or else nothing got past the first check
    assert seen[400] > CASES / 20
    assert web.get("/v2/health/ready").status_code == 200
