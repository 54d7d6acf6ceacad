"""`train sentences`: fit, choose the epoch on the development split, export, test, describe."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto

from zoo import sst2
from zoo.bigrams import bigram_baseline
from zoo.card import HARDWARE, percent, write_card
from zoo.describe_sentences import LOGITS, TOKENS, sentence_card, write_sentence_manifest
from zoo.export import name_value, only, save, to_onnx
from zoo.learner import write_state
from zoo.progress import say
from zoo.sentences import SentenceNet
from zoo.tokens import build_vocabulary, encode
from zoo.train_sentences import Ids, Recipe, accuracy, padded, predict, train

Rows = tuple[Ids, list[int]]
"""Sentences as ids, and their classes."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One seed: the network of the epoch that did best on the development split."""

    net: SentenceNet
    epoch: int
    score: float
    seconds: float


def export_sentences(net: SentenceNet) -> ModelProto:
    """Return the ONNX model; its embedding's output is named "embedding"."""
    example = torch.tensor([[5, 3, 2, 4], [7, 2, 0, 0], [3, 0, 0, 0]])
    model = to_onnx(net, example, TOKENS, LOGITS)
    name_value(model, only(model, "Gather").output[0], "embedding")
    return model


def run(root: Path, target: Path, runs: Path, recipe: Recipe, seeds: int) -> None:
    """Do the whole of it and write model, vocabulary, manifest and card under `target`.

    A seed that a run before has finished is taken from the folder `runs`. The first is served.
    """
    grades = sst2.load_train(root, "fine")
    dev, test = (sst2.load_split(root, "binary", name) for name in ("dev", "test"))
    vocabulary = build_vocabulary(grades.tokens, recipe.least_count)
    index = {token: i for i, token in enumerate(vocabulary)}
    ids, dev_ids, test_ids = (
        [encode(tokens, index) for tokens in split.tokens] for split in (grades, dev, test)
    )
    fits, models, logits, differences = [], [], [], []
    for seed in range(seeds):
        file = runs / f"{target.name}-{seed}.pt"
        if not file.exists():
            dev_rows = (dev_ids, dev.classes)
            plan = replace(recipe, seed=seed)
            _keep(fit((ids, grades.classes), dev_rows, len(vocabulary), plan), file)
        fits.append(_kept(file, len(vocabulary), recipe))
        models.append(export_sentences(fits[-1].net))
        found, difference = compare(fits[-1].net, models[-1], test_ids)
        logits.append(found)
        differences.append(difference)
    save(models[0], target / "1" / "model.onnx")
    (target / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    write_sentence_manifest(target, recipe)
    rows = [
        *_scores([accuracy(each, test.classes) for each in logits]),
        *bigram_baseline(root),
        ("accuracy, development split (872), the epoch's choice", percent(fits[0].score)),
        ("largest difference ONNX to torch, test split", f"{differences[0]:.1e}"),
        ("parameters", f"{sum(p.numel() for p in fits[0].net.parameters()):,}"),
        ("file", f"{models[0].ByteSize():,} bytes, opset {models[0].opset_import[0].version}"),
        ("training", f"{fits[0].seconds:.0f} s of CPU time, seed 0"),
        ("epoch taken", f"{fits[0].epoch} of {recipe.epochs}"),
        ("hardware", f"{HARDWARE}, float32"),
    ]
    say(f"{target.name}: {', '.join(f'{what} {value}' for what, value in rows)}")
    write_card(
        target / "CARD.md",
        sentence_card(target.name, rows, len(grades), len(vocabulary), recipe, seeds),
    )


def fit(train_rows: Rows, dev_rows: Rows, n_tokens: int, recipe: Recipe) -> Chosen:
    """Train one seed and keep the epoch that does best on the development split."""
    began, best = time.process_time(), None
    for epoch, (loss, average) in enumerate(train(*train_rows, n_tokens, recipe), start=1):
        score = accuracy(predict(average, dev_rows[0]), dev_rows[1])
        say(f"{recipe.cell} {recipe.seed}: epoch {epoch} loss {loss:.4f} dev {score:.2%}")
        if best is None or score > best.score:
            best = Chosen(copy.deepcopy(average), epoch, score, 0.0)
    if best is None:
        raise ValueError("a run needs at least one epoch")
    return replace(best, seconds=time.process_time() - began)


def _keep(found: Chosen, file: Path) -> None:
    state = {
        "weights": found.net.state_dict(),
        "epoch": found.epoch,
        "score": found.score,
        "seconds": found.seconds,
    }
    write_state(state, file)


def _kept(file: Path, n_tokens: int, recipe: Recipe) -> Chosen:
    state = torch.load(file, weights_only=True)
    net = SentenceNet(n_tokens, recipe.width, recipe.hidden, recipe.dropout, recipe.cell)
    net.load_state_dict(state["weights"])
    return Chosen(net.eval(), state["epoch"], state["score"], state["seconds"])


def _scores(scores: Sequence[float]) -> list[tuple[str, str]]:
    rows = [("accuracy, test split (1,821 sentences)", percent(scores[0]))]
    if len(scores) > 1:
        each = ", ".join(map(percent, scores))
        summary = f"{percent(mean(scores))}, {percent(stdev(scores))}, {each}"
        rows.append((f"{len(scores)} seeds: mean, deviation, each", summary))
    return rows


def compare(net: SentenceNet, model: ModelProto, ids: Ids) -> tuple[torch.Tensor, float]:
    """Return the ONNX model's logits and their largest difference from torch's.

    Raises:
        ValueError: the two classify a sentence differently.
    """
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    # One sentence a run, unpadded, against torch's padded batches: padding is checked too.
    rows = [session.run(None, {"tokens": padded([sentence]).numpy()})[0] for sentence in ids]
    ours, theirs = torch.from_numpy(np.concatenate(rows)), predict(net, ids)
    if not torch.equal(ours.argmax(1), theirs.argmax(1)):
        raise ValueError("the exported model classifies a test sentence differently")
    return ours, float((ours - theirs).abs().max())
