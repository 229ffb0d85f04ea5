"""The calls of operations that models make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from prunescope.core.inputs import as_call
from prunescope.core.open_functions import without_fused_paths
from prunescope.explorer.gallery import open_model
from tests.core.rule_calls import Sample
from tests.core.test_architectures import CASES
from tests.core.test_exactness import FAMILIES, build
from tests.models import flattened, grouped, image, ragged


class Collecting(TorchDispatchMode):
    """Keeps the distinct calls of every operation that runs."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit  # distinct calls kept of each operation
        self.calls: dict[torch._ops.OpOverload, dict[str, Sample]] = defaultdict(dict)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        call = Sample(function, args, kwargs or {})
        found = self.calls[function]
        if len(found) < self.limit and sum(t.numel() for t in call.tensors()) < 300_000 and str(call) not in found:
            found[str(call)] = call.with_tensors(_drawn)
        return function(*args, **(kwargs or {}))


def _drawn(tensor: Tensor) -> Tensor:
    """Random numbers in the place of floats, laid out alike in memory; integers and masks keep their values."""
    values = tensor.detach().clone()
    if tensor.is_complex():
        return torch.randn_like(values, dtype=torch.complex128)
    return torch.randn_like(values, dtype=torch.float64) if tensor.is_floating_point() else values


@cache
def reached() -> dict[torch._ops.OpOverload, tuple[Sample, ...]]:
    """The calls that the models of the tests make, by operation."""
    torch.manual_seed(0)
    collecting = Collecting(limit=12)
    for model, inputs in _models():
        args, kwargs = as_call(inputs)
        with torch.no_grad(), without_fused_paths(model.eval().modules()), collecting:
            model(*args, **kwargs)
    return {function: tuple(calls.values()) for function, calls in collecting.calls.items()}


def _models() -> Iterator[tuple[nn.Module, Any]]:
    yield from ((make(), image()) for make in (flattened, grouped, ragged))
    for make_case, inputs in CASES.values():
        yield make_case(), inputs
    for entry in ("digits-vit", "digits-resnet"):
        opened = open_model(entry)
        yield opened.model, opened.example_inputs
    for family in FAMILIES:
        yield build(family)[0], torch.randn(1, 3, 96, 96)
