"""Small networks whose couplings are not one channel to one channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def flattened() -> nn.Sequential:
    """Two convolutions and a linear layer behind a flatten: a channel of the second is a block of 16 inputs."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3),
        nn.Flatten(),
        nn.Linear(12 * 16, 5),
    ).eval()


def grouped() -> nn.Sequential:
    """A grouped convolution behind a plain one: whole channel groups go, or the same channels in every group."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 16, 5),
    ).eval()


class Ragged(nn.Module):
    """Two units, one of six channels and one of five.

    [a, b, c] + [c, b, a] with 3, 3 and 5 channels ties position 0 of the one to position 0 of the other, and so on:
    a0 c0, a1 c1, a2 c2, b0 c3, b1 c4, b2 b0 ... Two cycles are left, which hold different numbers of each tensor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3)
        self.b = nn.Conv2d(3, 3, 3)
        self.c = nn.Conv2d(3, 5, 3)
        self.last = nn.Linear(11 * 36, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.a(x), self.b(x), self.c(x)
        added = torch.cat([a, b, c], 1) + torch.cat([c, b, a], 1)
        out: Tensor = self.last(added.flatten(1))
        return out


def ragged() -> Ragged:
    torch.manual_seed(0)
    return Ragged().eval()


def image() -> Tensor:
    """An input for each of these networks, (1, 3, 8, 8)."""
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class NoNarrower(nn.Module):
    """Does not run with fewer channels than it was built with: no cut of it can be verified."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv(x).relu().mean((2, 3))
        if hidden.shape[1] < 8:
            raise RuntimeError("eight channels are needed")
        out: Tensor = self.fc(hidden)
        return out
