"""Recurrent layers in float64: the equations of the ONNX operators, as ONNX Runtime reads them."""

from dataclasses import dataclass, field

import numpy as np
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor

__all__ = ["ACTIVATIONS", "DIRECTIONS", "GATES", "Layer", "draw", "expected", "model_of"]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DIRECTIONS = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
N_ACTIVATIONS = {op: len(names) for op, names in DEFAULTS.items()}

# name: (function, default of alpha, default of beta, where its kinks are in terms of a, b)
ACTIVATIONS = {
    "Affine": (lambda x, a, b: a * x + b, 0.0, 0.0, ()),
    "Elu": (lambda x, a, b: torch.where(x >= 0, x, a * (x.exp() - 1)), 1.0, None, (0.0,)),
    "HardSigmoid": (lambda x, a, b: (a * x + b).clamp(0, 1), 0.2, 0.5, "edges"),
    "LeakyRelu": (lambda x, a, b: torch.where(x >= 0, x, a * x), 0.01, None, (0.0,)),
    "Relu": (lambda x, a, b: x.relu(), None, None, (0.0,)),
    "ScaledTanh": (lambda x, a, b: a * (b * x).tanh(), 0.0, 0.0, ()),
    "Sigmoid": (lambda x, a, b: x.sigmoid(), None, None, ()),
    "Softplus": (lambda x, a, b: (1 + x.exp()).log(), None, None, ()),
    "Softsign": (lambda x, a, b: x / (1 + x.abs()), None, None, ()),
    "Tanh": (lambda x, a, b: x.tanh(), None, None, ()),
    "ThresholdedRelu": (lambda x, a, b: torch.where(x > a, x, 0.0 * x), 0.0, None, "alpha"),
}


@dataclass(frozen=True)
class Layer:
    """A layer and the shape of what it reads.

    `given` are its optional operands, of b, l (sequence_lens), h, c and p.
    """

    op: str
    direction: str = "forward"
    attributes: dict[str, object] = field(default_factory=dict)
    given: str = "bh"
    outputs: tuple[str, ...] = ("y", "y_h", "y_c")
    steps: int = 6
    batch: int = 3
    features: int = 5
    hidden: int = 4
    opset: int = 18

    def __str__(self) -> str:
        shown = [f"{name}={value}" for name, value in self.attributes.items()]
        parts = [self.op, self.direction, self.given, "+".join(self.outputs), *shown]
        sizes = f"t{self.steps}n{self.batch}f{self.features}h{self.hidden}o{self.opset}"
        return ",".join([*parts, sizes]).replace(" ", "")


def draw(layer: Layer, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random operands; weights are small, for near saturation float32 has few digits left."""
    n_directions, g, h = len(DIRECTIONS[layer.direction]), GATES[layer.op], layer.hidden
    shapes = {
        "x": (layer.steps, layer.batch, layer.features),
        "w": (n_directions, g * h, layer.features),
        "r": (n_directions, g * h, h),
        "b": (n_directions, 2 * g * h),
        "h": (n_directions, layer.batch, h),
        "c": (n_directions, layer.batch, h),
        "p": (n_directions, 3 * h),
    }
    values = {name: rng.standard_normal(shape, np.float32) / 2 for name, shape in shapes.items()}
    lengths = rng.integers(0, layer.steps + 1, layer.batch).astype(np.int32)
    if layer.batch > 1:
        lengths[rng.permutation(layer.batch)[:2]] = [0, layer.steps]
    values["l"] = lengths
    return {name: a for name, a in values.items() if name in "xwr" or name in layer.given}


def model_of(layer: Layer, values: dict[str, np.ndarray]) -> ModelProto:
    """The layer alone: x, the states and the lengths are inputs, weights are constants."""
    states = [name for name in "hc" if name in layer.given]
    names = [name if name in values else "" for name in "xwrblhcp"]
    results = ("y", "y_h", "y_c") if layer.op == "LSTM" else ("y", "y_h")
    outputs = [name if name in layer.outputs else "" for name in results]
    node = helper.make_node(
        layer.op,
        names if layer.op == "LSTM" else names[:6],
        outputs,
        name="layer",
        hidden_size=layer.hidden,
        direction=layer.direction,
        **layer.attributes,
    )
    n_directions = len(DIRECTIONS[layer.direction])
    kinds = {"x": (TensorProto.FLOAT, ["t", "n", layer.features])}
    kinds |= {name: (TensorProto.FLOAT, [n_directions, "n", layer.hidden]) for name in states}
    if "l" in layer.given:
        kinds["l"] = (TensorProto.INT32, ["n"])
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name],
        [numpy_helper.from_array(values[name], name) for name in "wrbp" if name in values],
    )
    opsets = [helper.make_opsetid("", layer.opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class _Cell:
    """One direction of a layer; `margin` is how close to a kink any sum has come, relatively."""

    def __init__(self, layer: Layer, values: dict[str, Tensor], direction: int) -> None:
        n, h = N_ACTIVATIONS[layer.op], layer.hidden
        names = layer.attributes.get("activations") or DEFAULTS[layer.op] * 2
        alphas = iter(layer.attributes.get("activation_alpha", ()))
        betas = iter(layer.attributes.get("activation_beta", ()))
        functions = []
        for name in names:
            function, alpha, beta, kinks = ACTIVATIONS[name]
            a = None if alpha is None else next(alphas, alpha)
            b = None if beta is None else next(betas, beta)
            functions.append((function, a, b, kinks))
        self.functions = functions[direction * n : (direction + 1) * n]
        bound = layer.attributes.get("clip")
        self.clip = None if bound is None or bound < 0 else bound  # below 0: none, in an RNN
        self.coupled = layer.attributes.get("input_forget", 0)
        self.early = not layer.attributes.get("linear_before_reset", 0)
        g = GATES[layer.op]
        zeros = values["x"].new_zeros
        self.w, self.r = values["w"][direction], values["r"][direction]
        self.b = values["b"][direction] if "b" in values else zeros(2 * g * h)
        self.p = (values["p"][direction] if "p" in values else zeros(3 * h)).split(h)
        self.h, self.g = h, g
        self.margin = float("inf")
        self.step = {"LSTM": self.lstm, "GRU": self.gru, "RNN": self.rnn}[layer.op]

    def act(self, which: int, x: Tensor, *, clipped: bool = True) -> Tensor:
        function, a, b, kinks = self.functions[which]
        if clipped and self.clip is not None:
            self._near(x.abs() - self.clip)
            x = x.clamp(-self.clip, self.clip)
        if kinks == "edges":
            self._near(a * x + b)
            self._near(a * x + b - 1)
        for kink in (a,) if kinks == "alpha" else () if kinks == "edges" else kinks:
            self._near(x - kink)
        return function(x, a, b)

    def _near(self, distance: Tensor) -> None:
        distance = distance.detach().abs()
        # Exactly at a kink is a cell of zeros, where both sides agree on what the slope is.
        if distances := distance[distance > 0].tolist():
            self.margin = min(self.margin, min(distances) / max(distances))

    def lstm(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        half = self.g * self.h
        i, o, f, n = (x @ self.w.T + h @ self.r.T + self.b[:half] + self.b[half:]).split(self.h, -1)
        i = self.act(0, i + self.p[0] * c)
        f = 1 - i if self.coupled else self.act(0, f + self.p[2] * c)
        c = f * c + i * self.act(1, n)
        return self.act(0, o + self.p[1] * c) * self.act(2, c, clipped=False), c

    def gru(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        half = self.g * self.h
        wz, wr, wn = (x @ self.w.T + self.b[:half]).split(self.h, -1)
        rz, rr, rn = self.r.split(self.h)
        bz, br, bn = self.b[half:].split(self.h)
        z, reset = self.act(0, wz + h @ rz.T + bz), self.act(0, wr + h @ rr.T + br)
        inner = (reset * h) @ rn.T + bn if self.early else reset * (h @ rn.T + bn)
        return (1 - z) * self.act(1, wn + inner) + z * h, c

    def rnn(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        half = self.g * self.h
        return self.act(0, x @ self.w.T + h @ self.r.T + self.b[:half] + self.b[half:]), c


def expected(
    layer: Layer, values: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[list[list[Tensor]]], float]:
    """Return y [t d n h], y_h and y_c [d n h]; the state of each direction, row and step; margin.

    Rows run by themselves, each over its own length: in reverse from its own end. A row without
    steps ends in zeros.
    """
    steps, batch, _ = values["x"].shape
    zeros = values["x"].new_zeros
    y, finals, states, margin = [], [], [], float("inf")
    for direction, reverse in enumerate(DIRECTIONS[layer.direction]):
        cell = _Cell(layer, values, direction)
        columns, ends, rows = [], [], []
        for row in range(batch):
            length = int(values["l"][row]) if "l" in values else steps
            h, c = (
                values[name][direction, row] if name in values else zeros(layer.hidden)
                for name in "hc"
            )
            out = [zeros(layer.hidden) for _ in range(steps)]
            for t in range(length)[:: -1 if reverse else 1]:
                h, c = cell.step(values["x"][t, row], h, c)
                out[t] = h = h.clone()
            columns.append(torch.stack(out) if out else zeros(0, layer.hidden))
            ends.append((h, c) if length else (zeros(layer.hidden),) * 2)
            rows.append(out[:length])
        y.append(torch.stack(columns, 1))
        finals.append([torch.stack(end) for end in zip(*ends, strict=True)])
        states.append(rows)
        margin = min(margin, cell.margin)
    results = {"y": torch.stack(y, 1)}
    results |= {f"y_{'hc'[i]}": torch.stack([f[i] for f in finals]) for i in range(2)}
    return results, states, margin
