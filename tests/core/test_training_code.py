"""Code that does something else while it trains: what it alone reads is cut too, and left as it was found."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import plan, prune, score, trace

DECAY = 0.99


class MovingMeans(nn.Module):
    """Keeps means of what it sees in buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 3)
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("square", torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if self.training:
            self.mean.lerp_(y.detach().mean(0), 1 - DECAY)
            self.square.data.mul_(DECAY).add_(y.detach().square().mean(0), alpha=1 - DECAY)
        return self.b(y.relu())


class Centred(nn.Module):
    """Keeps a mean in a tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 3)
        self.centre = torch.zeros(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if self.training:
            self.centre.mul_(DECAY).add_(y.detach().mean(0), alpha=1 - DECAY)
        return self.b(y.relu())


class Codebook(nn.Module):
    """Vector quantisation whose codes are moving means of what is assigned to them (VQ-VAE-2)."""

    def __init__(self, codes: int = 16) -> None:
        super().__init__()
        self.encode, self.decode, self.codes = nn.Linear(5, 8), nn.Linear(8, 3), codes
        book = torch.randn(8, codes)
        self.register_buffer("book", book)
        self.register_buffer("count", torch.zeros(codes))
        self.register_buffer("total", book.clone())

    def forward(self, x: Tensor) -> Tensor:
        z = self.encode(x)
        far = z.square().sum(1, keepdim=True) - 2 * z @ self.book + self.book.square().sum(0, keepdim=True)
        nearest = (-far).max(1)[1]
        found = functional.embedding(nearest, self.book.t())
        if self.training:
            hits = functional.one_hot(nearest, self.codes).type(z.dtype)
            self.count.data.mul_(DECAY).add_(hits.sum(0), alpha=1 - DECAY)
            self.total.data.mul_(DECAY).add_(z.detach().t() @ hits, alpha=1 - DECAY)
            self.book.data.copy_(self.total / (self.count + 1))
        return self.decode(z + (found - z).detach())


class MeanTeacher(nn.Module):
    """A second network whose weights are moving means of the first one's."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = (nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2))
        self.teacher.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            for mine, other in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                mine.data.mul_(DECAY).add_(other.data, alpha=1 - DECAY)
        return self.student(x) + self.teacher(x).detach()


class FollowedBy(MeanTeacher):
    """The same in a method of its own."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.follow([*self.teacher.parameters()], [*self.student.parameters()])
        return self.student(x) + self.teacher(x).detach()

    @torch.no_grad()
    def follow(self, mine: list[Tensor], others: list[Tensor]) -> None:
        for parameter, other in zip(mine, others, strict=True):
            parameter.mul_(DECAY).add_(other, alpha=1 - DECAY)


class FollowedByOthersData(FollowedBy):
    def follow(self, mine: list[Tensor], others: list[Tensor]) -> None:
        for parameter, other in zip(mine, others, strict=True):
            parameter.data = DECAY * parameter.data + (1 - DECAY) * other.data


class FollowedAtOnce(FollowedBy):
    @torch.no_grad()
    def follow(self, mine: list[Tensor], others: list[Tensor]) -> None:
        torch._foreach_lerp_(mine, others, 1 - DECAY)


TEACHERS = [MeanTeacher, FollowedBy, FollowedByOthersData, FollowedAtOnce]
MODELS = pytest.mark.parametrize("build", [MovingMeans, Centred, Codebook, *TEACHERS])


def tensors(model: nn.Module) -> dict[str, Tensor]:
    plain = {name: value for name, value in vars(model).items() if isinstance(value, Tensor)}
    return {**model.state_dict(), **plain}


@MODELS
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_a_pruned_model_trains_as_the_original_did(build: Any, mode: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 5)
    model = build().train(mode)
    graph = trace(model, x)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not result.left_out
    assert result.verification is not None
    assert result.verification.training_mode
    pruned = result.model.train()
    pruned(x).sum().backward()
    widths = {size for tensor in tensors(pruned).values() for size in tensor.shape}
    assert 8 not in widths


@pytest.mark.parametrize("build", TEACHERS)
def test_a_network_that_follows_another_one_keeps_the_same_units(build: Any) -> None:
    torch.manual_seed(0)
    model = build().train()
    graph = trace(model, torch.randn(6, 5))
    result = prune(model, plan(graph, score(graph), ratio=0.5))

    def kept(name: str) -> list[bool]:
        before, after = (m.get_parameter(f"{name}.0.weight") for m in (model, result.model))
        return [any(torch.equal(row, other) for other in after) for row in before]

    assert kept("teacher") == kept("student")
    assert sum(kept("student")) == 4


def test_what_a_run_writes_into_by_ways_that_torch_does_not_count_is_left_as_it_was() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 3)
            self.register_buffer("mean", torch.zeros(8))

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            self.mean.data.add_(1)
            self.a.weight.data.mul_(0.5)
            return self.b(y + self.mean)

    model = Counting().eval()
    before = copy.deepcopy(tensors(model))
    trace(model, torch.randn(6, 5))
    assert all(torch.equal(value, tensors(model)[name]) for name, value in before.items())


@MODELS
def test_tracing_and_verification_leave_what_training_moves_as_it_was(build: Any) -> None:
    torch.manual_seed(0)
    model = build().train()
    before = copy.deepcopy(tensors(model))
    graph = trace(model, torch.randn(6, 5))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    after = tensors(model)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    kept = {name: value for name, value in before.items() if value.shape == tensors(result.model)[name].shape}
    assert all(torch.equal(value, tensors(result.model)[name]) for name, value in kept.items())


class Adapted(nn.Linear):
    """An adapter that is merged into the weight for evaluation and taken out of it for training (LoRA)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.down, self.up = nn.Parameter(torch.randn(4, inputs)), nn.Parameter(torch.randn(outputs, 4))
        self.merged = False

    def train(self, mode: bool = True) -> Adapted:
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * (self.up @ self.down)
            self.merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.merged else super().forward(x) + x @ self.down.T @ self.up.T


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_adapters_that_are_merged_by_the_mode_are_cut_with_the_weight_and_the_original_stays(mode: bool) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(Adapted(8, 32), nn.ReLU(), Adapted(32, 4)).train(mode), torch.randn(2, 8)
    before = copy.deepcopy(model.state_dict())
    graph = trace(model, x)
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert pruned[0].up.shape[0] == pruned[2].down.shape[1] == 16
    merged, apart = pruned.eval()(x), pruned.train()(x)
    assert torch.allclose(merged, apart, atol=1e-4)


class Flagged(nn.Module):
    """Returns more while it trains, by a flag of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 12), nn.Linear(12, 4)
        self.register_buffer("edges", torch.ones(4).to_sparse())
        self.flag = True

    def train(self, mode: bool = True) -> Flagged:
        self.flag = mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Any:
        hidden = self.second(self.first(x).relu())
        return (self.last(hidden.relu()), hidden) if self.flag else self.last(hidden.relu())


def test_a_model_that_returns_more_while_it_trains_is_cut_as_it_is_in_evaluation() -> None:
    model = Flagged().train()
    graph = trace(model, torch.randn(2, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    assert pruned.second.out_features == 6
    assert model.flag
    assert pruned.flag


class Drawing(nn.Module):
    """Goes one way or the other, as teacher forcing does, by generators that are not torch's."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        for _ in range(8):
            hidden = hidden.tanh() if self.draw() < 0.5 else hidden.relu()
        return self.last(hidden)


@pytest.mark.parametrize("draw", [lambda: random.random(), lambda: np.random.rand()], ids=["Python's", "NumPy's"])
def test_the_ways_that_a_model_draws_are_the_same_in_runs_that_are_compared(draw: Callable[[], float]) -> None:
    model = Drawing(draw).eval()
    state, numpys = random.getstate(), np.random.get_state()[1].copy()
    graph = trace(model, torch.randn(6, 8))
    for _ in range(4):
        assert not prune(model, plan(graph, score(graph), ratio=0.5)).left_out
    assert random.getstate() == state
    assert np.array_equal(np.random.get_state()[1], numpys)
