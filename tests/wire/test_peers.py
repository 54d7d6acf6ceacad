import pytest

from candor.engine.deadline import Deadline
from candor.engine.share import DEFAULT_PRIORITY, NOBODY, Share
from candor.errors import InvalidOption
from candor.wire.call import Call
from candor.wire.callers import Caller
from candor.wire.oip_requests import prioritised
from candor.wire.peers import grpc_share, share_at


@pytest.mark.parametrize(
    ("peer", "caller", "connection"),
    [
        ("ipv4:10.0.0.7:5123", "10.0.0.7", "5123"),
        ("ipv6:[::1]:5123", "::1", "5123"),
        ("ipv6:%5Bfe80::1%25eth0%5D:7", "fe80::1%eth0", "7"),
        ("ipv6:%5B::ffff:10.0.0.7%5D:5123", "10.0.0.7", "5123"),
        ("unix:/run/candor.sock", "unix:/run/candor.sock", ""),
        ("unix:", "unix:", ""),
        ("", "", ""),
    ],
)
def test_a_peer_is_its_host_and_its_port_tells_connections_apart(peer, caller, connection):
    assert grpc_share(peer) == Share(caller, connection)


def test_one_host_is_one_caller_over_both_protocols():
    assert share_at("10.0.0.7", 80).caller == grpc_share("ipv4:10.0.0.7:5123").caller
    assert share_at("::ffff:10.0.0.7", 80).caller == "10.0.0.7"


def test_a_key_counts_for_more_than_the_host():
    call = Call("r", Deadline(), Share("10.0.0.7", "5123", 1))
    assert call.share == Share("10.0.0.7", "5123", 1)
    call.caller = Caller("team-a")
    assert call.share == Share("key team-a", "5123", 1)


@pytest.mark.parametrize(
    ("given", "expected"), [({}, DEFAULT_PRIORITY), ({"priority": 0}, DEFAULT_PRIORITY),
                            ({"priority": 1}, 1), ({"priority": "3"}, 3)]
)  # fmt: skip
def test_priority_is_the_protocol_s(given, expected):
    assert prioritised(NOBODY, given).priority == expected


@pytest.mark.parametrize("priority", [-1, "high", 1.5, True, "1" * 30])
def test_a_priority_that_is_none_is_refused(priority):
    with pytest.raises(InvalidOption, match="priority is"):
        prioritised(NOBODY, {"priority": priority})
