"""`train NAME` and `publish NAME` for the models of the table."""

from __future__ import annotations

from pathlib import Path

from zoo.fit import fit, fitted_so_far
from zoo.model import Model
from zoo.publish import measure, publish


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
        measure(model, fitted_so_far(name, model, rows, runs, seed), seed, test) for seed in seeds
    ]
    publish(name, model, measured, root, target)
