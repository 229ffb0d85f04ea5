"""Sizes that the model's code turns into plain numbers: `int(...)`, quotients that are rounded, NumPy's integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, prune, score, trace

Forward: TypeAlias = Callable[[Tensor], Tensor]

HALVES: dict[str, Callable[[int], int]] = {
    "int of a quotient": lambda size: int(size / 2),
    "int of a quotient of floats": lambda size: int(size / 2.0),
    "int of a share": lambda size: int(size * 0.5),
    "int of a size": lambda size: int(size // 2),
    "floor": lambda size: math.floor(size / 2),
    "ceil": lambda size: math.ceil(size / 2),
    "trunc": lambda size: math.trunc(size / 2),
    "round": lambda size: round(round(size) / 2),
}
GATES: dict[str, Callable[[Tensor, int], tuple[Tensor, Tensor]]] = {
    "split by a size": lambda x, half: x.split(half, 1),
    "split by sizes": lambda x, half: torch.split(x, [half, half], dim=1),
    "slices": lambda x, half: (x[:, :half], x[:, half:]),
    "narrow": lambda x, half: (x.narrow(1, 0, half), x.narrow(1, half, half)),
    "view": lambda x, half: tuple(x.view(len(x), 2, half, 8, 8).unbind(1)),
}


class Gated(nn.Module):
    """One half of the channels is a gate for the other."""

    def __init__(self, half: Callable[[int], int], gate: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 24, 3, padding=1)
        self.last = nn.Conv2d(12, 5, 1)
        self.parts = lambda x: gate(x, half(x.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.parts(self.first(x))
        return self.last(value * gate.tanh())


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_half_of_a_size_follows_the_cut_however_it_was_computed(
    half: Callable[[int], int], gate: Callable[[Tensor, int], tuple[Tensor, Tensor]]
) -> None:
    model = Gated(half, gate).eval()
    graph = trace(model, torch.randn(2, 3, 8, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model.first.weight.shape[0] == 12
    assert pruned.model.last.weight.shape[1] == 6


class Flattened(nn.Module):
    def __init__(self, flattened: Forward) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 24, 3, padding=1)
        self.last = nn.Linear(24 * 64, 5)
        self.flattened = flattened

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.flattened(self.first(x).relu()))


FLATTENED: dict[str, Forward] = {
    "np.prod": lambda x: x.view(-1, np.prod(x.shape[1:])),
    "int of np.prod": lambda x: x.view(-1, int(np.prod(x.size()[1:]))),
    "np.prod of a list": lambda x: x.reshape(len(x), np.prod([*x.shape[1:]])),
    "np.prod by its argument's name": lambda x: x.reshape(len(x), np.prod(a=x.shape[1:])),
}


@pytest.mark.parametrize("flattened", FLATTENED.values(), ids=FLATTENED)
def test_a_product_by_numpy_follows_the_cut(flattened: Forward) -> None:
    model = Flattened(flattened).eval()
    graph = trace(model, torch.randn(2, 3, 8, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model.last.in_features == 12 * 64


def test_numpys_product_is_its_own_after_a_trace() -> None:
    before = np.prod
    trace(Flattened(FLATTENED["np.prod"]).eval(), torch.randn(2, 3, 8, 8))
    assert np.prod is before


class Counted(nn.Module):
    """Its attributes are NumPy's integers, as `np.prod` gives them where a model is built."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.sizes = np.int64(4), (np.int64(6), 2)
        self.first = nn.Linear(8, int(np.prod((4, 6))))
        self.last = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.first(x).view(-1, self.heads.item(), self.sizes[0])
        return self.last(heads.tanh().flatten(1))


def test_attributes_that_are_numpys_integers_follow_the_cut_and_stay_such() -> None:
    model = Counted().eval()
    graph = trace(model, torch.randn(2, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    assert (pruned.heads, pruned.sizes) == (2, (6, 2))
    assert type(pruned.heads) is np.int64
    by_width = plan(graph, score(graph), ratio=0.5, kind="head dimensions")
    narrow = prune(model, by_width).model
    assert (narrow.heads, narrow.sizes) == (4, (3, 2))
    assert type(narrow.sizes[0]) is np.int64


def shares(parts: Tensor) -> Tensor:
    """Of each part by itself, so that it matters how many there are."""
    return parts / (1 + parts.abs().sum(-1, keepdim=True))


class Written(nn.Module):
    """Has 4 heads as a number in its code, which an unused quotient of sizes happens to equal."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 24)
        self.last = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        int(hidden.shape[1] / 6)
        return self.last(shares(hidden.view(len(x), 4, -1)).flatten(1))


def test_a_number_that_is_written_in_the_code_is_no_size_of_the_same_value() -> None:
    model = Written().eval()
    graph = trace(model, torch.randn(2, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model(torch.randn(2, 8)).shape == (2, 5)
    assert pruned.model.last.in_features == 12


class HeldScale(nn.Module):
    """Attention with a scale from when it was built, which the width of a head, computed anew, happens to give too."""

    def __init__(self, by_root: bool) -> None:
        super().__init__()
        self.heads, self.by_root, self.scale = 4, by_root, 6**-0.5
        self.query, self.key, self.value = (nn.Linear(8, 24) for _ in range(3))
        self.last = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x) for part in (self.query, self.key, self.value))
        width = int(query.shape[-1] / self.heads)
        query, key, value = (part.view(*x.shape[:2], self.heads, width).transpose(1, 2) for part in (query, key, value))
        scores = query @ key.transpose(-1, -2)
        scores = scores / math.sqrt(width) if self.by_root else scores * self.scale
        return self.last((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("by_root", [True, False], ids=["root of the width", "held by the module"])
def test_the_width_of_a_head_by_a_quotient_keeps_the_temperature(by_root: bool) -> None:
    model, x = HeldScale(by_root).eval(), torch.randn(2, 3, 8)
    graph = trace(model, x)
    pruned = prune(model, plan(graph, score(graph), ratio=0.5, kind="head dimensions"))
    assert not pruned.left_out
    assert pruned.model.query.out_features == 12
    assert any("times" in str(repair) for repair in pruned.repairs) == by_root


class Shared(nn.Module):
    """Heads as wide as a rounded share of a width that it holds; an odd width would give the same share."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.heads = 32, 4
        self.first, self.last = nn.Linear(8, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.first(x).view(-1, self.heads, int(self.width / self.heads))
        return self.last(parts.tanh().flatten(1))


def test_of_the_values_that_are_rounded_to_a_size_an_attribute_gets_one_that_need_not_be() -> None:
    model = Shared().eval()
    graph = trace(model, torch.randn(2, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    assert (pruned.heads, pruned.width) == (2, 16)


class Parted(nn.Module):
    """Parted by a bound that comes by a tensor or by NumPy, of the value of an attribute that is no size."""

    def __init__(self, bound: Callable[[], Any]) -> None:
        super().__init__()
        self.layers, self.bound = 4, bound
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x, bound = self.first(x).relu(), self.bound()
        return self.last(torch.cat([-x[:, :bound], x[:, bound:]], 1))


@pytest.mark.parametrize("bound", [lambda: torch.tensor(4), lambda: np.int64(4), lambda: np.argmax([0, 0, 0, 0, 1])])
def test_a_bound_that_comes_by_a_tensor_is_no_attribute_that_only_has_its_value(bound: Callable[[], Any]) -> None:
    model = Parted(bound).eval()
    graph = trace(model, torch.randn(2, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model.layers == 4


class PartedByItsWidth(nn.Module):
    """The gate of flows for speech: its width comes out of a tensor, and is a size elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 12
        self.first, self.both, self.last = nn.Linear(8, 12), nn.Linear(12, 24), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).view(-1, self.width)
        both, width = self.both(x), torch.IntTensor([self.width])[0]
        return self.last(both[:, :width].tanh() * both[:, width:].sigmoid())


def test_a_width_that_comes_by_a_tensor_follows_the_cut() -> None:
    model = PartedByItsWidth().eval()
    graph = trace(model, torch.randn(2, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert (pruned.model.width, pruned.model.both.out_features) == (6, 12)


class Positions(nn.Module):
    """Attention over channels at 8 x 8 positions, with 8 heads by `int(...)`."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 8
        self.enter, self.packed, self.leave = nn.Conv2d(3, 64, 1), nn.Conv2d(64, 192, 1), nn.Conv2d(64, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        packed = self.packed(self.enter(x)).view(batch, 3, int(self.heads), -1, height * width)
        q, k, v = packed.unbind(1)
        return self.leave((v @ (q.mT @ k).softmax(-1)).reshape(batch, -1, height, width))


def test_positions_of_the_value_of_a_size_do_not_hold_it() -> None:
    model = Positions().eval()
    graph = trace(model, torch.randn(2, 3, 8, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model.packed.out_channels == 96


def parted(x: Tensor, heads: int) -> Tensor:
    return x.view(len(x), heads, -1)


class WrittenByTheCaller(Written):
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        int(hidden.shape[1] / 6)
        return self.last(shares(parted(hidden, 4)).flatten(1))


def test_a_number_that_the_caller_has_written_is_no_size_of_the_same_value() -> None:
    model = WrittenByTheCaller().eval()
    graph = trace(model, torch.randn(2, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model.last.in_features == 12


class OfNumPys(Counted):
    """Asks its integers for what NumPy's have."""

    def forward(self, x: Tensor) -> Tensor:
        wide = self.first(x).view(-1, int(self.heads.astype(float)), *np.array([self.sizes[0]]).tolist())
        assert self.heads.dtype == np.int64
        return self.last(wide.tanh().flatten(1)) / (1 / self.heads).astype(np.float32)


def test_attributes_that_are_numpys_integers_can_all_that_these_can() -> None:
    model, x = OfNumPys().eval(), torch.randn(2, 8)
    graph = trace(model, x)
    assert not prune(model, plan(graph, score(graph), ratio=0.5)).left_out
    assert type(model.heads) is np.int64


class PartedByWhatItComputes(nn.Module):
    """A bound that a layer's values decide."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        bound = (x.relu().sum() > 0).long() * 2 + 4
        return self.last(torch.cat([-x[:, :bound], x[:, bound:]], 1))


def test_a_bound_that_values_decide_is_traced_with_values() -> None:
    torch.manual_seed(0)
    graph = trace(PartedByWhatItComputes().eval(), torch.randn(2, 8))
    assert any("traced with values" in note for note in graph.notes)
