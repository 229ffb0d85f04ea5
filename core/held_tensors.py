"""The tensors that a model's modules hold, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from prunescope.core.attributes import OWN_ATTRIBUTES


def registered_tensors(modules: Mapping[str, nn.Module], registry: str) -> list[tuple[str, Tensor]]:
    """Full name and tensor of all parameters, or of all buffers: `registry` is where a module holds them."""
    return [
        (f"{path}.{name}" if path else name, tensor)
        for path, module in modules.items()
        for name, tensor in vars(module)[registry].items()
        if tensor is not None
    ]


def tensor_attributes(modules: Mapping[str, nn.Module]) -> list[tuple[str, Tensor]]:
    """Full name and tensor of those that modules hold as plain attributes, where others would register a buffer.

    Those in a tuple, list or dictionary as well (the states that a recurrent layer begins with).
    """
    found: list[tuple[str, Tensor]] = []
    for path, module in modules.items():
        held = [(name, value) for name, value in vars(module).items() if type(value) in _HOLDING]
        for name, value in held:
            if type(value) is Tensor:
                found.append((f"{path}.{name}" if path else name, value))
            elif value and name not in OWN_ATTRIBUTES:
                # by position: keys may look alike, or have dots as paths have
                entries = enumerate(value.values() if isinstance(value, dict) else value)
                inside = [(f"{name}[{n}]", item) for n, item in entries if type(item) is Tensor]
                found += [(f"{path}.{entry}" if path else entry, item) for entry, item in inside]
    return found


_HOLDING = frozenset((Tensor, tuple, list, dict))


def asks_for_its_mode(module: nn.Module) -> bool:
    """Whether code of the module's class, not torch's, does something else while it trains (`if self.training`)."""
    kind: Any = type(module)
    return any("training" in names for names in _names(kind))


def moves_tensors_in_training(module: nn.Module) -> bool:
    """Whether such a function also writes in place (`mean.lerp_(...)`), as moving means are kept; norms are known."""
    kind: Any = type(module)
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return False
    return any("training" in names and any(map(_WRITES.fullmatch, names)) for names in _names(kind))


@cache
def _names(kind: Any) -> tuple[tuple[str, ...], ...]:
    """For each function of the class that `forward` leads to, the names of attributes and functions that it uses."""
    owners = [base for base in reversed(kind.__mro__) if base.__module__.split(".")[0] != "torch"]
    functions = {name: value for base in owners for name, value in vars(base).items()}
    used = {name: value.__code__.co_names for name, value in functions.items() if isinstance(value, FunctionType)}
    reached, waiting = [], ["forward"]
    while waiting:
        names = used.pop(waiting.pop(), ())
        reached.append(names)
        waiting.extend(names)
    return tuple(reached)


_WRITES = re.compile(r"[a-z]\w*_")
