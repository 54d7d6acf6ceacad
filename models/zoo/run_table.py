"""`train NAME` and `publish NAME` for the models of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.fit import fit, fitted_so_far
from zoo.model import Model
from zoo.progress import say
from zoo.publish import export_seed, publish
from zoo.sets.samples import Samples, hold_out

N_TRAINED = 10_000
"""Rows that were trained on, on which networks that are compared are scored as well."""


def train(name: str, model: Model, root: Path, runs: Path, seeds: int) -> None:
    """Train the seeds 0 .. seeds - 1 to their ends, each going on where it stopped."""
    rows, develop = model.data.load(root, "train"), _develop(model, root)
    for seed in range(seeds):
        fit(name, model, rows, runs, seed, develop)


def export_and_describe(
    name: str, model: Model, root: Path, runs: Path, seeds: int, target: Path
) -> None:
    """Publish those of the seeds 0 .. seeds - 1 that there are checkpoints of.

    Raises:
        CheckpointError: there is none of seed 0, or one is of another recipe than the table's.
    """
    rows, test = (model.data.load(root, split) for split in ("train", model.data.measured))
    develop = _develop(model, root)
    measured = []
    for seed in range(seeds):
        if seed and not (runs / f"{name}-{seed}.pt").exists():
            say(f"{name}: there is no run of seed {seed}")
            continue
        fitted = fitted_so_far(name, model, rows, runs, seed, develop)
        seen = None if model.served else _trained_on(model, rows, seed)
        measured.append(export_seed(model, fitted, seed, test, seen))
    publish(name, model, measured, root, target)


def _develop(model: Model, root: Path) -> Samples | None:
    return model.data.load(root, model.data.develop) if model.data.develop else None


def _trained_on(model: Model, rows: Samples, seed: int) -> Samples:
    rest, _ = hold_out(rows, model.recipe.held_out, seed)
    # Sets come sorted by class as a rule.
    return rest.take(np.random.default_rng(seed).permutation(len(rest))[:N_TRAINED])
