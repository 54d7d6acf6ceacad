"""Sentences: an LSTM, a GRU and a plain recurrent network over words, negative or positive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from zoo.export import Port
from zoo.manifest import Table
from zoo.model import Model, unpadded
from zoo.networks.sentences import Cell, Dropout, SentenceNet
from zoo.recipe import Recipe, Task, accuracy
from zoo.sets.bigrams import bigram_baseline
from zoo.sets.samples import Samples
from zoo.sets.sst2 import SST2, read_vocabulary
from zoo.sets.tokens import PAD, PATTERN, UNKNOWN
from zoo.tidy import written_by

TOKENS = Port("tokens", {0: "n", 1: "t"}, torch.int64)
WIDTH, UNITS = 100, 128
DROPOUT = Dropout()
POSITIVE_SHARE = (0.02, 0.2, 0.5, 0.8, 0.98)
"""How positive each of the treebank's five grades is taken for."""


def _graded_loss(outputs: Tensor, _: Tensor, grades: Tensor, __: float) -> Tensor:
    positive = torch.tensor(POSITIVE_SHARE)[grades]
    return functional.cross_entropy(outputs, torch.stack([1 - positive, positive], 1))


GRADED = Task("accuracy", _graded_loss, accuracy)
"""Trained on five grades, which say how sure a sentiment is, and scored on two classes. So the
neutral sentences teach too, which a training split of two classes leaves out."""


def _network(cell: Cell, rows: Samples) -> SentenceNet:
    return SentenceNet(int(rows.inputs.max()) + 1, WIDTH, UNITS, DROPOUT, cell)


def _vocabulary(root: Path) -> Mapping[str, str]:
    return {"vocabulary.txt": "\n".join(read_vocabulary(root)) + "\n"}


_SECTION: Table = {
    "kind": "tokens",
    "name": TOKENS.name,
    "vocabulary": "vocabulary.txt",
    "pattern": PATTERN,
    "lowercase": True,
    "pad": PAD,
    "unknown": UNKNOWN,
    "max_tokens": 512,
}


def _sentences(cell: Cell, paper: str, lr: float = 2e-3) -> Model:
    plain = "Sentences, negative or positive"
    return Model(
        title=plain if cell == "LSTM" else f"{plain} ({cell})",
        purpose="Tells whether a sentence about a film is negative or positive. It is there to "
        "show explanations of a recurrent network on text, not to judge anybody's writing.",
        network=lambda rows: _network(cell, rows),
        sources=(
            f"Embedding {WIDTH}, one forward {cell} of {UNITS}, masked mean and maximum over the "
            "steps, one linear layer. Logits; softmax gives probabilities.",
            paper,
            f"In training, dropout: words {DROPOUT.word:g}, embedding {DROPOUT.embedding:g}, "
            f"pooled states {DROPOUT.pooled:g}. Sentences of about one length are in a batch.",
            "The targets are soft: the training split's five grades count as "
            f"{', '.join(f'{share:g}' for share in POSITIVE_SHARE)} positive.",
        ),
        data=SST2,
        recipe=Recipe(epochs=12, batch=64, lr=lr, average=0.995, by_length=True),
        source=TOKENS,
        example=(2, 4),
        section=_SECTION,
        prepare=unpadded,
        explain={"embedding": "embedding"},
        limits=(
            "English, film reviews, 2000s; elsewhere the accuracy is unknown.",
            "With 1,821 test sentences the standard error is about 0.9 points.",
            "No neutral class: a neutral sentence gets a probability near one half at best.",
        ),
        task=GRADED,
        names={"embedding": written_by("Gather")},
        ragged=True,
        baselines=bigram_baseline,
        files=_vocabulary,
    )


MODELS: Mapping[str, Model] = {
    "sentences": _sentences(
        "LSTM", "Hochreiter & Schmidhuber 1997: Long Short-Term Memory, Neural Comp. 9."
    ),
    "sentences-gru": _sentences("GRU", "Cho et al. 2014, EMNLP, arXiv:1406.1078."),
    "sentences-rnn": _sentences(
        "RNN", "Elman 1990: Finding Structure in Time, Cogn. Sci. 14.", lr=1e-3
    ),
}
