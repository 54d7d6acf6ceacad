"""KServe's own clients, unmodified, in their own process, over gRPC and over REST.

They bring a web framework and a cluster's client along: `make test-kserve` installs them apart.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.kserve

Report = dict[str, Any]


@pytest.fixture(scope="module")
def report(session: Callable[[str], Report]) -> Report:
    return session("kserve_session.py")


def test_both_say_that_the_server_is_ready(report: Report) -> None:
    for way in ("grpc", "rest"):
        assert [report[way][key] for key in ("live", "ready")] == [True, True]
    assert report["grpc"]["model_ready"] is True
    assert report["rest"]["model_ready"] == [True, True]


def test_all_three_protocols_answer_alike(report: Report) -> None:
    logits = np.array(report["grpc"]["logits"])
    assert logits.shape == (2, 50)
    np.testing.assert_array_equal(report["rest"]["logits"], logits)
    np.testing.assert_allclose(report["rest"]["predictions"], logits, rtol=1e-6)


def test_explanations_are_asked_for_by_parameters_and_by_the_verb(report: Report) -> None:
    assert report["grpc"]["gradient"] == [2, 64, 64]
    assert report["rest"]["explained"] == [["grad_cam"], ["grad_cam"]]


def test_load_and_unload_speak_its_dialect(report: Report) -> None:
    assert report["grpc"]["loaded"] == ["photos", True, "photos", True]
