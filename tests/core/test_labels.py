"""Labels through movement operations equal the operation applied to a tensor of indices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core.labels import Fixed
from prunescope.core.trace import trace


class Moves(nn.Module):
    """A vector of parameters, moved about; the last dimension of the result has the units."""

    def __init__(self, move: Callable[[Tensor], Tensor], size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))
        self.move = move

    def forward(self, x: Tensor) -> Tensor:
        moved = self.move(self.weight)
        return x.sum() * moved


SIZE = 24
MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "view to one more dimension": lambda w: w.view(1, SIZE),
    "view there and back": lambda w: w.view(4, 6).view(SIZE),
    "rows and columns swapped": lambda w: w.view(4, 6).t().reshape(SIZE),
    "view to dimensions of one index behind it": lambda w: w.view(4, 6).view(SIZE).view(SIZE, 1, 1).view(SIZE),
    "pixel shuffle of single pixels": lambda w: functional.pixel_shuffle(w.view(1, SIZE, 1, 1), 1).view(SIZE),
    "three dimensions permuted": lambda w: w.view(2, 3, 4).permute(2, 0, 1).reshape(SIZE),
    "transpose": lambda w: w.view(SIZE, 1).transpose(0, 1),
    "unsqueeze and squeeze": lambda w: w.unsqueeze(0).squeeze(0),
    "flip": lambda w: w.flip(0),
    "concatenation with itself": lambda w: torch.cat([w, w]),
    "concatenation of pieces": lambda w: torch.cat([*w.chunk(3)][::-1]),
    "clone": lambda w: w.clone().contiguous(),
}


@pytest.mark.parametrize("name", MOVES)
def test_labels_move_as_values_do(name: str) -> None:
    move = MOVES[name]
    model = Moves(move, SIZE)
    record = trace(model, torch.randn(2)).record
    start = record.parameters["weight"].dims[0]
    assert not isinstance(start, Fixed)
    moved = {value: position for position, value in enumerate(start.tolist())}
    labels = [lock.labels for lock in record.space.locks if lock.reason == "it is the model's output"]
    expected = move(torch.arange(SIZE)).reshape(-1)
    assert [moved[label] for label in np.concatenate(labels).tolist()] == expected.tolist()


def test_channel_shuffle_ties_the_channels_that_share_a_column() -> None:
    class Shuffle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 12, 1)
            self.second = nn.Conv2d(12, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            batch, channels, height, width = x.shape
            x = x.view(batch, 3, channels // 3, height, width).transpose(1, 2)
            return self.second(x.reshape(batch, channels, height, width))

    graph = trace(Shuffle(), torch.randn(1, 3, 4, 4))
    by_columns = next(group for group in graph.groups if group.kind == "head dimensions")
    first = next(m for m in by_columns.members if m.parameter == "first.weight")
    second = next(m for m in by_columns.members if m.parameter == "second.weight")
    shuffled = torch.arange(12).view(3, 4).t().reshape(-1).tolist()
    for unit in range(by_columns.size):
        assert [unit, unit + 4, unit + 8] == list(first.indices[unit])
        assert sorted(shuffled.index(channel) for channel in first.indices[unit]) == list(second.indices[unit])


def test_all_copies_of_a_repeated_channel_go_with_it() -> None:
    class Repeat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 6), nn.Linear(30, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.second(x.unsqueeze(-1).expand(-1, -1, 5).reshape(len(x), -1))

    group = trace(Repeat(), torch.randn(2, 4)).group_of("first")
    assert group is not None
    assert group.size == 6
    second = next(m for m in group.members if m.parameter == "second.weight")
    assert list(second.indices[2]) == [10, 11, 12, 13, 14]
