"""Graph networks of PyG: two layers of every convolution that runs without extensions, and whole models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.zoo_graph_modules import (
    CLASSES,
    EDGE_FEATURES,
    HIDDEN,
    INPUTS,
    Between,
    Classifier,
    DensePooling,
    Encoder,
    Heterogeneous,
    Last,
    PointPairs,
    Positioned,
    SelfAttentionPooling,
    TwoConvolutions,
    TwoPointConvolutions,
    deep,
    dna,
    meta,
    perceptron,
    schnet,
)

Build = Callable[[], tuple[nn.Module, Any]]

NODES, EDGES = 12, 40
KINDS = 4


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
    return TwoConvolutions(kind(INPUTS, HIDDEN), kind(HIDDEN, CLASSES)), (_nodes(), _edges())


def _convolutions(graphs: Any) -> dict[str, Build]:
    """Those that want more than the two widths, or more than edges."""

    def two(make: Callable[[int, int], nn.Module], *extra: Any) -> tuple[nn.Module, Any]:
        return TwoConvolutions(make(INPUTS, HIDDEN), make(HIDDEN, CLASSES)), (_nodes(), _edges(), *extra)

    def between(convolution: nn.Module, *extra: Any, **options: Any) -> tuple[nn.Module, Any]:
        return Between(convolution, **options), (_nodes(), _edges(), *extra)

    def by_edge() -> Tensor:
        return torch.randn(EDGES, EDGE_FEATURES)

    def kinds() -> Tensor:
        return torch.randint(0, KINDS, (EDGES,))

    def points(make: Callable[[int, int], nn.Module]) -> tuple[nn.Module, Any]:
        return TwoPointConvolutions(make(INPUTS, HIDDEN), make(HIDDEN, CLASSES)), (
            _nodes(), torch.randn(NODES, 3), _edges(),
        )  # fmt: skip

    c = graphs
    metadata = (["a", "b"], [("a", "to", "b"), ("b", "to", "a"), ("a", "next", "a")])
    return {
        "SimpleConv": lambda: between(c.SimpleConv()),
        "ChebConv": lambda: two(lambda a, b: c.ChebConv(a, b, K=3)),
        "GatedGraphConv": lambda: between(c.GatedGraphConv(HIDDEN, num_layers=2)),
        "GATConv": lambda: (
            TwoConvolutions(c.GATConv(INPUTS, HIDDEN, heads=4), c.GATConv(4 * HIDDEN, CLASSES, heads=2, concat=False)),
            (_nodes(), _edges()),
        ),
        "GATv2Conv": lambda: (
            TwoConvolutions(
                c.GATv2Conv(INPUTS, HIDDEN, heads=4, edge_dim=EDGE_FEATURES),
                c.GATv2Conv(4 * HIDDEN, CLASSES, heads=2, concat=False, edge_dim=EDGE_FEATURES),
            ),
            (_nodes(), _edges(), by_edge()),
        ),
        "TransformerConv": lambda: (
            TwoConvolutions(
                c.TransformerConv(INPUTS, HIDDEN, heads=4, beta=True), c.TransformerConv(4 * HIDDEN, CLASSES)
            ),
            (_nodes(), _edges()),
        ),
        "AGNNConv": lambda: between(c.AGNNConv()),
        "APPNP": lambda: between(c.APPNP(K=3, alpha=0.1)),
        "GINConv": lambda: two(lambda a, b: c.GINConv(perceptron(a, b), train_eps=True)),
        "GINEConv": lambda: two(lambda a, b: c.GINEConv(perceptron(a, b), edge_dim=EDGE_FEATURES), by_edge()),
        "SSGConv": lambda: two(lambda a, b: c.SSGConv(a, b, alpha=0.1, K=2)),
        "RGCNConv": lambda: two(lambda a, b: c.RGCNConv(a, b, KINDS), kinds()),
        "FastRGCNConv": lambda: two(lambda a, b: c.FastRGCNConv(a, b, KINDS, num_bases=2), kinds()),
        "RGATConv": lambda: two(lambda a, b: c.RGATConv(a, b, KINDS), kinds()),
        "DNAConv": lambda: (dna(c), (_nodes(), _edges())),
        "GMMConv": lambda: two(lambda a, b: c.GMMConv(a, b, dim=EDGE_FEATURES, kernel_size=4), by_edge()),
        "NNConv": lambda: two(lambda a, b: c.NNConv(a, b, perceptron(EDGE_FEATURES, a * b)), by_edge()),
        "CGConv": lambda: between(c.CGConv(HIDDEN, dim=EDGE_FEATURES, batch_norm=True), by_edge()),
        "EdgeConv": lambda: two(lambda a, b: c.EdgeConv(perceptron(2 * a, b))),
        "PointNetConv": lambda: points(lambda a, b: c.PointNetConv(perceptron(a + 3, b), perceptron(b, b))),
        "PPFConv": lambda: (
            PointPairs(c.PPFConv(perceptron(INPUTS + 4, HIDDEN), perceptron(HIDDEN, HIDDEN))),
            (_nodes(), torch.randn(NODES, 3), nn.functional.normalize(torch.randn(NODES, 3)), _edges()),
        ),
        "PointTransformerConv": lambda: points(lambda a, b: c.PointTransformerConv(a, b)),
        "PNAConv": lambda: two(
            lambda a, b: c.PNAConv(a, b, ["mean", "max", "std"], ["identity", "amplification"], torch.tensor([0, 4, 8]))
        ),
        "GCN2Conv": lambda: between(c.GCN2Conv(HIDDEN, alpha=0.1), takes_first=True),
        "FAConv": lambda: between(c.FAConv(HIDDEN), takes_first=True),
        "EGConv": lambda: (
            TwoConvolutions(
                c.EGConv(INPUTS, HIDDEN, aggregators=["sum", "max"], num_heads=4), c.EGConv(HIDDEN, 8, num_heads=4)
            ),
            (_nodes(), _edges()),
        ),
        "PDNConv": lambda: two(lambda a, b: c.PDNConv(a, b, EDGE_FEATURES, 8), by_edge()),
        "HGTConv": lambda: (
            Heterogeneous(c.HGTConv(INPUTS, HIDDEN, metadata, heads=4), metadata[0]),
            _typed(metadata),
        ),
        "HANConv": lambda: (
            Heterogeneous(c.HANConv(INPUTS, HIDDEN, metadata, heads=4), metadata[0]),
            _typed(metadata),
        ),
        "HeteroConv": lambda: (
            Heterogeneous(
                c.HeteroConv({edge: c.SAGEConv(INPUTS, HIDDEN) for edge in metadata[1]}, aggr="sum"), metadata[0]
            ),
            _typed(metadata),
        ),
        "HEATConv": lambda: (
            TwoConvolutions(c.HEATConv(INPUTS, HIDDEN, 2, KINDS, 4, EDGE_FEATURES, 4, heads=2), Last(2 * HIDDEN)),
            (_nodes(), _edges(), torch.randint(0, 2, (NODES,)), kinds(), by_edge()),
        ),
        "LGConv": lambda: between(c.LGConv()),
        "PointGNNConv": lambda: (
            Positioned(
                c.PointGNNConv(perceptron(HIDDEN, 3), perceptron(HIDDEN + 3, HIDDEN), perceptron(HIDDEN, HIDDEN))
            ),
            (_nodes(), torch.randn(NODES, 3), _edges()),
        ),
        "GPSConv": lambda: between(c.GPSConv(HIDDEN, c.GCNConv(HIDDEN, HIDDEN), heads=4)),
        "AntiSymmetricConv": lambda: between(c.AntiSymmetricConv(HIDDEN, num_iters=2)),
        "DirGNNConv": lambda: two(lambda a, b: c.DirGNNConv(c.SAGEConv(a, b))),
        "MixHopConv": lambda: (
            TwoConvolutions(c.MixHopConv(INPUTS, HIDDEN), c.MixHopConv(3 * HIDDEN, CLASSES)),
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
        "models.SchNet": lambda: (schnet(m), _atoms()),
        "models.DimeNet++": lambda: (m.DimeNetPlusPlus(HIDDEN, 4, 2, 8, HIDDEN, 8, 3, 4), _atoms()),
        "models.ViSNet": lambda: (
            m.ViSNet(num_layers=2, hidden_channels=HIDDEN, num_heads=4, num_rbf=8),
            (*_atoms(), _one_graph()),
        ),
        "models.DeepGCN": lambda: (deep(graphs), (_nodes(), _edges())),
        "models.GAE": lambda: (Encoder(m.GAE(m.GCN(INPUTS, HIDDEN, 2, CLASSES))), (_nodes(), _edges())),
        "models.PMLP": lambda: (m.PMLP(INPUTS, HIDDEN, CLASSES, 3), (_nodes(), _edges())),
        "models.SGFormer": lambda: (m.SGFormer(INPUTS, HIDDEN, CLASSES), (_nodes(), _edges(), _one_graph())),
        "models.Polynormer": lambda: (
            m.Polynormer(INPUTS, HIDDEN, CLASSES),
            (_nodes(), _edges(), _one_graph()),
        ),
        "models.LINKX": lambda: (m.LINKX(NODES, INPUTS, HIDDEN, CLASSES, 2), (_nodes(), _edges())),
        "models.LightGCN": lambda: (m.LightGCN(NODES, HIDDEN, 2), (_edges(),)),
        "models.MetaLayer": lambda: (meta(m), (_nodes(), _edges(), torch.randn(EDGES, EDGE_FEATURES))),
        "classifier of graphs": lambda: (Classifier(graphs), (_nodes(), _edges(), pooled())),
        "classifier of graphs, sorted": lambda: (
            Classifier(graphs, graphs.SortAggregation(k=3), 3),
            (_nodes(), _edges(), pooled()),
        ),
        "classifier of graphs, Set2Set": lambda: (
            Classifier(graphs, graphs.Set2Set(HIDDEN, 3), 2),
            (_nodes(), _edges(), pooled()),
        ),
        "classifier of graphs, SAG pooling": lambda: (SelfAttentionPooling(graphs), (_nodes(), _edges(), pooled())),
        "classifier of graphs, dense pooling": lambda: (DensePooling(graphs), (_nodes()[None], _adjacency())),
    }


def _typed(metadata: tuple[list[str], list[tuple[str, str, str]]]) -> Any:
    return {name: _nodes() for name in metadata[0]}, {edge: _edges() for edge in metadata[1]}


def _adjacency() -> Tensor:
    return (torch.rand(1, NODES, NODES) < 0.3).float()
