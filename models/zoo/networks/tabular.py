"""A perceptron for records whose scaling and one-hot encoding are part of the graph.

    layer       what                                                    shape
    numbers     log(1 + x) where a column is skewed, then
                (x - mean) / deviation                                  [n, number columns]
    categories  1 where the code is that of the category, else 0        [n, categories in all]
    hidden1     96, ReLU, dropout 0.2 (training)
    hidden2     48, ReLU, dropout 0.2 (training)
    head        linear, k

A code that is no category's gives zeros for its whole column. Categories answer to no small change
of their code, so gradients at them are zero: perturb records to explain them.

Source: Rumelhart, Hinton, Williams 1986, Nature 323; such networks as the baseline on tables:
Gorishniy, Rubachev, Khrulkov, Babenko 2021, arXiv:2106.11959; dropout: Srivastava et al. 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

UNITS = (96, 48)
DROPOUT = 0.2  # after each hidden layer


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a record is what.

    Attributes:
        numbers: places of the columns that are numbers.
        skewed: for each of them, whether its logarithm is taken.
        categories: place of a column -> how many categories it has.
    """

    numbers: Sequence[int]
    skewed: Sequence[bool]
    categories: dict[int, int]


class RecordNet(nn.Module):
    """Records [n, f], categories as codes, to logits [n, k].

    Args:
        columns: of a record.
        rows: training records, which the scales are measured on.
        n_classes: k.
    """

    mean: Tensor
    std: Tensor
    skewed: Tensor

    def __init__(self, columns: Columns, rows: Tensor, n_classes: int) -> None:
        super().__init__()
        self.columns = columns
        self.register_buffer("skewed", torch.tensor(columns.skewed))
        numbers = self._logged(rows)
        self.register_buffer("mean", numbers.mean(0))
        self.register_buffer("std", numbers.std(0))
        width = len(columns.numbers) + sum(columns.categories.values())
        self.layers = nn.Sequential(
            nn.Linear(width, UNITS[0]), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(*UNITS), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(UNITS[1], n_classes),
        )  # fmt: skip

    @override
    def forward(self, records: Tensor) -> Tensor:
        """Classify."""
        scaled = (self._logged(records) - self.mean) / self.std
        hot = [
            (records[:, place : place + 1] == torch.arange(count, dtype=records.dtype)).float()
            for place, count in self.columns.categories.items()
        ]
        out: Tensor = self.layers(torch.cat([scaled, *hot], 1))
        return out

    def _logged(self, records: Tensor) -> Tensor:
        numbers = records[:, torch.tensor(self.columns.numbers)]
        return torch.where(self.skewed, (1 + numbers.clamp(min=0)).log(), numbers)
