"""Code that does something else while it trains: what it alone reads is cut too, and left as it was found."""

from __future__ import annotations

import copy
from typing import Any

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
