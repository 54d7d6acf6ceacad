"""Export an untrained network in a process of its own: `python exporting.py photos FILE`.

Prints nothing; leaves FILE (ONNX) and FILE.npz (inputs and torch's answers).
"""

import sys
from pathlib import Path

import numpy as np
import torch

from zoo.export import save
from zoo.networks.photos import PhotoNet
from zoo.networks.sentences import Dropout, SentenceNet
from zoo.publish import export
from zoo.table import TABLE


def photos():
    net = PhotoNet(7)
    net.train()
    with torch.no_grad():  # batch norms of an untrained network fold to nothing worth comparing
        for _ in range(3):
            net(torch.randn(16, 3, 64, 64))
    inputs = [torch.rand(n, 3, 64, 64) for n in (1, 2, 5)]
    return net.eval(), export(TABLE["photos"], net), inputs


def sentences():
    net = SentenceNet(40, 12, 16, Dropout()).eval()
    inputs = [torch.randint(2, 40, shape) for shape in ((1, 1), (3, 41), (2, 300))]
    inputs[1][0, 5:] = 0
    inputs[1][2, :] = 0
    return net, export(TABLE["sentences"], net), inputs


if __name__ == "__main__":
    kind, file = sys.argv[1], Path(sys.argv[2])
    torch.manual_seed(0)
    network, model, batches = {"photos": photos, "sentences": sentences}[kind]()
    save(model, file)
    arrays = {f"x{i}": batch.numpy() for i, batch in enumerate(batches)}
    with torch.no_grad():
        arrays |= {f"y{i}": network(batch).numpy() for i, batch in enumerate(batches)}
    np.savez(file.with_suffix(".npz"), **arrays)
