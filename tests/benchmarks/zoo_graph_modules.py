"""What stands around PyG's convolutions in the zoo: layers before and after, readouts, lists of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

INPUTS, HIDDEN, CLASSES = 8, 16, 5
EDGE_FEATURES = 3


class TwoConvolutions(nn.Module):
    """Two layers of one kind of graph convolution; both get the same edges, and what comes with them."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, *edges: Any) -> Tensor:
        return self.second(self.first(x, *edges).relu(), *edges)


class Between(nn.Module):
    """A convolution that keeps the width, between a layer that makes it and one that reads it."""

    def __init__(self, convolution: nn.Module, width: int = HIDDEN, takes_first: bool = False) -> None:
        super().__init__()
        self.first, self.convolution, self.last = nn.Linear(INPUTS, HIDDEN), convolution, nn.Linear(width, CLASSES)
        self.takes_first = takes_first

    def forward(self, x: Tensor, *edges: Any) -> Tensor:
        x = self.first(x).relu()
        given = (x, x, *edges) if self.takes_first else (x, *edges)
        return self.last(self.convolution(*given).relu())


def perceptron(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))


class TwoPointConvolutions(nn.Module):
    """Two layers on points with features."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, positions: Tensor, edges: Tensor) -> Tensor:
        return self.second(self.first(x, positions, edges).relu(), positions, edges)


class PointPairs(nn.Module):
    """A layer on points with normals, and a linear one."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution, self.last = convolution, nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor, positions: Tensor, normals: Tensor, edges: Tensor) -> Tensor:
        return self.last(self.convolution(x, positions, normals, edges).relu())


class Positioned(nn.Module):
    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.first, self.convolution, self.last = nn.Linear(INPUTS, HIDDEN), convolution, nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor, positions: Tensor, edges: Tensor) -> Tensor:
        return self.last(self.convolution(self.first(x), positions, edges))


class Last(nn.Module):
    """A linear layer that is handed edges too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor, *edges: Any) -> Tensor:
        return self.linear(x)


class Heterogeneous(nn.Module):
    """A convolution on nodes of several types, and a linear layer for each."""

    def __init__(self, convolution: nn.Module, types: list[str]) -> None:
        super().__init__()
        self.convolution = convolution
        self.last = nn.ModuleDict({name: nn.Linear(HIDDEN, CLASSES) for name in types})

    def forward(self, x: dict[str, Tensor], edges: dict[tuple[str, str, str], Tensor]) -> dict[str, Tensor]:
        found = self.convolution(x, edges)
        return {name: self.last[name](value.relu()) for name, value in found.items()}


class Dense(nn.Module):
    def __init__(self, first: nn.Module, convolution: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.first, self.convolution, self.last = first, convolution, last

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.first(x).relu()
        history = torch.stack([x, x.tanh()], dim=1)
        return self.last(self.convolution(history, edges))


def dna(graphs: Any) -> nn.Module:
    convolution = graphs.DNAConv(HIDDEN, heads=4, groups=2)
    return Dense(nn.Linear(INPUTS, HIDDEN), convolution, nn.Linear(HIDDEN, CLASSES))


class Encoder(nn.Module):
    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.autoencoder.decode(self.autoencoder.encode(x, edges), edges)


class Pairs(nn.Module):
    """All pairs of atoms that are near, without an extension."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, positions: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        distances = torch.cdist(positions, positions) + 1e3 * torch.eye(len(positions))
        edges = (distances < self.cutoff).nonzero().t()
        return edges, distances[edges[0], edges[1]]


def schnet(models: Any) -> nn.Module:
    return models.SchNet(HIDDEN, HIDDEN, num_interactions=2, num_gaussians=8, interaction_graph=Pairs(3.0))


class Stack(nn.Module):
    def __init__(self, first: nn.Module, layers: list[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.first, self.layers, self.last = first, nn.ModuleList(layers), last

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = layer(x, edges)
        return self.last(x)


def deep(graphs: Any) -> nn.Module:
    layers = [
        graphs.DeepGCNLayer(graphs.GENConv(HIDDEN, HIDDEN), graphs.LayerNorm(HIDDEN), nn.ReLU(), block="res+")
        for _ in range(3)
    ]
    return Stack(nn.Linear(INPUTS, HIDDEN), layers, nn.Linear(HIDDEN, CLASSES))


class OfEdges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.perceptron = perceptron(2 * INPUTS + EDGE_FEATURES, HIDDEN)

    def forward(self, source: Tensor, target: Tensor, edge: Tensor, graph: Any, batch: Any) -> Tensor:
        return self.perceptron(torch.cat([source, target, edge], dim=1))


class OfNodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.perceptron = perceptron(INPUTS + HIDDEN, CLASSES)

    def forward(self, x: Tensor, edges: Tensor, edge: Tensor, graph: Any, batch: Any) -> Tensor:
        received = edge.new_zeros(x.shape[0], edge.shape[1]).index_add(0, edges[1], edge)
        return self.perceptron(torch.cat([x, received], dim=1))


def meta(models: Any) -> nn.Module:
    return models.MetaLayer(OfEdges(), OfNodes())


class Classifier(nn.Module):
    """Convolutions and norms of three kinds, a readout of each graph, a perceptron."""

    def __init__(self, graphs: Any, readout: nn.Module | None = None, times: int = 1) -> None:
        super().__init__()
        self.first, self.second = graphs.GCNConv(INPUTS, HIDDEN), graphs.SAGEConv(HIDDEN, HIDDEN)
        self.norm, self.other = graphs.GraphNorm(HIDDEN), graphs.BatchNorm(HIDDEN)
        self.readout = readout or graphs.aggr.MeanAggregation()
        self.last = perceptron(times * HIDDEN, CLASSES)

    def forward(self, x: Tensor, edges: Tensor, batch: Tensor) -> Tensor:
        x = self.norm(self.first(x, edges), batch).relu()
        x = self.other(self.second(x, edges)).relu() + x
        return self.last(self.readout(x, batch))


class SelfAttentionPooling(nn.Module):
    """Nodes that are left out by their score, in steps, read out by mean and maximum."""

    def __init__(self, graphs: Any) -> None:
        super().__init__()
        self.convolution, self.pooling = graphs.GraphConv(INPUTS, HIDDEN), graphs.SAGPooling(HIDDEN, ratio=0.5)
        self.mean, self.max = graphs.aggr.MeanAggregation(), graphs.aggr.MaxAggregation()
        self.last = perceptron(2 * HIDDEN, CLASSES)

    def forward(self, x: Tensor, edges: Tensor, batch: Tensor) -> Tensor:
        x = self.convolution(x, edges).relu()
        x, edges, _, batch, _, _ = self.pooling(x, edges, None, batch)
        return self.last(torch.cat([self.mean(x, batch), self.max(x, batch)], dim=1))


class DensePooling(nn.Module):
    """DiffPool: nodes are assigned to clusters by a softmax."""

    def __init__(self, graphs: Any) -> None:
        super().__init__()
        self.assignment, self.convolution = graphs.DenseSAGEConv(INPUTS, 4), graphs.DenseSAGEConv(INPUTS, HIDDEN)
        self.second = graphs.DenseGCNConv(HIDDEN, HIDDEN)
        self.pool = graphs.dense_diff_pool
        self.last = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        hidden, clusters = self.convolution(x, adjacency).relu(), self.assignment(x, adjacency)
        x, adjacency, _, _ = self.pool(hidden, adjacency, clusters)
        return self.last(self.second(x, adjacency).relu().mean(dim=1))
