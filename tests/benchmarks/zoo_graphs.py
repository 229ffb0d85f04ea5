"""Graph networks of PyG: two layers of every convolution that runs without extensions, and whole models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Build = Callable[[], tuple[nn.Module, Any]]

NODES, EDGES = 12, 40
INPUTS, HIDDEN, CLASSES = 8, 16, 5
EDGE_FEATURES, KINDS = 3, 4


class _TwoConvolutions(nn.Module):
    """Two layers of one kind of graph convolution; both get the same edges, and what comes with them."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, *edges: Any) -> Tensor:
        return self.second(self.first(x, *edges).relu(), *edges)


class _Between(nn.Module):
    """A convolution that keeps the width, between a layer that makes it and one that reads it."""

    def __init__(self, convolution: nn.Module, width: int = HIDDEN, takes_first: bool = False) -> None:
        super().__init__()
        self.first, self.convolution, self.last = nn.Linear(INPUTS, HIDDEN), convolution, nn.Linear(width, CLASSES)
        self.takes_first = takes_first

    def forward(self, x: Tensor, *edges: Any) -> Tensor:
        x = self.first(x).relu()
        given = (x, x, *edges) if self.takes_first else (x, *edges)
        return self.last(self.convolution(*given).relu())


def _perceptron(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))


def graph_networks() -> Iterator[tuple[str, Build]]:
    """Name and builder of each."""
    from torch_geometric import nn as graphs

    special = {**_convolutions(graphs), **_models(graphs)}
    for name in graphs.conv.__all__:
        yield f"pyg/{name}", special.pop(name, None) or (lambda name=name: _plain(getattr(graphs, name)))
    for name, build in special.items():
        yield f"pyg/{name}", build


def _edges() -> Tensor:
    return torch.randint(0, NODES, (2, EDGES))


def _nodes(width: int = INPUTS) -> Tensor:
    return torch.randn(NODES, width)


def _atoms() -> tuple[Tensor, Tensor]:
    """Atomic numbers and places."""
    return torch.randint(1, 9, (NODES,)), 3 * torch.rand(NODES, 3)


def _one_graph() -> Tensor:
    return torch.zeros(NODES, dtype=torch.int64)


def _plain(kind: type[nn.Module]) -> tuple[nn.Module, Any]:
    return _TwoConvolutions(kind(INPUTS, HIDDEN), kind(HIDDEN, CLASSES)), (_nodes(), _edges())


def _convolutions(graphs: Any) -> dict[str, Build]:
    """Those that want more than the two widths, or more than edges."""

    def two(make: Callable[[int, int], nn.Module], *extra: Any) -> tuple[nn.Module, Any]:
        return _TwoConvolutions(make(INPUTS, HIDDEN), make(HIDDEN, CLASSES)), (_nodes(), _edges(), *extra)

    def between(convolution: nn.Module, *extra: Any, **options: Any) -> tuple[nn.Module, Any]:
        return _Between(convolution, **options), (_nodes(), _edges(), *extra)

    def by_edge() -> Tensor:
        return torch.randn(EDGES, EDGE_FEATURES)

    def kinds() -> Tensor:
        return torch.randint(0, KINDS, (EDGES,))

    def points(make: Callable[[int, int], nn.Module]) -> tuple[nn.Module, Any]:
        return _TwoPointConvolutions(make(INPUTS, HIDDEN), make(HIDDEN, CLASSES)), (
            _nodes(), torch.randn(NODES, 3), _edges(),
        )  # fmt: skip

    c = graphs
    metadata = (["a", "b"], [("a", "to", "b"), ("b", "to", "a"), ("a", "next", "a")])
    return {
        "SimpleConv": lambda: between(c.SimpleConv()),
        "ChebConv": lambda: two(lambda a, b: c.ChebConv(a, b, K=3)),
        "GatedGraphConv": lambda: between(c.GatedGraphConv(HIDDEN, num_layers=2)),
        "GATConv": lambda: (
            _TwoConvolutions(c.GATConv(INPUTS, HIDDEN, heads=4), c.GATConv(4 * HIDDEN, CLASSES, heads=2, concat=False)),
            (_nodes(), _edges()),
        ),
        "GATv2Conv": lambda: (
            _TwoConvolutions(
                c.GATv2Conv(INPUTS, HIDDEN, heads=4, edge_dim=EDGE_FEATURES),
                c.GATv2Conv(4 * HIDDEN, CLASSES, heads=2, concat=False, edge_dim=EDGE_FEATURES),
            ),
            (_nodes(), _edges(), by_edge()),
        ),
        "TransformerConv": lambda: (
            _TwoConvolutions(
                c.TransformerConv(INPUTS, HIDDEN, heads=4, beta=True), c.TransformerConv(4 * HIDDEN, CLASSES)
            ),
            (_nodes(), _edges()),
        ),
        "AGNNConv": lambda: between(c.AGNNConv()),
        "APPNP": lambda: between(c.APPNP(K=3, alpha=0.1)),
        "GINConv": lambda: two(lambda a, b: c.GINConv(_perceptron(a, b), train_eps=True)),
        "GINEConv": lambda: two(lambda a, b: c.GINEConv(_perceptron(a, b), edge_dim=EDGE_FEATURES), by_edge()),
        "SSGConv": lambda: two(lambda a, b: c.SSGConv(a, b, alpha=0.1, K=2)),
        "RGCNConv": lambda: two(lambda a, b: c.RGCNConv(a, b, KINDS), kinds()),
        "FastRGCNConv": lambda: two(lambda a, b: c.FastRGCNConv(a, b, KINDS, num_bases=2), kinds()),
        "RGATConv": lambda: two(lambda a, b: c.RGATConv(a, b, KINDS), kinds()),
        "DNAConv": lambda: (_dna(c), (_nodes(), _edges())),
        "GMMConv": lambda: two(lambda a, b: c.GMMConv(a, b, dim=EDGE_FEATURES, kernel_size=4), by_edge()),
        "NNConv": lambda: two(lambda a, b: c.NNConv(a, b, _perceptron(EDGE_FEATURES, a * b)), by_edge()),
        "CGConv": lambda: between(c.CGConv(HIDDEN, dim=EDGE_FEATURES, batch_norm=True), by_edge()),
        "EdgeConv": lambda: two(lambda a, b: c.EdgeConv(_perceptron(2 * a, b))),
        "PointNetConv": lambda: points(lambda a, b: c.PointNetConv(_perceptron(a + 3, b), _perceptron(b, b))),
        "PPFConv": lambda: (
            _PointPairs(c.PPFConv(_perceptron(INPUTS + 4, HIDDEN), _perceptron(HIDDEN, HIDDEN))),
            (_nodes(), torch.randn(NODES, 3), nn.functional.normalize(torch.randn(NODES, 3)), _edges()),
        ),
        "PointTransformerConv": lambda: points(lambda a, b: c.PointTransformerConv(a, b)),
        "PNAConv": lambda: two(
            lambda a, b: c.PNAConv(a, b, ["mean", "max", "std"], ["identity", "amplification"], torch.tensor([0, 4, 8]))
        ),
        "GCN2Conv": lambda: between(c.GCN2Conv(HIDDEN, alpha=0.1), takes_first=True),
        "FAConv": lambda: between(c.FAConv(HIDDEN), takes_first=True),
        "EGConv": lambda: (
            _TwoConvolutions(
                c.EGConv(INPUTS, HIDDEN, aggregators=["sum", "max"], num_heads=4), c.EGConv(HIDDEN, 8, num_heads=4)
            ),
            (_nodes(), _edges()),
        ),
        "PDNConv": lambda: two(lambda a, b: c.PDNConv(a, b, EDGE_FEATURES, 8), by_edge()),
        "HGTConv": lambda: (
            _Heterogeneous(c.HGTConv(INPUTS, HIDDEN, metadata, heads=4), metadata[0]),
            _typed(metadata),
        ),
        "HANConv": lambda: (
            _Heterogeneous(c.HANConv(INPUTS, HIDDEN, metadata, heads=4), metadata[0]),
            _typed(metadata),
        ),
        "HeteroConv": lambda: (
            _Heterogeneous(
                c.HeteroConv({edge: c.SAGEConv(INPUTS, HIDDEN) for edge in metadata[1]}, aggr="sum"), metadata[0]
            ),
            _typed(metadata),
        ),
        "HEATConv": lambda: (
            _TwoConvolutions(c.HEATConv(INPUTS, HIDDEN, 2, KINDS, 4, EDGE_FEATURES, 4, heads=2), _Last(2 * HIDDEN)),
            (_nodes(), _edges(), torch.randint(0, 2, (NODES,)), kinds(), by_edge()),
        ),
        "LGConv": lambda: between(c.LGConv()),
        "PointGNNConv": lambda: (
            _Positioned(
                c.PointGNNConv(_perceptron(HIDDEN, 3), _perceptron(HIDDEN + 3, HIDDEN), _perceptron(HIDDEN, HIDDEN))
            ),
            (_nodes(), torch.randn(NODES, 3), _edges()),
        ),
        "GPSConv": lambda: between(c.GPSConv(HIDDEN, c.GCNConv(HIDDEN, HIDDEN), heads=4)),
        "AntiSymmetricConv": lambda: between(c.AntiSymmetricConv(HIDDEN, num_iters=2)),
        "DirGNNConv": lambda: two(lambda a, b: c.DirGNNConv(c.SAGEConv(a, b))),
        "MixHopConv": lambda: (
            _TwoConvolutions(c.MixHopConv(INPUTS, HIDDEN), c.MixHopConv(3 * HIDDEN, CLASSES)),
            (_nodes(), _edges()),
        ),
        "WLConvContinuous": lambda: between(c.WLConvContinuous()),
    }


def _models(graphs: Any) -> dict[str, Build]:
    def basic(kind: Any, **options: Any) -> tuple[nn.Module, Any]:
        return kind(INPUTS, HIDDEN, 3, CLASSES, norm="batch", **options), (_nodes(), _edges())

    def pooled() -> Tensor:
        return torch.arange(NODES) // (NODES // 3)

    m = graphs.models
    return {
        "models.GCN": lambda: basic(m.GCN),
        "models.GCN, all layers joined": lambda: basic(m.GCN, jk="cat"),
        "models.GraphSAGE": lambda: basic(m.GraphSAGE, jk="lstm"),
        "models.GIN": lambda: basic(m.GIN, jk="max"),
        "models.GAT": lambda: basic(m.GAT, heads=4),
        "models.GATv2": lambda: basic(m.GAT, heads=4, v2=True),
        "models.PNA": lambda: basic(
            m.PNA, aggregators=["mean", "max"], scalers=["identity"], deg=torch.tensor([0, 4, 8])
        ),
        "models.EdgeCNN": lambda: basic(m.EdgeCNN),
        "models.MLP": lambda: (m.MLP([INPUTS, HIDDEN, HIDDEN, CLASSES]), (_nodes(),)),
        "models.AttentiveFP": lambda: (
            m.AttentiveFP(INPUTS, HIDDEN, CLASSES, EDGE_FEATURES, 2, 2),
            (_nodes(), _edges(), torch.randn(EDGES, EDGE_FEATURES), pooled()),
        ),
        "models.GraphUNet": lambda: (m.GraphUNet(INPUTS, HIDDEN, CLASSES, depth=2), (_nodes(), _edges())),
        "models.SchNet": lambda: (_schnet(m), _atoms()),
        "models.DimeNet++": lambda: (m.DimeNetPlusPlus(HIDDEN, 4, 2, 8, HIDDEN, 8, 3, 4), _atoms()),
        "models.ViSNet": lambda: (
            m.ViSNet(num_layers=2, hidden_channels=HIDDEN, num_heads=4, num_rbf=8),
            (*_atoms(), _one_graph()),
        ),
        "models.DeepGCN": lambda: (_deep(graphs), (_nodes(), _edges())),
        "models.GAE": lambda: (_Encoder(m.GAE(m.GCN(INPUTS, HIDDEN, 2, CLASSES))), (_nodes(), _edges())),
        "models.PMLP": lambda: (m.PMLP(INPUTS, HIDDEN, CLASSES, 3), (_nodes(), _edges())),
        "models.SGFormer": lambda: (m.SGFormer(INPUTS, HIDDEN, CLASSES), (_nodes(), _edges(), _one_graph())),
        "models.Polynormer": lambda: (
            m.Polynormer(INPUTS, HIDDEN, CLASSES),
            (_nodes(), _edges(), _one_graph()),
        ),
        "models.LINKX": lambda: (m.LINKX(NODES, INPUTS, HIDDEN, CLASSES, 2), (_nodes(), _edges())),
        "models.LightGCN": lambda: (m.LightGCN(NODES, HIDDEN, 2), (_edges(),)),
        "models.MetaLayer": lambda: (_meta(m), (_nodes(), _edges(), torch.randn(EDGES, EDGE_FEATURES))),
        "classifier of graphs": lambda: (_Classifier(graphs), (_nodes(), _edges(), pooled())),
        "classifier of graphs, sorted": lambda: (
            _Classifier(graphs, graphs.SortAggregation(k=3), 3),
            (_nodes(), _edges(), pooled()),
        ),
        "classifier of graphs, Set2Set": lambda: (
            _Classifier(graphs, graphs.Set2Set(HIDDEN, 3), 2),
            (_nodes(), _edges(), pooled()),
        ),
        "classifier of graphs, SAG pooling": lambda: (_SelfAttentionPooling(graphs), (_nodes(), _edges(), pooled())),
        "classifier of graphs, dense pooling": lambda: (_DensePooling(graphs), (_nodes()[None], _adjacency())),
    }


class _TwoPointConvolutions(nn.Module):
    """Two layers on points with features."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, positions: Tensor, edges: Tensor) -> Tensor:
        return self.second(self.first(x, positions, edges).relu(), positions, edges)


class _PointPairs(nn.Module):
    """A layer on points with normals, and a linear one."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution, self.last = convolution, nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor, positions: Tensor, normals: Tensor, edges: Tensor) -> Tensor:
        return self.last(self.convolution(x, positions, normals, edges).relu())


class _Positioned(nn.Module):
    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.first, self.convolution, self.last = nn.Linear(INPUTS, HIDDEN), convolution, nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor, positions: Tensor, edges: Tensor) -> Tensor:
        return self.last(self.convolution(self.first(x), positions, edges))


class _Last(nn.Module):
    """A linear layer that is handed edges too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor, *edges: Any) -> Tensor:
        return self.linear(x)


class _Heterogeneous(nn.Module):
    """A convolution on nodes of several types, and a linear layer for each."""

    def __init__(self, convolution: nn.Module, types: list[str]) -> None:
        super().__init__()
        self.convolution = convolution
        self.last = nn.ModuleDict({name: nn.Linear(HIDDEN, CLASSES) for name in types})

    def forward(self, x: dict[str, Tensor], edges: dict[tuple[str, str, str], Tensor]) -> dict[str, Tensor]:
        found = self.convolution(x, edges)
        return {name: self.last[name](value.relu()) for name, value in found.items()}


def _typed(metadata: tuple[list[str], list[tuple[str, str, str]]]) -> Any:
    return {name: _nodes() for name in metadata[0]}, {edge: _edges() for edge in metadata[1]}


class _Dense(nn.Module):
    def __init__(self, first: nn.Module, convolution: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.first, self.convolution, self.last = first, convolution, last

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.first(x).relu()
        history = torch.stack([x, x.tanh()], dim=1)
        return self.last(self.convolution(history, edges))


def _dna(graphs: Any) -> nn.Module:
    convolution = graphs.DNAConv(HIDDEN, heads=4, groups=2)
    return _Dense(nn.Linear(INPUTS, HIDDEN), convolution, nn.Linear(HIDDEN, CLASSES))


class _Encoder(nn.Module):
    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.autoencoder.decode(self.autoencoder.encode(x, edges), edges)


class _Pairs(nn.Module):
    """All pairs of atoms that are near, without an extension."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, positions: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        distances = torch.cdist(positions, positions) + 1e3 * torch.eye(len(positions))
        edges = (distances < self.cutoff).nonzero().t()
        return edges, distances[edges[0], edges[1]]


def _schnet(models: Any) -> nn.Module:
    return models.SchNet(HIDDEN, HIDDEN, num_interactions=2, num_gaussians=8, interaction_graph=_Pairs(3.0))


class _Stack(nn.Module):
    def __init__(self, first: nn.Module, layers: list[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.first, self.layers, self.last = first, nn.ModuleList(layers), last

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = layer(x, edges)
        return self.last(x)


def _deep(graphs: Any) -> nn.Module:
    layers = [
        graphs.DeepGCNLayer(graphs.GENConv(HIDDEN, HIDDEN), graphs.LayerNorm(HIDDEN), nn.ReLU(), block="res+")
        for _ in range(3)
    ]
    return _Stack(nn.Linear(INPUTS, HIDDEN), layers, nn.Linear(HIDDEN, CLASSES))


class _OfEdges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.perceptron = _perceptron(2 * INPUTS + EDGE_FEATURES, HIDDEN)

    def forward(self, source: Tensor, target: Tensor, edge: Tensor, graph: Any, batch: Any) -> Tensor:
        return self.perceptron(torch.cat([source, target, edge], dim=1))


class _OfNodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.perceptron = _perceptron(INPUTS + HIDDEN, CLASSES)

    def forward(self, x: Tensor, edges: Tensor, edge: Tensor, graph: Any, batch: Any) -> Tensor:
        received = edge.new_zeros(x.shape[0], edge.shape[1]).index_add(0, edges[1], edge)
        return self.perceptron(torch.cat([x, received], dim=1))


def _meta(models: Any) -> nn.Module:
    return models.MetaLayer(_OfEdges(), _OfNodes())


class _Classifier(nn.Module):
    """Convolutions and norms of three kinds, a readout of each graph, a perceptron."""

    def __init__(self, graphs: Any, readout: nn.Module | None = None, times: int = 1) -> None:
        super().__init__()
        self.first, self.second = graphs.GCNConv(INPUTS, HIDDEN), graphs.SAGEConv(HIDDEN, HIDDEN)
        self.norm, self.other = graphs.GraphNorm(HIDDEN), graphs.BatchNorm(HIDDEN)
        self.readout = readout or graphs.aggr.MeanAggregation()
        self.last = _perceptron(times * HIDDEN, CLASSES)

    def forward(self, x: Tensor, edges: Tensor, batch: Tensor) -> Tensor:
        x = self.norm(self.first(x, edges), batch).relu()
        x = self.other(self.second(x, edges)).relu() + x
        return self.last(self.readout(x, batch))


class _SelfAttentionPooling(nn.Module):
    """Nodes that are left out by their score, in steps, read out by mean and maximum."""

    def __init__(self, graphs: Any) -> None:
        super().__init__()
        self.convolution, self.pooling = graphs.GraphConv(INPUTS, HIDDEN), graphs.SAGPooling(HIDDEN, ratio=0.5)
        self.mean, self.max = graphs.aggr.MeanAggregation(), graphs.aggr.MaxAggregation()
        self.last = _perceptron(2 * HIDDEN, CLASSES)

    def forward(self, x: Tensor, edges: Tensor, batch: Tensor) -> Tensor:
        x = self.convolution(x, edges).relu()
        x, edges, _, batch, _, _ = self.pooling(x, edges, None, batch)
        return self.last(torch.cat([self.mean(x, batch), self.max(x, batch)], dim=1))


class _DensePooling(nn.Module):
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


def _adjacency() -> Tensor:
    return (torch.rand(1, NODES, NODES) < 0.3).float()
