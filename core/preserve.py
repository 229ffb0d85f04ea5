"""Run a model and leave it exactly as it was found."""

from __future__ import annotations

import gc
import operator
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    """A dispatch mode that starts at once: torch would import its compiler, in two seconds, only to keep it out.

    Use it inside `uncompiled`, which keeps the compiler out where it is.
    """

    # those that call functions of the model's (flex_attention) are watched as a whole, like any other operation
    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def uncompiled() -> AbstractContextManager[object]:
    """Run compiled modules as they were written. Without torch's compiler in memory there are none."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for unreachable objects: thousands of records are made, and none of them goes before the end."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Restore every module's attributes, mode and buffers, and the state of the random generators, on the way out."""
    modules = list(model.modules())
    attributes = [dict(module.__dict__) for module in modules]
    registries = [(dict(module._parameters), dict(module._buffers), dict(module._modules)) for module in modules]
    values = {b: b.detach().clone() for module in modules for b in module._buffers.values() if b is not None}
    versions = {buffer: buffer._version for buffer in values}
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for module, saved, (parameters, buffers, children) in zip(modules, attributes, registries, strict=True):
                _restore(module.__dict__, saved)
                _restore(module._parameters, parameters)
                _restore(module._buffers, buffers)
                _restore(module._modules, children)
            for buffer, value in values.items():
                if buffer._version != versions[buffer]:
                    with torch.no_grad():
                        buffer.copy_(value)


def _restore(now: dict, before: dict) -> None:  # type: ignore[type-arg]
    if not now and not before:
        return
    # in another order they would be found different, and restored just the same
    if len(now) == len(before) and all(map(operator.is_, now.values(), before.values())) and [*now] == [*before]:
        return
    now.clear()
    now.update(before)
