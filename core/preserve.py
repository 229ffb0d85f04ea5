"""Run a model and leave it exactly as it was found."""

from __future__ import annotations

import gc
import operator
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from prunescope.core.held_tensors import held_containers, tensor_attributes


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
def preserved(model: nn.Module, unversioned: bool = False, watched: bool = False) -> Iterator[None]:
    """Restore modules' attributes, mode, buffers and frozen vectors, and the random generators, on the way out.

    Lists, dictionaries and sets among the attributes are filled again with what they held.

    Args:
        model: What is run inside.
        unversioned: Whether other tensors than buffers may be written into (embeddings that are kept short), or by
            ways that torch does not count (`buffer.data.mul_(...)`), as code does that keeps moving means while it
            trains.
        watched: Whether something else watches what operations write into, batch statistics too, which move vectors
            without a new version.
    """
    modules = list(model.modules())
    unversioned = unversioned or have_their_own_modes(modules)
    # a module's own dictionary and those of its registries, with what is in them
    attributes = [
        (names, dict(names))
        for module in modules
        for names in (module.__dict__, module._parameters, module._buffers, module._modules)
    ]
    containers = [(held, _copied(held)) for held in held_containers(modules) if not isinstance(held, tuple)]
    # a tensor may be given other memory too (`weight.data = ...`), which no version counts
    memory: list[tuple[Tensor, Tensor]] = [
        (tensor, tensor.detach())
        for names, _ in attributes
        for value in names.values()
        # no subclass: some have no memory of their own
        if type(value) in _PLAIN
        for tensor in [cast(Tensor, value)]
        if tensor.layout is torch.strided
    ]
    held = [buffer for module in modules for buffer in module._buffers.values() if buffer is not None]
    # moving statistics may be parameters too
    parameters = [each for module in modules for each in module._parameters.values() if each is not None]
    if not watched:
        held += [parameter for parameter in parameters if parameter.dim() == 1 and not parameter.requires_grad]
    if unversioned:
        held += [*parameters, *(tensor for _, tensor in tensor_attributes(dict(model.named_modules())))]
    tensors = [(tensor, tensor._version, tensor.detach().clone()) for tensor in held]
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(drawn)
            np.random.set_state(drawn_by_numpy)
            for names, before in attributes:
                # most registries are empty, and stay so
                if names or before:
                    _restore(names, before)
            for held_by_name, contents in containers:
                _refill(held_by_name, contents)
            for tensor, own in memory:
                if tensor.data_ptr() != own.data_ptr() or tensor.shape != own.shape:
                    tensor.data = own
            for tensor, version, value in tensors:
                by_value = (unversioned or (tensor.dim() == 1 and not watched)) and _has_values(tensor)
                if tensor._version != version or (by_value and not torch.equal(tensor, value)):
                    with torch.no_grad():
                        tensor.copy_(value)


def set_mode(model: nn.Module, training: bool) -> None:
    """Training or evaluation mode, inside `preserved`: code of the model's own may change weights on the way there.

    Norms are in the latter: a single example has no variance of its own, and batch statistics couple nothing.
    """
    modules = list(model.modules())
    if have_their_own_modes(modules):
        model.train() if training else model.eval()
    for module in modules:
        mode = training and not isinstance(module, nn.modules.batchnorm._NormBase)
        if module.training != mode:
            module.training = mode


def have_their_own_modes(modules: Iterable[nn.Module]) -> bool:
    """Whether code of the model's own runs when the mode changes, as where adapters are merged into weights."""
    kinds: set[Any] = set(map(type, modules))
    return any(kind.train is not nn.Module.train or kind.eval is not nn.Module.eval for kind in kinds)


class Written:
    """The tensors of a model that operations write into, as they were before."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._before: list[tuple[Tensor, Tensor]] = []

    @cached_property
    def _held(self) -> dict[int, list[Tensor]]:
        """Those not written into yet, by the address of their memory, which tied ones share."""
        found: dict[int, list[Tensor]] = {}
        for tensor in filter(_has_memory, self._tensors):
            found.setdefault(tensor.untyped_storage().data_ptr(), []).append(tensor)
        return found

    def about_to(self, tensors: Iterable[Tensor]) -> None:
        """An operation is about to write into one of these, or into a view of it."""
        for tensor in tensors:
            held = self._held.pop(tensor.untyped_storage().data_ptr(), []) if _has_memory(tensor) else []
            self._before += [(each, each.detach().clone()) for each in held]

    def put_back(self) -> bool:
        """Give them their values back; whether a parameter is among them."""
        for tensor, value in self._before:
            tensor.detach().copy_(value)
        return any(isinstance(tensor, nn.Parameter) for tensor, _ in self._before)


_PLAIN = frozenset((Tensor, nn.Parameter))


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta and tensor.numel() > 0


def _has_values(tensor: Tensor) -> bool:
    """That can be compared with others."""
    return tensor.layout is torch.strided and not tensor.is_meta


def _restore(now: dict, before: dict) -> None:  # type: ignore[type-arg]
    # in another order they would be found different, and restored just the same
    if len(now) == len(before) and all(map(operator.is_, now.values(), before.values())) and [*now] == [*before]:
        return
    now.clear()
    now.update(before)


def _copied(container: Any) -> Any:
    """What it holds, in a plain container."""
    return dict(container) if isinstance(container, dict) else [*container]


def _refill(container: Any, before: Any) -> None:
    if isinstance(container, dict):
        _restore(container, before)
    elif len(container) != len(before) or not all(map(operator.is_, container, before)):
        container.clear()
        (container.update if isinstance(container, set) else container.extend)(before)
