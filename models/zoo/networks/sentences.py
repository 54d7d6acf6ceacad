"""The sentence classifier: embedding, a forward LSTM, GRU or RNN, masked pooling, a linear layer.

    layer       what                                                    shape
    embedding   a vector a token, zero where there is padding           [n, t, width]
    cell        LSTM, GRU or RNN (tanh), forward                        [n, t, hidden]
    pool        mean and maximum over the steps that are not padding    [n, 2 hidden]
    head        linear                                                  [n, 2]

In training whole words, entries of the embedding and pooled entries are dropped (`Dropout`).

The mask is computed from the ids inside the graph and the cell reads left to right, so padding
after a sentence changes neither its answer nor, since its gradient is zero, its explanation.
Source: Elman 1990, Hochreiter & Schmidhuber 1997, Cho et al. 2014 (arXiv:1406.1078); pooling over
states as in Conneau et al. 2017, arXiv:1705.02364; dropping whole words as in Iyyer et al. 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

PAD_ID, UNKNOWN_ID = 0, 1
Cell = Literal["LSTM", "GRU", "RNN"]
CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


@dataclass(frozen=True, slots=True)
class Dropout:
    """What is dropped while training: whole words, embedding entries, pooled entries."""

    word: float = 0.2
    embedding: float = 0.5
    pooled: float = 0.5


class SentenceNet(nn.Module):
    """Token ids [n, t], 0 where padded, to logits [n, 2]."""

    def __init__(
        self, n_tokens: int, width: int, hidden: int, dropout: Dropout, cell: Cell = "LSTM"
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.embedding = nn.Embedding(n_tokens, width, padding_idx=PAD_ID)
        nn.init.normal_(self.embedding.weight, std=0.1)
        with torch.no_grad():
            self.embedding.weight[PAD_ID] = 0
        self.cell = CELLS[cell](width, hidden, batch_first=True)
        self.head = nn.Linear(2 * hidden, 2)

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        """Classify; a row of nothing but padding gets the answer of an empty sentence."""
        mask = (tokens != PAD_ID).to(torch.float32).unsqueeze(2)
        if self.training:
            tokens = self._drop_words(tokens)
        embedded = functional.dropout(self.embedding(tokens), self.dropout.embedding, self.training)
        states, _ = self.cell(embedded)
        pooled = functional.dropout(pool(states, mask), self.dropout.pooled, self.training)
        out: Tensor = self.head(pooled)
        return out

    def _drop_words(self, tokens: Tensor) -> Tensor:
        dropped = (torch.rand(tokens.shape) < self.dropout.word) & (tokens != PAD_ID)
        return tokens.masked_fill(dropped, UNKNOWN_ID)


def pool(states: Tensor, mask: Tensor) -> Tensor:
    """Return mean and maximum over the unmasked steps, [n, 2h]; states [n, t, h], mask [n, t, 1].

    The states of all three cells lie in -1..1, so -2 under the mask never wins a maximum against a
    real step, and an empty row gives finite numbers.
    """
    kept = states * mask
    mean = kept.sum(1) / mask.sum(1).clamp(min=1.0)
    highest = (kept + (2.0 * mask - 2.0)).amax(1)
    return torch.cat([mean, highest], 1)
