"""LIME of records equals lime_tabular: its statistics from our manifest, its draws, its answer."""

import numpy as np
import pytest
import torch
from torch import nn

from agreement.references import LimeTabularExplainer
from agreement.test_lime import assert_same, coefficients_of
from agreement.torch_subject import TorchSubject
from candor.explain import options
from candor.explain.lime import lime
from candor.explain.question import Question
from candor.explain.subject import Geometry
from candor.explain.tabular import draw_records
from candor.result import Target
from candor.runtime.manifest import load_manifest
from unit.explain.told import finish
from zoo.manifest import write_manifest
from zoo.statistics import column_tables

N_SAMPLES = 300
FEATURES = ("age", "gain", "kind", "dose", "score", "side")
CATEGORIES = {"kind": ("a", "b", "c", "d"), "side": ("left", "right")}
CATEGORICAL = [FEATURES.index(name) for name in CATEGORIES]


def training_records(draw, n=400):
    """Numbers that spread, that are mostly zero, that are few and whole; two kinds of category."""
    records = [
        draw.normal(40, 12, n),
        np.where(draw.random(n) < 0.9, 0, draw.lognormal(7, 1, n)),
        draw.choice(4, n, p=[0.5, 0.3, 0.15, 0.05]),
        draw.integers(0, 4, n),  # where its first bin is all 0, lime is right by chance: see below
        -draw.exponential(2, n),
        draw.integers(0, 2, n),
    ]
    return np.stack(records, axis=1).astype(np.float64)


def columns_by_manifest(folder, records):
    """From the training data through model.toml: nothing is lost on the way."""
    section = {"kind": "tabular", "features": FEATURES}
    tables = {"input": section, **column_tables(records, FEATURES, CATEGORIES)}
    write_manifest(folder / "model.toml", {}, tables)
    return load_manifest(folder).input.columns


def perceptron(seed, records):
    torch.manual_seed(seed)
    mean, std = (torch.tensor(of) for of in (records.mean(0), records.std(0)))

    class Scaled(nn.Module):
        def forward(self, x):
            return (x - mean) / std

    network = nn.Sequential(Scaled(), nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    return TorchSubject(network.double())


@pytest.mark.parametrize("discretise", [True, False])
def test_lime_of_a_record_equals_the_package(discretise, seed, tmp_path):
    draw = np.random.default_rng(seed)
    records = training_records(draw)
    columns = columns_by_manifest(tmp_path, records)
    subject = perceptron(seed, records)
    subject.geometry = Geometry("tabular", None, features=FEATURES, columns=columns)
    explainer = LimeTabularExplainer(
        records,
        feature_names=FEATURES,
        categorical_features=CATEGORICAL,
        categorical_names={FEATURES.index(name): names for name, names in CATEGORIES.items()},
        discretize_continuous=discretise,
        random_state=seed,
        feature_selection="none",
    )
    seen = []

    def probabilities(drawn):
        seen.append(drawn)
        return subject.predict(drawn).probability

    row = records[draw.integers(len(records))]
    explanation = explainer.explain_instance(
        row, probabilities, labels=(1,), num_features=6, num_samples=N_SAMPLES
    )
    chosen = options.Lime(n_samples=N_SAMPLES, seed=seed, discretise=discretise)
    _, answer = finish(lime(subject, Question(row[None], Target(1)), chosen))

    ours = draw_records(columns, row, N_SAMPLES, seed, discretise=discretise)
    np.testing.assert_allclose(ours.records, seen[0], rtol=1e-9, atol=1e-9, err_msg=f"seed {seed}")
    assert_same(answer, explanation, seed)
    np.testing.assert_array_equal(answer.values, coefficients_of(answer).astype(np.float32))
    assert set(answer.trust["figures"]["conditions"]) == {name for name, _ in explanation.as_list()}
    assert answer.trust["features"] == list(FEATURES)
    assert answer.trust["n_evaluations"] == N_SAMPLES
    assert answer.trust["options"]["baseline"] == "training"
    assert answer.trust["options"]["kernel_width"] == pytest.approx(0.75 * 6**0.5)


def test_a_bin_of_one_value_keeps_it_where_the_package_puts_zero(seed, tmp_path):
    """lime answers the bin's own score, (least - mean) / deviation, in the place of the value."""
    records = training_records(np.random.default_rng(seed))
    records[:, 3] = 7.0
    columns = columns_by_manifest(tmp_path, records)
    explainer = LimeTabularExplainer(records, categorical_features=CATEGORICAL, random_state=seed)
    seen = []

    def probabilities(drawn):
        seen.append(drawn)
        return np.full((len(drawn), 2), 0.5)

    explainer.explain_instance(records[0], probabilities, num_samples=50)
    ours = draw_records(columns, records[0], 50, seed, discretise=True).records
    assert (seen[0][1:, 3] == 0).all()
    assert (ours[:, 3] == 7.0).all()
    others = [0, 1, 2, 4, 5]
    np.testing.assert_allclose(ours[:, others], seen[0][:, others], rtol=1e-9, atol=1e-9)
