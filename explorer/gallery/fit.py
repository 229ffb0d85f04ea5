"""Training and accuracy on the digits: what the gallery's models are trained, tuned and judged with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core.modes import evaluating, keeping_mode
from prunescope.explorer.gallery.data import Split, load

BATCH_SIZE = 64

Report = Callable[[int, int, float, float], None]
"""`report(epoch, of, loss, accuracy)` after each epoch, from 1: mean training loss, validation accuracy."""


def accuracy(model: nn.Module, split: Split = "test") -> float:
    """The share of the split's digits that the model gets right, 0 to 1, in eval mode without gradients.

    The training mode of every submodule is left as it was.
    """
    digits = load(split)
    with evaluating(model), torch.no_grad():
        logits: Tensor = model(digits.images)
    right = int((logits.argmax(1) == digits.labels).sum())
    return right / len(digits.labels)


def digit_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The cross entropy of a batch of images and labels, a scalar."""
    images, labels = batch
    return functional.cross_entropy(model(images), labels)


def fit(
    model: nn.Module, report: Report, *, epochs: int, learning_rate: float, seed: int, batch_size: int = BATCH_SIZE
) -> None:
    """Train the model in place on the train split, and leave its training mode as it was.

    AdamW with a one-cycle learning rate, on images moved by up to a pixel. The order of the images and their
    moves come from `seed` alone, so the global random state neither matters nor moves.

    Args:
        model: `(N, 1, 8, 8)` images to `(N, 10)` logits.
        report: Called after each epoch; an exception from it ends the training and passes through.
        epochs: Passes over the train split.
        learning_rate: The peak of the one-cycle schedule.
        seed: Of the order of the images and of their moves.
        batch_size: Images a step.
    """
    digits = load("train")
    steps = -(-len(digits.labels) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    order = torch.Generator().manual_seed(seed)
    with keeping_mode(model):
        for epoch in range(1, epochs + 1):
            model.train()
            batches = torch.randperm(len(digits.labels), generator=order).split(batch_size)
            losses = [
                _step(model, optimizer, schedule, shifted(digits.images[batch], order), digits.labels[batch])
                for batch in batches
            ]
            report(epoch, epochs, sum(losses) / len(losses), accuracy(model, "validation"))
    optimizer.zero_grad()


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to one pixel both ways, `(N, 1, H, W)` in and out; the edge fills with -1."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (1, 1, 1, 1), value=-1)
    top, left = torch.randint(0, 3, (2, n, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    image = torch.arange(n)[:, None, None]
    return padded[image, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    images: Tensor,
    labels: Tensor,
) -> float:
    loss = digit_loss(model, (images, labels))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    return loss.item()
