import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor.engine import digest
from candor.engine.digest import (
    Asked,
    Subjected,
    asked_digest,
    cache_secret,
    question_key,
    row_digest,
    subject_digest,
)
from candor.result import ModelId, Target

SECRET = cache_secret(b"secret")
SUBJECT = Subjected(ModelId("photos", "1", "ab" * 32), "softmax image 0", "cpu")
ROW = {"x": np.arange(12, dtype=np.float32).reshape(1, 12)}
ASKED = Asked("lime", {"n_samples": 1000, "baseline": "mean", "seed": 0})


def key(subjected=SUBJECT, row=ROW, asked=ASKED, target=Target(), secret=SECRET):
    return question_key(
        subject_digest(subjected, secret),
        row_digest(row, secret),
        asked_digest(asked, secret),
        target,
        secret,
    )


OTHERS = {
    "model digest": {"subjected": replace(SUBJECT, model=ModelId("photos", "1", "cd" * 32))},
    "recipe": {"subjected": replace(SUBJECT, recipe="sigmoid image 0")},
    "provider": {"subjected": replace(SUBJECT, provider="cuda")},
    "precision": {"subjected": replace(SUBJECT, precision="float16")},
    "output": {"subjected": replace(SUBJECT, output="logits")},
    "tenant": {"subjected": replace(SUBJECT, tenant="research")},
    "empty output": {"subjected": replace(SUBJECT, output="")},
    "input name": {"row": {"y": ROW["x"]}},
    "input shape": {"row": {"x": ROW["x"].reshape(1, 3, 4)}},
    "input dtype": {"row": {"x": ROW["x"].view(np.int32)}},
    "input byte": {"row": {"x": ROW["x"] + np.eye(1, 12, 5, dtype=np.float32) * 1e-6}},
    "another input": {"row": {**ROW, "y": ROW["x"]}},
    "method": {"asked": replace(ASKED, method="occlusion")},
    "option": {"asked": replace(ASKED, options={**ASKED.options, "n_samples": 1001})},
    "option type": {"asked": replace(ASKED, options={**ASKED.options, "seed": "0"})},
    "seed": {"asked": replace(ASKED, options={**ASKED.options, "seed": 1})},
    "explained score": {"asked": replace(ASKED, explained="score")},
    "explained probability": {"asked": replace(ASKED, explained="probability")},
    "segments": {"asked": replace(ASKED, segments=np.zeros(12, np.int32))},
    "target": {"target": Target(0)},
    "difference": {"target": Target(0, 1)},
    "difference from the top": {"target": Target(None, 0)},
    "secret": {"secret": cache_secret(b"other")},
}


def test_any_one_thing_changed_changes_the_key():
    keys = {"nothing": key()} | {name: key(**change) for name, change in OTHERS.items()}
    same = [(a, b) for a in keys for b in keys if a < b and keys[a] == keys[b]]
    assert same == []


@pytest.mark.parametrize("constant", ["SCHEMA", "IMPLEMENTATION"])
def test_another_schema_or_implementation_is_another_world(monkeypatch, constant):
    before = key()
    monkeypatch.setattr(digest, constant, getattr(digest, constant) + 1)
    assert key() != before


def test_name_and_version_of_a_model_do_not_matter_its_digest_does():
    renamed = replace(SUBJECT, model=ModelId("other", "9", SUBJECT.model.digest))
    assert key(subjected=renamed) == key()


def test_the_order_of_options_and_inputs_does_not_matter():
    options = dict(reversed(list(ASKED.options.items())))
    assert key(asked=replace(ASKED, options=options)) == key()
    two = {"a": ROW["x"], "b": ROW["x"] + 1}
    assert row_digest(two, SECRET) == row_digest(dict(reversed(two.items())), SECRET)


def test_memory_layout_does_not_matter():
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert row_digest({"x": matrix}, SECRET) == row_digest({"x": np.asfortranarray(matrix)}, SECRET)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["", "a"], ["a", ""]),
        (["a"], ["a", ""]),
    ],
)
def test_strings_keep_their_boundaries(one, other):
    arrays = [np.array([texts], dtype=object) for texts in (one, other)]
    digests = {row_digest({"x": array}, SECRET) for array in arrays}
    assert len(digests) == 2


arrays = st.builds(
    lambda values, dtype: np.array(values, dtype=dtype),
    st.lists(st.integers(0, 100), max_size=6),
    st.sampled_from(["int32", "float32", "uint8", "int64"]),
)
inputs = st.dictionaries(st.text(max_size=3), arrays, max_size=3)


def written(row):
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in row.items()}


@given(inputs, inputs)
def test_rows_have_equal_digests_exactly_if_they_are_equal(one, other):
    assert (row_digest(one, SECRET) == row_digest(other, SECRET)) == (
        written(one) == written(other)
    )


def test_another_process_computes_the_same_key():
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from unit.engine.test_digest import key; print(key())"
    )
    paths = [path for path in sys.path if path]
    command = [sys.executable, "-c", program, *paths]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == key()
    assert len(key()) == 64


def test_a_secret_is_32_bytes_whatever_it_was_made_of():
    assert len(cache_secret(b"")) == 32
    assert cache_secret(b"a") != cache_secret(b"b")
