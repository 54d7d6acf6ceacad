"""What the zoo writes of training records is what the service reads."""

import numpy as np

from candor.geometry import CategoryColumn, NumberColumn
from candor.runtime.manifest import load_manifest
from zoo.manifest import write_manifest
from zoo.statistics import column_tables


def test_columns_come_through_the_manifest_as_they_were(tmp_path):
    draw = np.random.default_rng(0)
    ages, kinds = draw.normal(40, 9, 300), draw.integers(-1, 11, 300)
    records = np.stack([ages, kinds, np.zeros(300)], axis=1).astype(np.float32)
    names, listed = ("age", 'a "kind"', "none"), tuple("abcdefghijk")
    section = {"kind": "tabular", "features": names}
    tables = column_tables(records, names, {names[1]: listed})
    write_manifest(tmp_path / "model.toml", {}, {"input": section, **tables})
    assert max(map(len, (tmp_path / "model.toml").read_text().splitlines())) <= 100
    age, kind, none = load_manifest(tmp_path).input.columns
    assert isinstance(age, NumberColumn)
    seen = records[:, 0].astype(np.float64)
    np.testing.assert_array_equal(age.edges, np.percentile(seen, (25, 50, 75)))
    assert (age.mean, age.std, age.low, age.high) == (
        seen.mean(), seen.std(), seen.min(), seen.max()
    )  # fmt: skip
    assert age.counts == (75, 75, 75, 75)
    np.testing.assert_allclose(np.dot(age.counts, age.means), seen.sum())
    assert isinstance(kind, CategoryColumn)
    assert kind.values == tuple(range(-1, 11))
    assert kind.labels == ("other", *listed)
    np.testing.assert_array_equal(kind.counts, np.bincount(kinds + 1))
    assert (none.edges, none.counts, none.means) == ((0.0,), (300, 0), (0.0, 0.0))
