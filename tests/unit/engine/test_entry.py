import json
import struct

import numpy as np
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from candor.engine import sealed
from candor.engine.digest import SCHEMA
from candor.engine.entry import Entry, Malformed, decode, encode, entry_bytes
from candor.result import Attribution, Scores
from unit.engine.builders import SECRET

KEY = "k" * 64


def built(**changes) -> Entry:
    """An entry as an explanation of a picture makes it."""
    rng = np.random.default_rng(3)
    values = changes.pop("values", rng.normal(size=(8, 9)).astype(np.float32))
    trust = changes.pop("trust", {"method": "lime", "figures": {"r2": 0.5}, "warnings": ["née"]})
    segments = changes.pop("segments", rng.integers(0, 5, (8, 9)).astype(np.int32))
    outputs = changes.pop("outputs", {"logits": rng.normal(size=(1, 4)).astype(np.float32)})
    scores = changes.pop("scores", Scores(np.ones((1, 4), "f4"), np.full((1, 4), 0.25, "f4")))
    assert not changes
    return Entry(Attribution("lime", values, trust, segments), outputs, scores)


def same(one: Entry, other: Entry) -> bool:
    """Equality, arrays and all."""
    return (
        one.attribution.method == other.attribution.method
        and one.attribution.trust == other.attribution.trust
        and _equal(one.attribution.values, other.attribution.values)
        and _equal(one.attribution.segments, other.attribution.segments)
        and one.outputs.keys() == other.outputs.keys()
        and all(_equal(one.outputs[name], other.outputs[name]) for name in one.outputs)
        and (one.scores is None) == (other.scores is None)
        and (one.scores is None or _equal(one.scores.score, other.scores.score))
        and (one.scores is None or _equal(one.scores.probability, other.scores.probability))
    )


def _equal(one, other) -> bool:
    if one is None or other is None:
        return one is other
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


@pytest.mark.parametrize(
    "entry",
    [
        built(),
        built(segments=None, scores=None, outputs={}),
        built(
            outputs={
                "values": np.zeros((1, 2), "i8"),
                "score": np.ones((1,), bool),
                "": np.ones((1, 0)),
            }
        ),
        built(values=np.array([np.nan, np.inf, -0.0], np.float32)),
        built(trust={"deep": [[[None, True, 1.5, "x"]]]}),
    ],
)
def test_what_is_written_is_read_back(entry):
    data = encode(entry, KEY, SECRET)
    assert data is not None
    read = decode(data, KEY, SECRET)
    assert isinstance(read, Entry)
    assert same(read, entry)


def test_what_is_read_back_cannot_be_written_to():
    read = decode(encode(built(), KEY, SECRET), KEY, SECRET)
    with pytest.raises(ValueError, match="read-only"):
        read.attribution.values[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        read.scores.score[0] = 0


@pytest.mark.parametrize(
    "entry",
    [
        built(trust={"r2": float("nan")}),
        built(trust={"odd": object()}),
        built(outputs={"labels": np.array([["a"]], dtype=object)}),
        built(values=np.zeros((1,) * 9, np.float32)),
    ],
)
def test_what_the_format_cannot_hold_is_not_written(entry):
    assert encode(entry, KEY, SECRET) is None


def test_an_entry_over_the_limit_is_not_written(monkeypatch):
    monkeypatch.setattr(sealed, "MAX_BODY_BYTES", 100)
    assert encode(built(), KEY, SECRET) is None


def test_another_key_or_secret_makes_an_entry_worthless():
    data = encode(built(), KEY, SECRET)
    assert decode(data, "l" * 64, SECRET) == Malformed("forged")
    assert decode(data, KEY, bytes(32)) == Malformed("forged")


def test_another_schema_is_told_apart_from_garbage():
    data = bytearray(encode(built(), KEY, SECRET))
    data[4] ^= 1
    assert decode(bytes(data), KEY, SECRET) == Malformed("schema")
    data[0] ^= 1
    assert decode(bytes(data), KEY, SECRET) == Malformed("foreign")


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_entry_is_none(share):
    data = encode(built(), KEY, SECRET)
    assert isinstance(decode(data[: int(share * len(data))], KEY, SECRET), Malformed)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_byte_changed_anywhere_is_noticed(at, change):
    data = bytearray(encode(built(), KEY, SECRET))
    data[at % len(data)] ^= change
    assert isinstance(decode(bytes(data), KEY, SECRET), Malformed)


@given(st.binary(max_size=300))
@example(b"")
@example(b"CNDR")
@example(b"CNDR" + bytes(200))
def test_garbage_is_malformed_and_never_an_error(data):
    assert isinstance(decode(data, KEY, SECRET), Malformed)


# From here on the writer knows the secret: a defect, or a stranger in a Redis whose secret comes
# from the namespace's name.


def forge(plain: bytes, *, length: int | None = None, body: bytes | None = None) -> bytes:
    """Whatever body one likes, under a right MAC."""
    if body is None:
        body = zstandard.ZstdCompressor().compress(plain)
    head = struct.pack("<4sHHI", b"CNDR", SCHEMA, 0, length or len(plain))
    return head + sealed.mac(KEY, head, body, SECRET) + body


def plain_of(header: object, blobs: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(4, "little") + text + blobs


def described(**changes) -> dict:
    return {"method": "m", "trust": {}, "arrays": [[["values"], "<f4", [2]]]} | changes


def test_forge_can_make_a_sound_entry():
    assert isinstance(decode(forge(plain_of(described(), bytes(8))), KEY, SECRET), Entry)


VALUES = [["values"], "<f4", [2]]
SCORE, PROBABILITY = [["score"], "<f4", [1, 2]], [["probability"], "<f4", [1, 2]]


@pytest.mark.parametrize(
    ("header", "blobs"),
    [
        ([], b""),
        (None, b""),
        (b"\xff\xfe", b""),
        (b"[" * 100_000, b""),
        (b"9" * 10_000, b""),
        (described(arrays=[]), b""),
        (described(arrays=None), b""),
        (described(arrays=[VALUES]), bytes(7)),  # too few bytes
        (described(arrays=[VALUES]), bytes(9)),  # too many
        (described(arrays=[[["values"], "<f4", [-2]]]), b""),
        (described(arrays=[[["values"], "<f4", [2.0]]]), bytes(8)),
        (described(arrays=[[["values"], "<f4", [True, 2]]]), bytes(8)),
        (described(arrays=[[["values"], "<f4", [2**40, 2**40, 0]]]), b""),
        (described(arrays=[[["values"], "<f4", [0, 2**63]]]), b""),
        (described(arrays=[[["values"], "<f4", [1] * 100]]), bytes(4)),
        (described(arrays=[[["values"], "<f4", []]]), bytes(4)),  # a map has positions
        (described(arrays=[[["values"], "<f8", [1]]]), bytes(8)),  # of float32
        (described(arrays=[[["values"], "|O", [1]]]), bytes(8)),
        (described(arrays=[[["values"], ["<f4"], [1]]]), bytes(8)),
        (described(arrays=[[["values"], "<f4"]]), bytes(8)),
        (described(arrays=[VALUES, [["segments"], "<i8", [2]]]), bytes(24)),
        (described(arrays=[VALUES, [["output", "a"], "<f4", [2]]]), bytes(16)),  # [1, ...]
        (described(arrays=[VALUES, [["output"], "<f4", [1]]]), bytes(12)),
        (described(arrays=[VALUES, [["output", "a", "b"], "<f4", [1]]]), bytes(12)),
        (described(arrays=[VALUES, [["output", 7], "<f4", [1]]]), bytes(12)),
        (described(arrays=[VALUES, SCORE, [["probability"], "<f4", [1, 3]]]), bytes(28)),
        (
            described(arrays=[VALUES, [["score"], "<f4", [2]], [["probability"], "<f4", [2]]]),
            bytes(24),
        ),
        (described(method=7), bytes(8)),
        (described(trust=[]), bytes(8)),
        ({"method": "m", "arrays": [VALUES]}, bytes(8)),
    ],
)
def test_a_body_that_is_not_one_is_damaged(header, blobs):
    assert decode(forge(plain_of(header, blobs)), KEY, SECRET) == Malformed("damaged")


def test_a_decompression_bomb_is_not_decompressed():
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    assert len(bomb) < 1 << 20
    assert decode(forge(b"", length=1 << 28, body=bomb), KEY, SECRET) == Malformed("too_large")
    # a header that claims less than the frame holds
    assert decode(forge(b"", length=100, body=bomb), KEY, SECRET) == Malformed("too_large")


def test_a_frame_that_hides_its_size_is_refused():
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))
    assert isinstance(decode(forge(b"", length=1 << 20, body=hidden), KEY, SECRET), Malformed)


def test_bytes_after_the_frame_are_refused():
    plain = plain_of(described(), bytes(8))
    body = zstandard.ZstdCompressor().compress(plain) + b"more"
    assert decode(forge(plain, body=body), KEY, SECRET) == Malformed("damaged")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
array_rows = st.tuples(
    st.lists(
        st.sampled_from(["values", "segments", "score", "probability", "output", "x"]), max_size=2
    ),
    st.sampled_from(["<f4", "<i4", "<f8", "|b1", "|O", ""]),
    st.lists(st.integers(-1, 3), max_size=4),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "method": st.text(max_size=3) | json_values,
        "trust": st.dictionaries(st.text(max_size=3), json_values) | json_values,
        "arrays": st.lists(array_rows, max_size=4) | json_values,
    },
)


@settings(max_examples=150)
@given(headers, st.binary(max_size=64))
def test_no_header_at_all_makes_decode_raise(header, blobs):
    assert isinstance(decode(forge(plain_of(header, blobs)), KEY, SECRET), Entry | Malformed)


@settings(max_examples=150)
@given(st.binary(max_size=100), st.integers(0, 2**32 - 1))
def test_no_body_at_all_makes_decode_raise(body, length):
    assert isinstance(decode(forge(b"", length=length, body=body), KEY, SECRET), Malformed)


@given(st.binary(max_size=200))
def test_no_plain_text_at_all_makes_decode_raise(plain):
    assert isinstance(decode(forge(plain), KEY, SECRET), Malformed)


def test_the_size_of_an_entry_counts_arrays_and_record():
    small, large = built(), built(values=np.zeros((100, 100), np.float32))
    assert entry_bytes(large) - entry_bytes(small) == 40_000 - 8 * 9 * 4
    wordy = built(trust={"warnings": ["x" * 10_000]})
    assert entry_bytes(wordy) > entry_bytes(small) + 9_000


def test_the_maps_of_several_inputs_are_kept_together():
    first, second = np.ones((4, 5), "f4"), np.arange(3, dtype="f4")
    other = Attribution("gradient", second, {"input": "values"}, input="values")
    whole = Attribution("gradient", first, {"input": "é"}, input="é", others=(other,))
    entry = Entry(whole, {"values": np.zeros((1, 2), "f4")}, None)  # an output of the same name
    found = decode(encode(entry, KEY, SECRET), KEY, SECRET)
    assert isinstance(found, Entry)
    assert [one.input for one in found.attribution.maps] == ["é", "values"]
    assert [one.trust["input"] for one in found.attribution.maps] == ["é", "values"]
    for before, after in zip(whole.maps, found.attribution.maps, strict=True):
        np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_array_equal(found.outputs["values"], [[0, 0]])
    assert entry_bytes(entry) > entry_bytes(Entry(other, entry.outputs, None)) + first.nbytes
