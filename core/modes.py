"""Hold a model in evaluation mode, and give it its own back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def keeping_mode(model: nn.Module) -> Iterator[None]:
    """Give every submodule the training mode back that it had at the start."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold the model in eval mode, and give every submodule its training mode back afterwards."""
    with keeping_mode(model):
        model.eval()
        yield
