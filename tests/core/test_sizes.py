"""Sizes in Python code: provenance decides what is repaired, what shrinks together and what is a number in the code."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, itemgetter
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, plan_units, prune, score, trace
from prunescope.core.errors import BadPlan


class Attention(nn.Module):
    """Self-attention as most code writes it: one product for q, k and v, sizes from attributes and shapes."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.scale = self.head_dim**-0.5
        self.image_size = width  # equal to the width by chance
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        x = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention, self.head = nn.Linear(5, 32), Attention(32, 4), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + self.attention(x))


def test_heads_are_found_and_shrink_with_the_width_that_the_code_ties_them_to() -> None:
    model = Block().eval()
    graph = trace(model, torch.randn(2, 7, 5))
    heads = next(group for group in graph.groups if group.kind == "heads")
    assert heads.size == 4
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.model.attention.num_heads == 2
    assert result.model.attention.qkv.out_features == 3 * 16
    assert result.model.attention.image_size == 32
    assert result.model.attention.scale == model.attention.scale
    assert "attention.num_heads 4 -> 2" in [str(repair) for repair in result.repairs]
    assert result.verification is not None
    assert result.verification.difference is not None


def test_a_cut_that_the_code_cannot_follow_is_refused_with_its_line() -> None:
    graph = trace(Block().eval(), torch.randn(2, 7, 5))
    heads = next(group for group in graph.groups if group.kind == "heads")
    with pytest.raises(BadPlan, match=r"reshape asks for 32 where 24 would be left \(test_sizes.py"):
        prune(graph.model, plan_units(graph, {heads.name: [0]}))


def test_a_number_in_the_code_locks_its_dimension_and_names_the_line() -> None:
    class Literal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Linear(8 * 16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).reshape(-1, 128))

    graph = trace(Literal().eval(), torch.randn(2, 3, 4, 4))
    group = graph.group_of("a")
    assert group is not None
    assert group.lock is not None
    assert "128 is a number in the code" in group.lock.reason
    assert "test_sizes.py" in group.lock.source


def test_sizes_in_tuples_and_config_objects_are_repaired_where_they_are_held() -> None:
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = SimpleNamespace(widths=(6, 10), depth=6)
            self.a, self.b, self.c = nn.Linear(4, 16), nn.Linear(6, 3), nn.Linear(10, 3)

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.a(x).split(self.config.widths, dim=-1)
            return self.b(left) + self.c(right)

    model = Split().eval()
    graph = trace(model, torch.randn(2, 4))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.model.config.widths == (3, 5)
    assert result.model.config.depth == 6
    assert model.config.widths == (6, 10)
    assert type(model.config.widths[0]) is int


@pytest.mark.parametrize("read", [attrgetter("widths"), itemgetter("widths")])
def test_a_size_that_a_dictionary_holds_twice_is_repaired_in_both_places(read: Callable[[Any], Any]) -> None:
    class Config(dict[str, Any]):
        def __init__(self, **entries: Any) -> None:
            super().__init__(**entries)
            vars(self).update(entries)

    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = Config(widths=(6, 10), depth=6)
            self.a, self.b, self.c = nn.Linear(4, 16), nn.Linear(6, 3), nn.Linear(10, 3)

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.a(x).split(read(self.config), dim=-1)
            return self.b(left) + self.c(right)

    model = Split().eval()
    graph = trace(model, torch.randn(2, 4))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.model.config == {"widths": (3, 5), "depth": 6}
    assert vars(result.model.config) == result.model.config
    assert {str(repair) for repair in result.repairs if "widths" in str(repair)} == {
        f"{held}[{n}] {before} -> {after}"
        for held in ("config.widths", "config['widths']")
        for n, (before, after) in enumerate(((6, 3), (10, 5)))
    }
    assert model.config["widths"] == model.config.widths == (6, 10)
    assert type(model.config.widths[0]) is type(model.config["widths"][0]) is int


@pytest.mark.parametrize("copies", [torch.repeat_interleave, lambda x, count, dim: x.repeat(1, 1, count)])
def test_a_number_of_copies_that_is_a_quotient_of_sizes_stays(copies: Callable[..., Tensor]) -> None:
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.value, self.out = nn.Linear(6, 32), nn.Linear(6, 16), nn.Linear(32, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            query, value = self.query(x), self.value(x)
            value = copies(value, query.shape[-1] // value.shape[-1], dim=-1)
            return query, self.out(value.tanh())

    graph = trace(Grouped().eval(), torch.randn(2, 5, 6))
    result = prune(graph.model, plan(graph, score(graph), ratio=0.5))
    assert result.left_out == ()
    assert result.model.query.out_features // result.model.value.out_features == 2
    assert result.model.value.out_features < 16


def test_sizes_in_dictionaries_are_repaired_where_they_are_held() -> None:
    class Heads(nn.Module):
        def __init__(self, shared: dict[str, Any]) -> None:
            super().__init__()
            self.shared = shared
            self.a, self.b = nn.Linear(4, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            heads, width = self.shared["attention"]["heads"], self.shared["widths"][0]
            x = self.a(x).view(len(x), heads, width // heads).softmax(-1)
            return self.b(x.reshape(len(x), width))

    shared: dict[str, Any] = {"attention": {"heads": 4, 3: "three"}, "widths": (16, 0.5, "same"), "depth": 16}
    model = nn.Sequential(Heads(shared)).eval()
    model[0].again = shared
    graph = trace(model, torch.randn(2, 4))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    found: Any = result.model[0].shared
    assert found == {"attention": {"heads": 2, 3: "three"}, "widths": (8, 0.5, "same"), "depth": 16}
    assert result.model[0].again is found
    assert shared == {"attention": {"heads": 4, 3: "three"}, "widths": (16, 0.5, "same"), "depth": 16}
    assert "0.shared['attention']['heads'] 4 -> 2" in map(str, result.repairs)


def test_sizes_in_the_entries_of_lists_are_repaired_where_they_are_held() -> None:
    class Stages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = [SimpleNamespace(width=16), {"width": 12}]
            self.shape = torch.Size([12, 1])
            self.a, self.b, self.c = nn.Linear(4, 16), nn.Linear(16, 12), nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            first, second = self.stages
            x = self.b(self.a(x).view(len(x), first.width).relu())
            return self.c(x.view(len(x), second["width"]).view(len(x), *self.shape).squeeze(-1))

    graph = trace(Stages().eval(), torch.randn(2, 4))
    result = prune(graph.model, plan(graph, score(graph), ratio=0.5))
    assert result.model.stages == [SimpleNamespace(width=8), {"width": 6}]
    assert result.model.shape == torch.Size([6, 1])
    assert graph.model.stages == [SimpleNamespace(width=16), {"width": 12}]
    assert "stages[1]['width'] 12 -> 6" in map(str, result.repairs)


def test_sizes_that_a_class_holds_for_all_its_modules_are_repaired_in_the_pruned_model_alone() -> None:
    class Sizes(NamedTuple):
        width: int
        heads: int

    class Fixed(nn.Module):
        sizes, shape = Sizes(16, 2), [16, 1]

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, self.sizes.width), nn.Linear(self.sizes.width, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).view(len(x), self.sizes.heads, self.sizes.width // self.sizes.heads).softmax(-1)
            return self.b(x.reshape(len(x), *self.shape).squeeze(-1))

    graph = trace(Fixed().eval(), torch.randn(2, 4))
    result = prune(graph.model, plan(graph, score(graph), ratio=0.5))
    assert (result.model.sizes, result.model.shape) == (Sizes(8, 1), [8, 1])
    assert (Fixed.sizes, Fixed.shape) == (Sizes(16, 2), [16, 1])
    assert {"sizes", "shape"}.isdisjoint(vars(graph.model))


@pytest.mark.parametrize("bound", [4, np.int64(4), torch.tensor(4)], ids=["int", "NumPy", "tensor"])
def test_a_bound_of_any_kind_that_is_a_number_locks_what_it_counts(bound: Any) -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 16), nn.Linear(16, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.b(self.a(x).relu())
            return self.c(torch.cat([x[:, :bound].relu(), x[:, bound:].tanh()], dim=1))

    graph = trace(Halves().eval(), torch.randn(2, 4))
    result = prune(graph.model, plan(graph, score(graph), ratio=0.5))
    assert (result.model.a.out_features, result.left_out) == (8, ())
    assert {lock.units for lock in graph.locks if lock.parameter == "b.weight" and lock.dim == 0} == {4}


def test_a_hidden_state_made_in_code_follows_the_width() -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden_size = 12
            self.x, self.h, self.out = nn.Linear(4, 12), nn.Linear(12, 12), nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            state = torch.zeros(x.shape[0], self.hidden_size)
            for step in range(x.shape[1]):
                state = torch.tanh(self.x(x[:, step]) + self.h(state))
            return self.out(state)

    model = Cell().eval()
    graph = trace(model, torch.randn(2, 3, 4))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.model.hidden_size == 6
    assert tuple(result.model.h.weight.shape) == (6, 6)


def test_what_the_code_tells_apart_by_size_stays_apart() -> None:
    class Widening(nn.Module):
        def __init__(self, width: int, width_out: int) -> None:
            super().__init__()
            self.width, self.width_out = width, width_out
            self.body, self.skip = nn.Linear(width, width_out), nn.Linear(width, width_out)

        def forward(self, x: Tensor) -> Tensor:
            skipped = self.skip(x).view(x.shape[0], self.width_out) if self.width != self.width_out else x
            return skipped + self.body(x).relu()

    model = nn.Sequential(nn.Linear(5, 8), Widening(8, 16), nn.Linear(16, 3)).eval()
    graph = trace(model, torch.randn(2, 5))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not result.left_out
    assert result.model[1].width_out == 9  # half of 16 would be the width that it is told apart from


def test_a_size_that_has_to_divide_another_still_does() -> None:
    class Divisible(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.groups = 4
            self.a, self.b = nn.Linear(5, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            assert x.shape[1] % self.groups == 0
            return self.b(x.relu())

    model = Divisible().eval()
    graph = trace(model, torch.randn(2, 5))
    result = prune(model, plan(graph, score(graph), ratio=0.4))
    assert not result.left_out
    assert result.model.groups == 4
    assert result.model.a.out_features == 16  # of 24, 9 may go: 8 leave a multiple of 4


def test_bounds_counted_from_the_end_keep_only_the_end() -> None:
    class Tail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tail = 4
            self.a, self.b, self.c = nn.Linear(5, 12), nn.Linear(8, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).relu()
            return self.b(x[:, : -self.tail]) + self.c(x[:, -self.tail :])

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, 13), nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).relu()
            return self.b(x[:, :-1]) * x[:, -1:]

    for model, left in ((Tail(), 6), (Last(), 7)):
        graph = trace(model.eval(), torch.randn(2, 5))
        result = prune(model, plan(graph, score(graph), ratio=0.5))
        assert result.model.a.out_features == left
    assert tuple(lock.units for lock in graph.locks if lock.parameter == "a.weight" and lock.dim == 0) == (1,)


@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_parts_that_the_code_takes_by_a_computed_share_are_groups_that_shrink_alike(ratio: float) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, 32), nn.Linear(32, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).relu()
            share = x.shape[-1] // 4
            shifted = [x[..., n * share : (n + 1) * share].roll(n, dims=0) for n in range(4)]
            return self.b(torch.cat(shifted, dim=-1))

    graph = trace(Shifted().eval(), torch.randn(6, 5))
    assert [group.size for group in graph.groups] == [8] * 4
    result = prune(graph.model, plan(graph, score(graph), ratio=ratio))
    assert result.model.a.out_features == 32 * (1 - ratio)
    assert not result.left_out


@pytest.mark.parametrize("as_size", [torch.tensor, np.array], ids=["a tensor", "NumPy"])
def test_a_size_that_is_an_element_of_numbers_locks_its_axis(as_size: Callable[[list[int]], Any]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sizes = as_size([12, 4])
            self.a, self.b = nn.Linear(6, 48), nn.Linear(48, 3)
            self.c, self.d = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x).view(-1, self.sizes[0], self.sizes[1]).relu()
            return self.b(y.flatten(1)) + self.d(self.c(x).relu())

    graph = trace(Model().eval(), torch.randn(2, 6))
    result = prune(graph.model, plan(graph, score(graph), ratio=0.5))
    assert not result.left_out
    assert [group.name for group in graph.groups] == ["c"]
    assert any("its size 12 is a number in the code" in lock.reason for lock in graph.locks)
