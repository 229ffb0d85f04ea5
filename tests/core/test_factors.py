"""Factors that code makes of sizes, as people write them: each model loses half of every width and stays exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import plan, prune, score, trace


class Equalised(nn.Linear):
    """Weights that are scaled by their own fan-in whenever they are used."""

    gain = 1

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * math.sqrt(self.gain / self.in_features), self.bias)


class GainedEqualised(Equalised):
    gain = 2


class Embedded(nn.Module):
    """Embeddings times the root of their width, which is read off torch's layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(11, 16), nn.LayerNorm(16)
        self.up, self.down, self.head = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x) * self.embedding.embedding_dim**0.5
        return self.head(x + self.down(self.up(self.norm(x)).relu()))


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x) / self.a.out_channels).relu().mean((2, 3)))


class PackedProjection(nn.Module):
    """Query, key and value of one layer; the factor comes behind the product of two of them."""

    def __init__(self, divide: Callable[[Tensor, int], list[Tensor]]) -> None:
        super().__init__()
        self.width = 16
        self.enter, self.packed, self.head = nn.Linear(5, 16), nn.Linear(16, 48), nn.Linear(16, 3)
        self.divide = divide

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.divide(self.packed(self.enter(x)), self.width)
        return self.head(((q @ k.mT) * self.width**-0.5).softmax(-1) @ v)


def sliced(x: Tensor, width: int) -> list[Tensor]:
    return [x[..., n * width : (n + 1) * width] for n in range(3)]


class Scaled(nn.Module):
    """Attention whose factor is made of the width by a function."""

    def __init__(self, factor: Callable[[int], Any]) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(5, 12), nn.Linear(16, 3)
        self.q, self.k, self.v = (nn.Linear(12, 16) for _ in range(3))
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x).relu()
        q, k, v = self.q(x), self.k(x), self.v(x)
        return self.head((q @ k.mT * self.factor(q.shape[-1])).softmax(-1) @ v)


class Adapted(nn.Module):
    """A weight with a product of two added, and each row of the sum taken to a length of its own (DoRA)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.layer = nn.Linear(5, 12), nn.Linear(12, 16)
        self.down, self.up = nn.Linear(12, 4, bias=False), nn.Linear(4, 16, bias=False)
        self.length = nn.Parameter(torch.rand(16))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x).relu()
        made = self.layer(x) + self.up(self.down(x))
        weight = self.layer.weight + self.up.weight @ self.down.weight
        return self.head((made * (self.length / torch.linalg.norm(weight, dim=1))).relu())


class Folded(nn.Linear):
    """Its `in_features` are those of what it is given, twice as many as its weight's."""

    def __init__(self) -> None:
        super().__init__(8, 16)
        self.in_features = 16

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, self.in_features)
        return functional.linear(x[:, ::2] + x[:, 1::2], self.weight, self.bias)


class LearnedQueries(nn.Module):
    """Queries that are parameters, and stay beside what they attend to: only the keys can take the factor up."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.heads = 16, 2
        self.queries = nn.Parameter(torch.randn(1, 3, 16))
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(5, 16), nn.Linear(5, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        part = self.width // self.heads
        made = self.q(self.queries.repeat(x.shape[0], 1, 1)), self.k(x), self.v(x)
        q, k, v = (torch.cat(each.split(part, 2), 0) for each in made)
        attended = q + (q @ k.mT / math.sqrt(self.width)).softmax(-1) @ v
        return self.head(torch.cat(attended.split(x.shape[0], 0), 2).relu())


class HeadsSummed(nn.Module):
    """Four heads of 16: the root of a head's width is the number of heads, and both are factors."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 4, 16
        self.q, self.k, self.v = (nn.Linear(5, 64) for _ in range(3))
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).view(len(x), -1, self.heads, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        attended = (q @ k.mT / math.sqrt(self.width)).softmax(-1) @ v
        return self.out(attended.sum(1) / self.heads)


class EqualisedConvolutions(nn.Module):
    """The root of one layer's fan-in, 16 * 9, is the fan-in of the next but its root: 12."""

    def __init__(self) -> None:
        super().__init__()
        shapes = ((16, 3, 3, 3), (12, 16, 3, 3), (3, 12, 1, 1))
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(shape)) for shape in shapes])

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            _, channels, height, width = weight.shape
            x = functional.conv2d(x.tanh(), weight / math.sqrt(channels * height * width))
        return x


def chain(layer: type[nn.Linear]) -> nn.Module:
    return nn.Sequential(layer(5, 16), nn.GELU(), layer(16, 8), nn.GELU(), layer(8, 3))


def rows() -> Tensor:
    return torch.randn(2, 7, 5)


class ScaledTwice(Scaled):
    """A factor that goes into query and key, the second time by a function that makes a plain number of it or not."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x).relu()
        factor, again = self.factor(self.q(x).shape[-1])
        other = again(factor)
        return self.head((self.q(x) * factor @ (self.k(x) * (other or factor)).mT).softmax(-1) @ self.v(x))


class SplitWhereLarge(nn.Conv2d):
    """Takes what would need much memory in two parts."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] * x.shape[2] * x.shape[3] * 4 / 1024**2 > 2:
            return torch.cat([super().forward(part) for part in x.chunk(2, 2)], 2)
        return super().forward(x)


class OfACell(nn.Module):
    """A recurrent cell that is given its state, with a factor of its hidden size."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.state, self.head = nn.Linear(5, 12), nn.Linear(5, 16), nn.Linear(16, 3)
        self.cell = nn.GRUCell(12, 16)

    def forward(self, x: Tensor) -> Tensor:
        state = self.cell(self.enter(x), self.state(x))
        return self.head(self.cell(self.enter(x), state) * self.cell.hidden_size**0.5)


MODELS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "fan-in": lambda: (chain(Equalised), rows()),
    "fan-in and gain": lambda: (chain(GainedEqualised), rows()),
    "embedding": lambda: (Embedded(), torch.randint(0, 11, (2, 7))),
    "channels": lambda: (Convolved(), torch.randn(2, 3, 8, 8)),
    "chunks": lambda: (PackedProjection(lambda x, width: [*x.chunk(3, -1)]), rows()),
    "split": lambda: (PackedProjection(lambda x, width: [*x.split(width, -1)]), rows()),
    "slices": lambda: (PackedProjection(sliced), rows()),
    "a plain number": lambda: (Scaled(lambda width: int(width) ** -0.5), rows()),
    "a number of NumPy's": lambda: (Scaled(lambda width: 1 / np.sqrt(width)), rows()),
    "a multiple of a root": lambda: (Scaled(lambda width: 2 / math.sqrt(width)), rows()),
    "a share of a root": lambda: (Scaled(lambda width: math.sqrt(width) / 64), rows()),
    "a root with a gain": lambda: (Scaled(lambda width: 1.4142 * width**-0.5), rows()),
    "in a tensor of a type": lambda: (
        Scaled(lambda width: torch.as_tensor(width, dtype=torch.float32).rsqrt()),
        rows(),
    ),
    "in a tensor with a dimension": lambda: (Scaled(lambda width: 1 / torch.FloatTensor([width]).sqrt()), rows()),
    "in a tensor that is filled": lambda: (Scaled(lambda width: 1 / torch.full((1,), width).sqrt()), rows()),
    "a negative number": lambda: (Scaled(lambda width: -(width**-0.5)), rows()),
    "of a negative size": lambda: (Scaled(lambda width: -width / 50), rows()),
    "a share of a size": lambda: (Scaled(lambda width: width * 0.05), rows()),
    "adapted": lambda: (Adapted(), rows()),
    "two sizes, the one the root of the other": lambda: (HeadsSummed(), rows()),
    "fan-ins, the one the root of the other": lambda: (EqualisedConvolutions(), torch.randn(2, 3, 8, 8)),
    "used twice, once as a plain number": lambda: (ScaledTwice(lambda width: (width**-0.25, float)), rows()),
    "rounded and used": lambda: (ScaledTwice(lambda width: (2 / width, math.floor)), rows()),
    "compared and used": lambda: (ScaledTwice(lambda width: (2 / width, lambda factor: factor > 1)), rows()),
    "compared": lambda: (
        nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), SplitWhereLarge(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 3, 1)),
        torch.randn(2, 3, 8, 8),
    ),
    "a cell's own sizes": lambda: (OfACell(), torch.randn(2, 5)),
    "learned queries": lambda: (LearnedQueries(), rows()),
}


@pytest.mark.parametrize("name", MODELS)
def test_half_of_every_width_goes_and_the_rest_equals_the_original_without_it(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    graph = trace(model.eval(), inputs)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not result.left_out
    assert result.verification is not None
    assert result.verification.difference is not None
    assert result.verification.difference < 1e-5
    # no width is locked: what is left are the inputs' and outputs' own
    assert {lock.reason for lock in graph.locks} <= {
        "it meets the model's input",
        "it is the model's output",
        "its indices are looked up by number",
    }
    assert all(len(removal.units) == graph.group(removal.group).size // 2 for removal in result.plan.removals)
    assert len(result.plan.removals) == len([group for group in graph.groups if group.option == 0])


def test_a_size_of_another_meaning_than_torchs_stays_as_the_code_has_it() -> None:
    model = nn.Sequential(nn.Linear(5, 16), Folded(), nn.ReLU(), nn.Linear(16, 3)).eval()
    graph = trace(model, torch.randn(4, 5))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.model[1].out_features == 8


def test_a_factor_behind_sums_of_sums_is_looked_for_once_a_value() -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = z = self.a(x)
            for _ in range(18):
                # by each of both operands: 2 ** 18 ways
                z = 0.5 * (z + z.flip(0))
            return self.b(z * x.shape[1] ** -0.5)

    graph = trace(Sums().eval(), torch.randn(4, 5))
    assert prune(graph.model, plan(graph, score(graph), ratio=0.5)).model.a.out_features == 8


class Cosine(nn.Module):
    """Attention by cosines with a scale of its own, behind a norm that makes a root of another width."""

    def __init__(self, scale: float, root: Callable[[int], float]) -> None:
        super().__init__()
        self.scale, self.root = scale, root
        self.enter, self.head = nn.Linear(5, 64), nn.Linear(64, 3)
        self.q, self.k, self.v, self.out = (nn.Linear(64, 64, bias=False) for _ in range(4))
        self.gain, self.q_gain = nn.Parameter(torch.rand(64)), nn.Parameter(torch.rand(16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        normed = functional.normalize(x, dim=-1) * self.gain * self.root(x.shape[-1])
        q, k, v = (layer(normed).unflatten(-1, (4, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        cosines = (functional.normalize(q, dim=-1) * self.q_gain) @ functional.normalize(k, dim=-1).mT * self.scale
        return self.head(x + 1e-4 * self.out((cosines.softmax(-1) @ v).transpose(1, 2).flatten(2)))


@pytest.mark.parametrize("root", [lambda width: width**0.5, np.sqrt], ids=["Python's root", "NumPy's"])
@pytest.mark.parametrize("scale", [8, 8.0, 0.125])
def test_a_number_of_a_modules_own_is_no_factor_of_a_size_whose_power_it_happens_to_be(
    scale: float, root: Callable[[int], float]
) -> None:
    torch.manual_seed(0)
    model = Cosine(scale, root).eval()
    graph = trace(model, rows())
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model.enter.out_features == 32
    assert not [repair for repair in pruned.repairs if "q" in str(repair) and "times" in str(repair)]


class Compared(nn.Module):
    """Words times the root of their width, compared with others as they are: the root cannot go into their table."""

    def __init__(self, also_a_size: bool) -> None:
        super().__init__()
        self.words, self.also_a_size = nn.Embedding(40, 32), also_a_size
        self.up, self.down, self.norm = nn.Linear(32, 64), nn.Linear(64, 32), nn.LayerNorm(32)

    def forward(self, words: Tensor, others: Tensor) -> Tensor:
        x = self.words(words) * self.words.embedding_dim**0.5
        x = self.norm(x + self.down(self.up(x).relu()))
        x = x.view(*words.shape, self.words.embedding_dim) if self.also_a_size else x
        return (x * self.words(others)).sum(-1)


@pytest.mark.parametrize("also_a_size", [False, True])
def test_a_layers_size_that_only_a_factor_asks_for_keeps_its_value(also_a_size: bool) -> None:
    model = Compared(also_a_size).eval()
    graph = trace(model, (torch.randint(0, 40, (2, 7)), torch.randint(0, 40, (2, 7))))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model.words.weight.shape[1] == (32 if also_a_size else 16)
    assert pruned.model.words.embedding_dim == 32
    again = trace(pruned.model, graph.example_inputs)
    assert not prune(pruned.model, plan(again, score(again), ratio=0.5)).left_out
