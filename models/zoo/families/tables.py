"""Records: a perceptron for the census."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from torch import Tensor

from zoo.export import Port
from zoo.manifest import Table
from zoo.model import Model, Scores
from zoo.networks.tabular import DROPOUT, UNITS, Columns, RecordNet
from zoo.recipe import Recipe
from zoo.sets.adult import ADULT, CATEGORIES, COLUMNS
from zoo.sets.samples import Array, Samples
from zoo.statistics import column_tables

RECORD = Port("record", {0: "n"})
SKEWED = ("fnlwgt", "capital gain", "capital loss")
_NUMBERS = [column for column in COLUMNS if column not in CATEGORIES]
LAYOUT = Columns(
    numbers=[COLUMNS.index(column) for column in _NUMBERS],
    skewed=[column in SKEWED for column in _NUMBERS],
    categories={COLUMNS.index(column): len(listed) for column, listed in CATEGORIES.items()},
)


def as_floats(records: Array) -> Tensor:
    """Return records [n, f] as the network takes them."""
    return torch.from_numpy(records)


def statistics(rows: Samples) -> Mapping[str, Table]:
    """Return what the columns held, for the manifest."""
    return column_tables(rows.inputs, COLUMNS, CATEGORIES)


def logistic_regression(root: Path) -> Scores:
    """Return what a linear model reaches on the same scaled and one-hot columns."""
    train, test = (ADULT.load(root, split) for split in ("train", "test"))
    net = RecordNet(LAYOUT, as_floats(train.inputs), 2).eval()
    x, x_test = (_columns(net, split) for split in (train, test))
    fit = LogisticRegression(max_iter=2000).fit(x, train.classes)
    linear, share = fit.score(x_test, test.classes), float((test.classes == 0).mean())
    return {
        "logistic regression on the same columns, test split": linear,
        "always <=50K, test split": share,
    }


def _columns(net: RecordNet, rows: Samples) -> Array:
    seen: list[Array] = []
    hook = net.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].numpy()))
    with torch.no_grad():
        net(as_floats(rows.inputs))
    hook.remove()
    return np.concatenate(seen)


MODELS: Mapping[str, Model] = {
    "adult-mlp": Model(
        title="Income above 50,000 dollars (perceptron)",
        purpose="Tells from a record of the 1994 census whether a person's income was above 50,000 "
        "dollars. A standard exercise on tables; never a ground for a decision about anybody.",
        network=lambda rows: RecordNet(LAYOUT, as_floats(rows.inputs), 2),
        sources=(
            "Numbers scaled (three of them as logarithms) and categories one-hot inside the graph; "
            f"hidden layers of {UNITS[0]} and {UNITS[1]}, ReLU, dropout {DROPOUT:g} while "
            "training. Logits.",
            "Rumelhart, Hinton, Williams 1986: Learning representations by back-propagating "
            "errors, Nature 323; as the baseline on tables: Gorishniy et al. 2021, "
            "arXiv:2106.11959.",
            "A record is 14 numbers; a category is its place in the list of its column "
            "(`zoo/sets/adult.py`), -1 if it is not listed.",
        ),
        data=ADULT,
        recipe=Recipe(
            epochs=20, batch=128, lr=2e-3, weight_decay=0.02, average=0.998, held_out=2600
        ),
        source=RECORD,
        example=(2, len(COLUMNS)),
        section={"kind": "tabular", "name": RECORD.name, "features": COLUMNS},
        statistics=statistics,
        prepare=as_floats,
        baselines=logistic_regression,
        limits=(
            "The census of 1994: its wages, its prejudices and its categories.",
            "Gradients at the eight categories are zero; lime and occlusion answer for them.",
            "6,512 test records: the standard error is about 0.4 points.",
        ),
    )
}
