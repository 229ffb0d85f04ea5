"""Fashion-MNIST (Zalando Research, MIT licence): 60,000 + 10,000 grey images of clothes, 28x28, ten classes."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from notebooks.results.study import NoData

FOLDER = Path("/usr/share/datasets/fashion-mnist")
VALIDATION = 12  # one image to train of so many validates instead
PARTS = 10  # of an epoch
BATCH = 64
MOVE = 2  # pixels


@cache
def load(split: str, folder: Path = FOLDER) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) in -1 ... 1, channels last, and labels (N,); the last twelfth to train validates instead.

    Raises:
        NoData: a file is missing.
    """
    name = "t10k" if split == "test" else "train"
    pixels = _idx(folder / f"{name}-images-idx3-ubyte.gz", header=16).reshape(-1, 1, 28, 28)
    labels = _idx(folder / f"{name}-labels-idx1-ubyte.gz", header=8)
    last = len(labels) // VALIDATION
    part = {"train": slice(-last), "validation": slice(-last, None), "test": slice(None)}[split]
    images = torch.from_numpy(pixels[part].astype(np.float32)) / 127.5 - 1
    return images.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels[part].astype(np.int64))


def _idx(path: Path, header: int) -> np.ndarray:
    if not path.exists():
        raise NoData(
            f"{path} is missing. On Debian: apt-get install dataset-fashion-mnist. Elsewhere: take the four *.gz files "
            f"of Fashion-MNIST (github.com/zalandoresearch/fashion-mnist) and give their folder with --data."
        )
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8, offset=header)


def batches(part: int, folder: Path = FOLDER) -> list[tuple[Tensor, Tensor]]:
    """A tenth of an epoch, by its number from 0: in an order of the epoch's own, each image moved and mirrored."""
    images, labels = load("train", folder)
    epoch, number = divmod(part, PARTS)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
    chance = torch.Generator().manual_seed(part)
    chosen = order.chunk(PARTS)[number].split(BATCH)
    return [(augmented(images[rows], chance), labels[rows]) for rows in chosen]


def augmented(images: Tensor, chance: torch.Generator) -> Tensor:
    """Each image moved by up to two pixels both ways, the edge filled with -1, and every other mirrored."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (MOVE,) * 4, value=-1)
    top, left = torch.randint(0, 2 * MOVE + 1, (2, n, 1), generator=chance)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    mirrored = torch.rand(n, 1, generator=chance) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    moved = padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    return moved.unsqueeze(1).contiguous(memory_format=torch.channels_last)
