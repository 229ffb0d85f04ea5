"""Transformers, recurrent networks and graph networks, with no settings: half of every group's units go, exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import plan, predicted, prune, score, trace
from prunescope.core.measure import macs, parameters
from prunescope.explorer.gallery import open_model


class Recurrent(nn.Module):
    """Words -> class, by a recurrent layer of torch."""

    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.cells = kind(16, 24, num_layers=2, batch_first=True, **options)
        width = options.get("proj_size", 24) * (2 if options.get("bidirectional") else 1)
        self.out = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cells(self.embed(x))[0].mean(1))


class GroupedQueries(nn.Module):
    """Four query heads share two key and value heads; halves of the width are rotated into each other."""

    def __init__(self) -> None:
        super().__init__()
        self.head_dim = 8
        self.embed, self.out = nn.Linear(6, 32), nn.Linear(32, 3)
        self.q, self.k, self.v = nn.Linear(32, 32), nn.Linear(32, 16), nn.Linear(32, 16)
        self.o = nn.Linear(32, 32)
        self.norm = nn.RMSNorm(32)

    def rotate(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return x + torch.cat([-x[..., half:], x[..., :half]], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        y = self.norm(x)
        heads = (*y.shape[:-1], -1, self.head_dim)
        q, k, v = (layer(y).view(heads).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = functional.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, enable_gqa=True)
        return self.out(x + self.o(y.transpose(1, 2).flatten(2))).mean(1)


class OneKey(nn.Module):
    """All query heads share one key and value head, which the code finds by its number."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 4, 8
        self.embed, self.out = nn.Linear(6, 32), nn.Linear(32, 3)
        self.qkv, self.o = nn.Linear(32, 48), nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, self.heads + 2, self.width)
        q, k, v = (part.transpose(1, 2) for part in (qkv[..., :-2, :], qkv[..., [-2], :], qkv[..., [-1], :]))
        k, v = (part.expand(batch, self.heads, length, self.width) for part in (k, v))
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.out(x + self.o(y.reshape(batch, length, -1)))


class RandomFeatures(nn.Module):
    """Linear attention on random features, which all heads share: a product of a matrix with heads of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.embed, self.qkv, self.out = nn.Linear(6, 32), nn.Linear(32, 96), nn.Linear(32, 3)
        self.register_buffer("features", torch.randn(16, 8))

    def mapped(self, x: Tensor) -> Tensor:
        return torch.exp((x @ self.features.T - (x**2).sum(-1, keepdim=True)) / 8)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(self.embed(x)).reshape(batch, length, 3, self.heads, 8).permute(2, 0, 3, 1, 4)
        q, k = self.mapped(qkv[0]), self.mapped(qkv[1])
        y = q @ (k.transpose(-1, -2) @ qkv[2]) / (q @ k.sum(-2)[..., None])
        return self.out(y.transpose(1, 2).flatten(2))


class GraphAttention(nn.Module):
    """A layer of graph attention on an edge list, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.project, self.out = nn.Linear(8, 4 * 6), nn.Linear(24, 3)
        self.source, self.target = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(4, 6))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = self.project(x).view(len(x), self.heads, -1)
        weight = (h * self.source).sum(-1)[edges[0]] + (h * self.target).sum(-1)[edges[1]]
        weight = functional.leaky_relu(weight).exp()
        messages = h[edges[0]] * weight.unsqueeze(-1)
        received = torch.zeros_like(h).index_add(0, edges[1], messages)
        return self.out(received.flatten(1))


class EdgeConvolution(nn.Module):
    """Dynamic graph convolution on points: neighbours by distance, features of edges, the largest of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(6, 16, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2))
        self.second = nn.Sequential(nn.Conv2d(32, 32, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2))
        self.out = nn.Linear(48, 4)

    def edges(self, x: Tensor) -> Tensor:
        batch, width, points = x.shape
        near = torch.cdist(x.transpose(1, 2), x.transpose(1, 2)).topk(4, largest=False).indices
        table = x.transpose(1, 2).reshape(batch * points, -1)
        near = (near + torch.arange(batch).view(-1, 1, 1) * points).view(-1)
        neighbours = table[near].view(batch, points, 4, width)
        centre = x.transpose(1, 2).unsqueeze(2).expand(batch, points, 4, width)
        return torch.cat([neighbours - centre, centre], dim=3).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(self.edges(x)).max(-1).values
        b = self.second(self.edges(a)).max(-1).values
        return self.out(torch.cat([a, b], 1).max(-1).values)


def vision_transformer() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64)


def shifted_windows() -> nn.Module:
    return torchvision.models.SwinTransformer([2, 2], 16, [2, 2], [2, 4], [4, 4], num_classes=10)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 32), nn.Linear(32, 5)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers(self.embed(x)).mean(1))


IMAGE, WORDS = torch.randn(2, 3, 32, 32), torch.randint(0, 50, (2, 7))
CASES: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "vision transformer": (vision_transformer, IMAGE),
    "shifted windows": (shifted_windows, IMAGE),
    "transformer encoder": (Encoder, WORDS),
    "one key": (OneKey, torch.randn(2, 5, 6)),
    "random features": (RandomFeatures, torch.randn(2, 5, 6)),
    "grouped queries": (GroupedQueries, torch.randn(2, 5, 6)),
    "LSTM": (lambda: Recurrent(nn.LSTM), WORDS),
    "bidirectional LSTM": (lambda: Recurrent(nn.LSTM, bidirectional=True), WORDS),
    "projected LSTM": (lambda: Recurrent(nn.LSTM, proj_size=8), WORDS),
    "GRU": (lambda: Recurrent(nn.GRU), WORDS),
    "graph attention": (GraphAttention, (torch.randn(10, 8), torch.randint(0, 10, (2, 30)))),
    "edge convolution": (EdgeConvolution, torch.randn(2, 3, 20)),
}


# torch says so of its own projected LSTM, cut or not
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", CASES)
def test_half_of_every_groups_units_go_exactly_and_with_no_settings(name: str) -> None:
    torch.manual_seed(0)
    build, inputs = CASES[name]
    model = build().eval()
    graph = trace(model, inputs)
    graph.check()
    chosen = plan(graph, score(graph), ratio=0.5)
    result = prune(model, chosen)
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert result.verification.difference <= 1e-5
    assert predicted(graph, chosen).parameters == parameters(result.model) <= 0.7 * parameters(model)


def test_the_gallerys_transformer_is_cut_by_whole_heads() -> None:
    opened = open_model("digits-vit")
    graph = trace(opened.model, opened.example_inputs)
    heads = [group for group in graph.groups if group.kind == "heads"]
    assert {group.size for group in heads} == {4}
    result = prune(opened.model, plan(graph, score(graph), ratio=0.5))
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert macs(result.model, opened.example_inputs) < 0.4 * macs(opened.model, opened.example_inputs)


@pytest.mark.parametrize("name", ["one key", "grouped queries", "random features"])
def test_heads_are_groups_where_a_key_or_a_table_serves_many(name: str) -> None:
    build, inputs = CASES[name]
    graph = trace(build().eval(), inputs)
    assert any("heads" in group.kind for group in graph.groups), graph.locks
