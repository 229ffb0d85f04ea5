"""Point clouds of furniture, and a DGCNN that tells what each shows.

The shapes are the OBJ models of Sweet Home 3D (CC BY 3.0 and others, see the package). The last word of a model's name
in the catalogue is its class; models of other names are left out.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from notebooks.results.study import NoData, Task
from prunescope.core.modes import evaluating

FOLDER = Path("/usr/share/sweethome3d/furniture")
CLASSES = {
    "seat": ("chair", "armchair", "stool", "bench"),
    "table": ("table", "desk"),
    "sofa": ("sofa", "couch"),
    "bed": ("bed",),
    "storage": ("cabinet", "wardrobe", "bookcase", "shelves"),
    "lamp": ("lamp", "light", "lantern"),
    "door": ("door",),
    "window": ("window", "panes"),
    "person": ("female", "male"),
    "plant": ("plant", "tree"),
}
POINTS = 128
SAMPLED = 1024  # points on each surface, of which every epoch draws its own
NEIGHBOURS = 8
BATCH = 16
SHARES = (0.55, 0.15, 0.3)
SPLITS = ("train", "validation", "test")


def catalogue(file: zipfile.ZipFile) -> dict[str, str]:
    """Path of each model in a catalogue -> the class that its name tells."""
    lines = file.read("PluginFurnitureCatalog.properties").decode("latin-1").splitlines()
    entries = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    classes = {word: name for name, words in CLASSES.items() for word in words}
    named = {key: entries[f"name#{key}"].lower().split()[-1] for key in _numbers(entries)}
    return {entries[f"model#{key}"].lstrip("/"): classes[word] for key, word in named.items() if word in classes}


def _numbers(entries: dict[str, str]) -> Iterator[str]:
    return (key.removeprefix("model#") for key in entries if key.startswith("model#"))


def surface(text: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (T, 3) of an OBJ file; a face of more corners becomes a fan."""
    corners: list[list[str]] = []
    triangles: list[tuple[int, int, int]] = []
    for line in text.splitlines():
        if line.startswith("v "):
            corners.append(line.split()[1:4])
        elif line.startswith("f "):
            numbers = [int(corner.partition("/")[0]) for corner in line.split()[1:]]
            # an OBJ file counts from 1, and with negative numbers back from its latest vertex
            first, *rest = (n - 1 if n > 0 else len(corners) + n for n in numbers)
            triangles += [(first, b, c) for b, c in pairwise(rest)]
    return np.array(corners, dtype=float), np.array(triangles)


def points(text: str, chance: np.random.Generator) -> NDArray[np.float32]:
    """(SAMPLED, 3) points spread evenly over a surface, centred, the farthest at distance 1."""
    corners, triangles = surface(text)
    a, b, c = (corners[triangles[:, n]] for n in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = chance.choice(len(area), SAMPLED, p=area / area.sum())
    u, v = chance.random((2, SAMPLED, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    found = a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]
    found -= found.mean(0)
    return (found / np.linalg.norm(found, axis=1).max()).astype(np.float32)


def catalogues() -> list[Path]:
    """Their files.

    Raises:
        NoData: there are none.
    """
    files = sorted(FOLDER.glob("*.sh3f"))
    if files:
        return files
    raise NoData(f"no *.sh3f in {FOLDER}: on Debian, apt-get install sweethome3d-furniture")


def sampled() -> tuple[Tensor, Tensor]:
    """Points (N, SAMPLED, 3) and classes (N,) of all shapes."""
    clouds, classes, chance = [], [], np.random.default_rng(0)
    for path in catalogues():
        with zipfile.ZipFile(path) as file:
            for model, name in sorted(catalogue(file).items()):
                clouds.append(points(file.read(model).decode("latin-1"), chance))
                classes.append(list(CLASSES).index(name))
    return torch.from_numpy(np.stack(clouds)), torch.tensor(classes)


@cache
def load() -> dict[str, tuple[Tensor, Tensor]]:
    """Split -> points and classes, each class split in the same shares."""
    clouds, classes = sampled()
    chance = torch.Generator().manual_seed(0)
    parts: dict[str, list[Tensor]] = {split: [] for split in SPLITS}
    for number in range(len(CLASSES)):
        rows = torch.nonzero(classes == number).flatten()
        rows = rows[torch.randperm(len(rows), generator=chance)]
        first, second = round(SHARES[0] * len(rows)), round((SHARES[0] + SHARES[1]) * len(rows))
        for split, part in zip(SPLITS, rows.tensor_split([first, second]), strict=True):
            parts[split].append(part)
    chosen = {split: torch.cat(rows) for split, rows in parts.items()}
    return {split: (clouds[rows], classes[rows]) for split, rows in chosen.items()}


def batches(epoch: int) -> list[tuple[Tensor, Tensor]]:
    """Each shape as other points of its surface, mirrored, stretched and turned about the vertical a little."""
    clouds, classes = load()["train"]
    chance = torch.Generator().manual_seed(epoch)
    order = torch.randperm(len(classes), generator=chance)[: len(classes) // BATCH * BATCH]
    return [(_moved(clouds[rows], chance), classes[rows]) for rows in order.split(BATCH)]


def _moved(clouds: Tensor, chance: torch.Generator) -> Tensor:
    n = len(clouds)
    clouds = clouds[:, torch.randperm(SAMPLED, generator=chance)[:POINTS]]
    stretch = 0.8 + 0.4 * torch.rand(n, 1, 3, generator=chance)
    stretch[:, :, 0] *= torch.where(torch.rand(n, 1, generator=chance) < 0.5, -1.0, 1.0)
    angle = 0.5 * torch.randn(n, generator=chance)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(n)
    turn = torch.stack([cos, zero, sin, zero, zero + 1, zero, -sin, zero, cos], dim=1).view(n, 3, 3)
    return (clouds * stretch) @ turn


def neighbourhoods(x: Tensor, k: int) -> Tensor:
    """(N, C, points) to (N, 2 C, points, k): each point beside the way to each of its k nearest, by features."""
    nearest = torch.cdist(x.transpose(1, 2), x.transpose(1, 2)).topk(k, largest=False).indices
    n, channels, count = x.shape
    near = x.gather(2, nearest.reshape(n, 1, count * k).expand(-1, channels, -1)).view(n, channels, count, k)
    centre = x.unsqueeze(3).expand(-1, -1, -1, k)
    return torch.cat([near - centre, centre], dim=1)


class EdgeConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.conv = nn.Conv2d(2 * in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        edges = functional.leaky_relu(self.bn(self.conv(neighbourhoods(x, self.k))), 0.2)
        return edges.max(dim=3).values


class DGCNN(nn.Module):
    """Edge convolutions on neighbours that every layer finds anew (Wang et al., Dynamic Graph CNN, 2019)."""

    def __init__(self, widths: tuple[int, ...] = (64, 64, 128), embedding: int = 256, k: int = NEIGHBOURS) -> None:
        super().__init__()
        self.convs = nn.ModuleList(EdgeConv(a, b, k) for a, b in zip((3, *widths), widths, strict=False))
        self.conv = nn.Conv1d(sum(widths), embedding, 1, bias=False)
        self.bn = nn.BatchNorm1d(embedding)
        self.linear1 = nn.Linear(2 * embedding, 128)
        self.bn1 = nn.BatchNorm1d(128)
        self.dropout = nn.Dropout(0.5)
        self.linear2 = nn.Linear(128, len(CLASSES))

    def forward(self, points: Tensor) -> Tensor:
        x, found = points.transpose(1, 2), []
        for conv in self.convs:
            x = conv(x)
            found.append(x)
        x = functional.leaky_relu(self.bn(self.conv(torch.cat(found, dim=1))), 0.2)
        x = torch.cat([x.max(dim=2).values, x.mean(dim=2)], dim=1)
        x = self.dropout(functional.leaky_relu(self.bn1(self.linear1(x)), 0.2))
        logits: Tensor = self.linear2(x)
        return logits


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    clouds, classes = batch
    return functional.cross_entropy(model(clouds), classes, label_smoothing=0.1)


def accuracy(model: nn.Module, split: str) -> float:
    """By the mean answer to five samples of the points of each shape, the same for every network."""
    clouds, classes = load()[split]
    draws = [torch.randperm(SAMPLED, generator=torch.Generator().manual_seed(n))[:POINTS] for n in range(5)]
    with evaluating(model), torch.no_grad():
        answers = sum(model(clouds[:, rows]).softmax(1) for rows in draws)
    return float((answers.argmax(1) == classes).float().mean())


def dgcnn() -> Task:
    counts = {split: len(classes) for split, (_, classes) in load().items()}
    return Task(
        "dgcnn-furniture", DGCNN, load()["train"][0][:1, :POINTS], batches, loss, accuracy,
        epochs=40, rate=3e-3, tuning_epochs=40, tuning_rate=3e-3, criteria=("magnitude", "taylor"),
        data=f"{sum(counts.values())} meshes of Sweet Home 3D in {len(CLASSES)} classes by name: {counts['train']} to "
        f"train, {counts['validation']} to validate, {counts['test']} to test; {POINTS} points on each surface, "
        f"{NEIGHBOURS} neighbours",
    )  # fmt: skip
