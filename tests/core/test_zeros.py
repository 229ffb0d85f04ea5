"""Zeros that share memory are zeros, whatever a model writes into one of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import trace
from prunescope.core.zeros import Zeros

LARGE = (2, 8, 40, 40)


def test_zeros_are_laid_out_as_torch_lays_them() -> None:
    zeros, x = Zeros(), torch.rand(LARGE).to(memory_format=torch.channels_last)
    for dtype in (torch.float32, torch.bfloat16, torch.int64):
        mine, theirs = zeros.shaped(x, LARGE[::-1], dtype), x.new_zeros(LARGE[::-1], dtype=dtype)
        assert (mine.stride(), mine.dtype) == (theirs.stride(), theirs.dtype)
        assert torch.equal(mine, theirs)
    for layout in (torch.preserve_format, torch.contiguous_format):
        mine, theirs = (like(x, memory_format=layout) for like in (zeros.laid_out_like, torch.zeros_like))
        assert mine.stride() == theirs.stride()
        assert torch.equal(mine, theirs)


def test_what_is_written_into_one_is_in_no_other() -> None:
    zeros, x = Zeros(), torch.rand(1)
    small, large = zeros.shaped(x, LARGE), zeros.shaped(x, (4, *LARGE))
    again = zeros.shaped(x, LARGE)
    parts = [small, large, large.view(-1)[: small.numel()]]
    zeros.parted(parts)
    for part in parts:
        part.fill_(1)
    assert not again.any()
    assert not zeros.shaped(x, (4, *LARGE)).any()


def test_zeros_of_the_meta_device_stay_there() -> None:
    assert Zeros().shaped(torch.empty(1, device="meta"), (1 << 20, 1 << 20)).is_meta


class Writes(nn.Module):
    """Two convolutions, one of which is written into the other's result."""

    def __init__(self, write: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(12, 4, 3)
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        wide, narrow = self.a(x), self.b(x)
        self.write(wide, narrow)
        return self.c(wide)


@pytest.mark.parametrize(
    "write",
    [
        lambda wide, narrow: wide[:, 3:9].copy_(narrow),
        lambda wide, narrow: wide[:, ::2].add_(narrow),
        lambda wide, narrow: wide.index_copy_(1, torch.arange(6), narrow),
        lambda wide, narrow: torch.maximum(wide[:, :6], narrow, out=wide[:, 6:]),
        lambda wide, narrow: wide.masked_fill_(wide > 0.5, 0.0),
    ],
    ids=["copy_", "add_", "index_copy_", "out", "masked_fill_"],
)
def test_results_that_a_model_writes_into_are_traced_without_values(write: Callable[[Tensor, Tensor], object]) -> None:
    graph = trace(Writes(write).eval(), torch.rand(1, 3, 40, 40))
    assert not graph.record.decides_by_values
