"""`train sentences`: fit, choose the epoch on the development split, export, test, describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from torch import nn

from zoo import sst2
from zoo.bigrams import bigram_baseline
from zoo.card import write_card
from zoo.compare import compare
from zoo.describe_sentences import TOKENS, sentence_card, write_sentence_manifest
from zoo.export import LOGITS, save, to_onnx
from zoo.figures import Run, counted, figures_of, rows_of
from zoo.fit import Plan, run_to_end
from zoo.model import unpadded
from zoo.progress import say
from zoo.recipe import CLASSIFY
from zoo.sets.samples import Samples
from zoo.tidy import name_value, only
from zoo.tokens import build_vocabulary, encode
from zoo.train_sentences import Recipe, Trainer
from zoo.trainer import Work


def export_sentences(net: nn.Module) -> ModelProto:
    """Return the ONNX model; its embedding's output is named "embedding"."""
    example = torch.tensor([[5, 3, 2, 4], [7, 2, 0, 0], [3, 0, 0, 0]])
    model = to_onnx(net, example, TOKENS, LOGITS)
    name_value(model, only(model, "Gather").output[0], "embedding")
    return model


def as_ids(sentences: sst2.Sentences, vocabulary: Sequence[str]) -> Samples:
    """Return sentences as ids int64 [n, t], padded with 0 to the longest."""
    index = {token: i for i, token in enumerate(vocabulary)}
    ids = np.zeros((len(sentences), max(map(len, sentences.tokens))), np.int64)
    for row, tokens in zip(ids, sentences.tokens, strict=True):
        row[: len(tokens)] = encode(tokens, index)
    return Samples(ids, np.array(sentences.classes, np.int64))


def run(root: Path, target: Path, runs: Path, recipe: Recipe, seeds: int) -> None:
    """Do the whole of it and write model, vocabulary, manifest and card under `target`.

    A seed whose run has begun goes on from its checkpoint in the folder `runs`. The first seed is
    served, whatever the others reach.
    """
    grades = sst2.load_train(root, "fine")
    vocabulary = build_vocabulary(grades.tokens, recipe.least_count)
    held, test = (
        Work(CLASSIFY, as_ids(split, vocabulary), unpadded, ragged=True)
        for split in (sst2.load_split(root, "binary", name) for name in ("dev", "test"))
    )
    tried = []
    for seed in range(seeds):
        trainer = Trainer(as_ids(grades, vocabulary), len(vocabulary), recipe, seed)
        plan = Plan(target.name, seed, recipe, recipe.epochs, held)
        fitted = run_to_end(trainer, plan, runs)
        exported = export_sentences(fitted.net)
        tried.append(Run(seed, fitted, exported, compare(fitted.net, exported, test)))
    save(tried[0].exported, target / "1" / "model.onnx")
    (target / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    write_sentence_manifest(target, recipe)
    chosen_on = f"development split ({len(held.rows)} rows)"
    figures = figures_of(tried, "accuracy", "test", chosen_on, recipe.epochs)
    others = {what: counted(share) for what, share in bigram_baseline(root).items()}
    figures = replace(figures, others=others)
    say(f"{target.name}: {', '.join(f'{what} {value}' for what, value in rows_of(figures))}")
    card = sentence_card(target.name, len(grades), len(vocabulary), recipe, seeds)
    write_card(target, card, figures)
