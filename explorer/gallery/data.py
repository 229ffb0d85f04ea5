"""The UCI handwritten digits as the gallery uses them: a compact copy with one fixed split."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SPLIT_SHARES: tuple[float, ...] = (0.6, 0.2, 0.2)
SPLIT_SEED = 20231

FILE = "digits.npz"


@dataclass(frozen=True)
class Digits:
    """Images of one split and what they show.

    Attributes:
        images: `(N, 1, 8, 8)` float32; the 17 grey levels of the data set, scaled to -1 ... 1.
        labels: `(N,)` int64, the digit, 0 to 9.
        indices: `(N,)` int64, positions in the full data set of 1,797 images, ascending.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


def load(split: Split) -> Digits:
    """The images of one split, from the copy inside the package.

    Args:
        split: "train", "validation" or "test".
    """
    content = files("prunescope.explorer.gallery").joinpath(FILE).read_bytes()
    with np.load(BytesIO(content), allow_pickle=False) as stored:
        pixels, digits, membership = stored["images"], stored["labels"], stored["split"]
    indices = np.flatnonzero(membership == SPLITS.index(split))
    images = torch.from_numpy(pixels[indices].astype(np.float32)) / 8 - 1
    labels = torch.from_numpy(digits[indices].astype(np.int64))
    return Digits(images.unsqueeze(1), labels, torch.from_numpy(indices.astype(np.int64)))
