"""The networks and data of the studies: each on real data that comes with a package."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from notebooks.results.furniture import dgcnn
from notebooks.results.reuters import lstm
from notebooks.results.study import Task
from prunescope.core.modes import evaluating
from prunescope.explorer.gallery.data import Split, load
from prunescope.explorer.gallery.fit import accuracy, digit_loss, shifted
from prunescope.explorer.gallery.models import DigitsResNet, DigitsViT

DIGITS = "UCI handwritten digits (1,797 images, 8x8): 1,077 to train, 360 to validate, 360 to test"
NEIGHBOURS = 8


def digits_batches(epoch: int) -> list[tuple[Tensor, Tensor]]:
    """The train split in an order of its own for every epoch, each image moved by up to a pixel."""
    digits, order = load("train"), torch.Generator().manual_seed(epoch)
    parts = torch.randperm(len(digits.labels), generator=order).split(64)
    return [(shifted(digits.images[part], order), digits.labels[part]) for part in parts]


def digits_accuracy(model: nn.Module, split: Any) -> float:
    return accuracy(model, split)


def resnet() -> Task:
    return Task(
        "resnet20-digits", DigitsResNet, load("train").images[:1], digits_batches, digit_loss, digits_accuracy,
        epochs=20, rate=3e-3, tuning_epochs=8, data=DIGITS,
    )  # fmt: skip


def vit() -> Task:
    return Task(
        "vit-digits", DigitsViT, load("train").images[:1], digits_batches, digit_loss, digits_accuracy,
        epochs=80, rate=1e-3, tuning_epochs=120, tuning_rate=1e-3, data=DIGITS, scopes=("local",),
        criteria=("magnitude", "taylor"),
    )  # fmt: skip


class DigitsGAT(nn.Module):
    """Two layers of graph attention."""

    def __init__(self, heads: int = 8, features: int = 32) -> None:
        super().__init__()
        from torch_geometric.nn import GATConv

        self.first = GATConv(64, features, heads=heads)
        self.second = GATConv(heads * features, features, heads=heads)
        self.out = nn.Linear(heads * features, 10)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = functional.elu(self.first(x, edges))
        x = functional.elu(self.second(x, edges))
        logits: Tensor = self.out(x)
        return logits


@cache
def digits_graph() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels (1797, 64), edges (2, n), labels and split (1797,): every image and its nearest neighbours by pixels."""
    parts = [load(split) for split in ("train", "validation", "test")]
    x = torch.cat([part.images.flatten(1) for part in parts])
    labels = torch.cat([part.labels for part in parts])
    split = torch.cat([torch.full((len(part.labels),), n) for n, part in enumerate(parts)])
    near = torch.cdist(x, x).topk(NEIGHBOURS + 1, largest=False).indices[:, 1:]
    edges = torch.stack([near.flatten(), torch.arange(len(x)).repeat_interleave(NEIGHBOURS)])
    return x, edges, labels, split


def graph_loss(model: nn.Module, batch: Any) -> Tensor:
    x, edges, labels, split = batch
    return functional.cross_entropy(model(x, edges)[split == 0], labels[split == 0])


def graph_accuracy(model: nn.Module, split: str) -> float:
    x, edges, labels, splits = digits_graph()
    names: tuple[Split, ...] = ("train", "validation", "test")
    chosen = splits == names.index(split)  # type: ignore[arg-type]
    with evaluating(model), torch.no_grad():
        return float((model(x, edges).argmax(1) == labels)[chosen].float().mean())


def gat() -> Task:
    x, edges, _, _ = digits_graph()
    return Task(
        "gat-digits-graph", DigitsGAT, (x, edges), lambda epoch: [digits_graph()], graph_loss, graph_accuracy,
        epochs=120, rate=5e-3, tuning_epochs=60, kinds=("heads", "head dimensions"), scopes=("local", "global"),
        data=f"{DIGITS}, as one graph of {NEIGHBOURS} nearest neighbours by pixels; transductive",
    )  # fmt: skip


TASKS = MappingProxyType({"resnet": resnet, "vit": vit, "gat": gat, "lstm": lstm, "dgcnn": dgcnn})
