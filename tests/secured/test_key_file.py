"""The file of keys: what it may say, and the command that writes to it."""

import hashlib
import json
import tomllib

import pytest

from candor.errors import InvalidOption, PermissionDenied, Unauthenticated
from candor.wire.callers import Limits
from candor.wire.key_file import read_keys
from candor.wire.keys import KeyRing
from cli.running import candor

HASH = "ab" * 32
KEY = f'[[key]]\nname = "a"\nsha256 = "{HASH}"\n'


def test_a_key_without_more_may_use_everything_and_change_nothing():
    (key,) = read_keys(KEY)
    assert (key.name, key.hashes, key.models, key.tenant, key.control) == (
        "a", (bytes.fromhex(HASH),), None, "a", False,
    )  # fmt: skip
    assert key.limits == Limits(None, 1, None)


@pytest.mark.parametrize(
    ("more", "limits"),
    [
        ("requests_per_s = 2.5", Limits(2.5, 3, None)),
        ("requests_per_s = 0.1", Limits(0.1, 1, None)),
        ("requests_per_s = 50\nburst = 100\nconcurrent = 8", Limits(50, 100, 8)),
    ],
)
def test_limits_are_what_the_file_says(more, limits):
    assert read_keys(KEY + more)[0].limits == limits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[key]\n", "is not TOML"),
        ("keys = 3\n", "something else than"),
        ("key = 3\n", "something else than"),
        ("[key]\nname = 'a'\n", "something else than"),
        (KEY + "[other]\n", "something else than"),
        ("[[key]]\nname = 'a'\n", "has no sha256 in key 1 ('a')"),
        (f"[[key]]\nsha256 = '{HASH}'\n", "has no name in key 1"),
        (KEY + "model = ['x']\n", "has in key 1 ('a') a 'model'; there are name, sha256"),
        (KEY + "models = 'photos'\n", "a models that is no such thing"),
        (KEY + "models = [1]\n", "a models that is no such thing"),
        (KEY + "requests_per_s = 0\n", "expected a number above 0"),
        (KEY + "requests_per_s = true\n", "expected a number above 0"),
        (KEY + "requests_per_s = nan\n", "expected a number above 0"),
        (KEY + "requests_per_s = inf\n", "expected a number above 0"),
        (KEY + "requests_per_s = '5'\n", "expected a number above 0"),
        (KEY + "burst = 1.5\n", "expected a whole number"),
        (KEY + "concurrent = 0\n", "expected a whole number"),
        (KEY + "control = 1\n", "expected true or false"),
        (KEY + "tenant = ''\n", "expected 1 to 64"),
        (KEY.replace('"a"', '"a\\nb"'), "expected 1 to 64"),
        (KEY.replace(HASH, HASH[1:]), "expected 64 hexadecimal digits"),
        (KEY.replace(HASH, "candor_" + HASH[7:]), "expected 64 hexadecimal digits"),
        (KEY.replace(f'"{HASH}"', "[]"), "expected 64 hexadecimal digits"),
        (KEY + KEY, "has the name 'a' twice"),
        (KEY + KEY.replace('"a"', '"b"'), f"has the sha256 '{HASH}' twice"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(tmp_path, text, said):
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(InvalidOption) as caught:
        KeyRing(file)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"api_keys_file '{file}' ")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidOption, match="cannot be read: No such file"):
        KeyRing(tmp_path / "keys.toml")


def test_a_file_without_keys_lets_nobody_in(tmp_path):
    file = tmp_path / "keys.toml"
    file.write_text("")
    with pytest.raises(Unauthenticated):
        KeyRing(file).caller("Bearer candor_x")


def test_who_left_a_job_is_found_by_the_name_of_the_key_while_there_is_one(tmp_path):
    file = tmp_path / "keys.toml"
    file.write_text(KEY + 'tenant = "t"\n')
    ring = KeyRing(file)
    assert (ring.named("a").name, ring.named("a").tenant) == ("a", "t")
    with pytest.raises(PermissionDenied, match="no key 'b' any more"):
        ring.named("b")


def test_the_command_makes_a_key_and_its_entry(tmp_path):
    file = tmp_path / "keys.toml"
    file.write_text(f"# ours\n{KEY}requests_per_s = 5  # few\n")
    done = candor("keys", "team-b", "--file", str(file))
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    assert key.startswith("candor_")
    assert len(key) > 40
    text = file.read_text()
    assert key not in text
    assert text.startswith(f"# ours\n{KEY}requests_per_s = 5  # few\n")
    assert KeyRing(file).caller(f"Bearer {key}").name == "team-b"

    again = candor("keys", "team-b", "--file", str(file))
    assert again.returncode == 2
    assert "the name 'team-b' twice" in again.stderr
    assert file.read_text() == text


def test_the_command_prints_the_entry_where_no_file_is_given():
    done = candor("keys", "team-c")
    assert done.returncode == 0, done.stderr
    key, _, rest = done.stdout.partition("\n")
    entry = tomllib.loads(rest[rest.index("[[key]]") :])["key"][0]
    assert entry == {"name": "team-c", "sha256": hashlib.sha256(key.encode()).hexdigest()}
    found = json.loads(candor("keys", "team-c", "--json").stdout)
    assert found["sha256"] == hashlib.sha256(found["key"].encode()).hexdigest()
    assert found["key"] != key
