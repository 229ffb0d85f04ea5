"""What a run did not read is never cut, since nothing tells what it is for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import plan, prune, score, trace
from prunescope.core.graph import DependencyGraph
from prunescope.core.unread import UNREAD


class Positions(nn.Module):
    """Sixteen positions, of which the input has five."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.positions, self.out = nn.Linear(4, 8), nn.Parameter(torch.randn(1, 16, 8)), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out((self.embed(x) + self.positions[:, : x.shape[1]]).relu())


class Table(Positions):
    """The same as a buffer."""

    def __init__(self) -> None:
        super().__init__()
        del self.positions
        self.register_buffer("positions", torch.randn(1, 16, 8))


class UnusedHead(nn.Module):
    """Three heads in one weight, of which the second is not run."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.out = nn.Parameter(torch.randn(3, 8, 4)), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        first, _, third = self.heads.unbind(0)
        return self.out(functional.linear(x, first).relu() * functional.linear(x, third))


class UnusedPiece(nn.Module):
    """The last four of twelve features, which an attribute counts, are not taken up."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = (8, 4)
        self.both, self.out = nn.Linear(4, 12), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        used, _ = self.both(x).split(self.sizes, -1)
        return self.out(used.relu())


class PieceOfAWeight(nn.Module):
    """The first rows of a weight, as many as an attribute says."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 8
        self.weight, self.out = nn.Parameter(torch.randn(12, 4)), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.linear(x, self.weight[: self.width]).relu())


PARTLY_READ: dict[str, tuple[type[nn.Module], tuple[int, ...], str, int, range]] = {
    "positions beyond the traced length": (Positions, (2, 5, 4), "positions", 1, range(5, 16)),
    "a table beyond the traced length": (Table, (2, 5, 4), "positions", 1, range(5, 16)),
    "a head that is not run": (UnusedHead, (2, 4), "heads", 0, range(1, 2)),
    "a piece of a split that nothing takes up": (UnusedPiece, (2, 4), "both.weight", 0, range(8, 12)),
    "rows behind those that are taken": (PieceOfAWeight, (2, 4), "weight", 0, range(8, 12)),
}


def that_can_go(graph: DependencyGraph, parameter: str, dim: int) -> set[int]:
    return {
        int(index)
        for group in graph.groups
        for member in group.members
        if (member.parameter, member.dim) == (parameter, dim)
        for index in member.of_units(list(range(group.size)))
    }


@pytest.mark.parametrize("name", PARTLY_READ)
def test_indices_that_the_run_did_not_read_are_in_no_group_that_can_be_cut(name: str) -> None:
    torch.manual_seed(0)
    build, shape, parameter, dim, unread = PARTLY_READ[name]
    model = build().eval()
    graph = trace(model, torch.randn(shape))
    assert that_can_go(graph, parameter, dim).isdisjoint(unread)
    result = prune(model, plan(graph, score(graph), 0.5))
    read = model.state_dict()[parameter].shape[dim] - len(unread)
    assert result.model.state_dict()[parameter].shape[dim] >= len(unread) + read // 2
    assert result.verification is not None
    assert result.verification.difference is not None


@pytest.mark.parametrize("build", [Positions, PieceOfAWeight])
def test_the_lock_says_so_and_where(build: Callable[[], nn.Module]) -> None:
    model = build().eval()
    graph = trace(model, torch.randn((2, 5, 4) if build is Positions else (2, 4)))
    (lock,) = (lock for lock in graph.locks if lock.reason == UNREAD)
    assert lock.parameter == ("positions" if build is Positions else "weight")
    assert "test_unread.py" in lock.source


def test_the_rows_that_are_read_can_still_go() -> None:
    model = PieceOfAWeight().eval()
    graph = trace(model, torch.randn(2, 4))
    assert that_can_go(graph, "weight", 0) == set(range(8))
    result = prune(model, plan(graph, score(graph), 0.5))
    assert tuple(result.model.weight.shape) == (8, 4)
    assert torch.equal(result.model.weight[4:], model.weight[8:])


def test_a_product_whose_pieces_are_all_read_loses_none_of_its_units() -> None:
    class Pieces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both, self.out = nn.Linear(4, 16), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.both(x).chunk(2, -1)
            return self.out(a.relu() * b)

    graph = trace(Pieces().eval(), torch.randn(2, 4))
    assert that_can_go(graph, "both.weight", 0) == set(range(16))
