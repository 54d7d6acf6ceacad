"""One table from errors to status codes, complete over the tree."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from candor import errors
from candor.client.failures import translating
from candor.wire.status import STATUS, details_of, status_of, trailers_of


def tree(root):
    return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]


ARGUMENTS = {
    errors.Overloaded: ("the queue is full", 1.25),
    errors.UnsupportedOperator: ("Foo", "node", "no rule"),
}


def translated(error):
    """What a caller of our client gets to see."""
    with pytest.raises(errors.CandorError) as found, translating():
        raise error
    return found.value


def example(kind):
    return kind(*ARGUMENTS.get(kind, ("something is wrong",)))


def rich(error):
    status = status_pb2.Status.FromString(
        dict(trailers_of(error, "id-1"))["grpc-status-details-bin"]
    )
    by_name = {detail.TypeName().rpartition(".")[2]: detail for detail in status.details}
    return status, by_name


@pytest.mark.parametrize("kind", tree(errors.CandorError))
def test_every_error_of_the_tree_has_a_row(kind):
    status = status_of(example(kind))
    assert status.code is not StatusCode.OK
    assert 400 <= status.http < 600


def test_every_row_has_an_error():
    assert set(STATUS) == {kind.kind for kind in tree(errors.CandorError)}


@pytest.mark.parametrize(
    ("error", "code", "http"),
    [
        (errors.InvalidTarget("x"), StatusCode.INVALID_ARGUMENT, 400),
        (errors.NotFound("x"), StatusCode.NOT_FOUND, 404),
        (errors.UnsupportedOperator("a", "b", "c"), StatusCode.FAILED_PRECONDITION, 422),
        (errors.TooLarge("x"), StatusCode.RESOURCE_EXHAUSTED, 413),
        (errors.Overloaded("x", 1), StatusCode.RESOURCE_EXHAUSTED, 429),
        (errors.Unavailable("x"), StatusCode.UNAVAILABLE, 503),
        (errors.InternalError("x"), StatusCode.INTERNAL, 500),
    ],
)
def test_the_codes_are_those_of_the_contract(error, code, http):
    assert (status_of(error).code, status_of(error).http) == (code, http)


def test_an_internal_error_tells_the_request_id_and_nothing_else():
    error = errors.InternalError("secret path /etc")
    assert details_of(error, "id-1").endswith("id-1")
    assert b"secret" not in b"".join(
        value if isinstance(value, bytes) else value.encode()
        for _, value in trailers_of(error, "id-1")
    )
    assert "secret" not in details_of(error, "id-1")


def test_overload_carries_the_hint_when_to_come_back():
    error = errors.Overloaded("full", 1.2501)
    assert ("grpc-retry-pushback-ms", "1251") in trailers_of(error, "id-1")
    retry = error_details_pb2.RetryInfo()
    assert rich(error)[1]["RetryInfo"].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1251


def test_rich_details_say_what_was_wrong_with_the_request():
    status, details = rich(errors.InvalidOption("n_samples is 0"))
    assert status.code == StatusCode.INVALID_ARGUMENT.value[0]
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert details["ErrorInfo"].Unpack(info)
    assert (info.domain, info.reason, info.metadata["error"]) == (
        "candor",
        "INVALID_ARGUMENT",
        "InvalidOption",
    )
    assert details["BadRequest"].Unpack(bad)
    assert bad.field_violations[0].description == "n_samples is 0"
    assert "BadRequest" not in rich(errors.NotFound("x"))[1]


@pytest.mark.parametrize("text", ["a" * 100_000, "ä" * 100_000, "\U0001f600" * 100_000])
def test_a_long_message_is_cut_to_what_a_caller_can_take(text):
    error = errors.InvalidInput(text)
    message = details_of(error, "id-1")
    on_the_wire = len(message) if message.isascii() else 3 * len(message.encode())
    details = dict(trailers_of(error, "id-1"))["grpc-status-details-bin"]
    assert on_the_wire + len(details) * 4 / 3 < 7500
    assert message.endswith("...")


class Failed(grpc.RpcError):
    """What a client sees of an error, without the network between."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def code(self):
        return status_of(self.error).code

    def details(self):
        return details_of(self.error, "id-1")

    def trailing_metadata(self):
        return trailers_of(self.error, "id-1")


@pytest.mark.parametrize("kind", tree(errors.CandorError))
def test_the_client_gives_every_error_its_type_and_message_back(kind):
    error = example(kind)
    again = translated(Failed(error))
    expected = errors.Unsupported if kind is errors.UnsupportedOperator else kind
    assert type(again) is expected
    assert again.message == details_of(error, "id-1")
    assert again.kind == error.kind


def test_the_client_gives_the_retry_hint_back():
    assert translated(Failed(errors.Overloaded("full", 1.25))).retry_after_s == 1.25
