"""`train NAME` and `publish NAME` for the models of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.fit import fit, fitted_so_far
from zoo.model import Model
from zoo.publish import measure, publish
from zoo.sets.samples import Samples, hold_out

N_TRAINED = 10_000
"""Rows that were trained on, on which networks that are compared are scored as well."""


def train(name: str, model: Model, root: Path, runs: Path, seeds: int) -> None:
    """Train the seeds 0 .. seeds - 1 to their ends, each going on where it stopped."""
    rows = model.data.load(root, "train")
    for seed in range(seeds):
        fit(name, model, rows, runs, seed)


def export_and_describe(name: str, model: Model, root: Path, runs: Path, target: Path) -> None:
    """Publish the seeds that there are checkpoints of.

    Raises:
        FileNotFoundError: there is none of seed 0.
    """
    rows, test = (model.data.load(root, split) for split in ("train", "test"))
    seeds = [0]
    while (runs / f"{name}-{len(seeds)}.pt").exists():
        seeds.append(len(seeds))
    measured = [
        measure(
            model,
            fitted_so_far(name, model, rows, runs, seed),
            seed,
            test,
            None if model.served else _trained_on(model, rows, seed),
        )
        for seed in seeds
    ]
    publish(name, model, measured, root, target)


def _trained_on(model: Model, rows: Samples, seed: int) -> Samples:
    rest, _ = hold_out(rows, model.recipe.held_out, seed)
    # Sets come sorted by class as a rule.
    return rest.take(np.random.default_rng(seed).permutation(len(rest))[:N_TRAINED])
