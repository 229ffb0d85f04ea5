"""The tensors that a model's modules hold, by name, and the containers that hold what a run may change."""

from __future__ import annotations

import dis
import re
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cache
from inspect import unwrap
from types import CodeType, FunctionType
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


def held_containers(modules: Iterable[nn.Module]) -> list[Any]:
    """Lists, tuples, dictionaries, sets and queues that modules hold as attributes, and those inside them.

    Torch's own layers, most of a model, write into none.
    """
    kinds: list[tuple[nn.Module, Any]] = [(module, type(module)) for module in modules]
    waiting: list[Any] = [
        value
        for module, kind in kinds
        if not _is_torchs(kind)
        for name, value in vars(module).items()
        if name not in OWN_ATTRIBUTES and isinstance(value, _CONTAINERS)
    ]
    found: dict[int, Any] = {}
    while waiting:
        held = waiting.pop()
        if id(held) not in found:
            found[id(held)] = held
            inside = held.values() if isinstance(held, dict) else held
            waiting += [value for value in inside if isinstance(value, _CONTAINERS)]
    return list(found.values())


@cache
def _is_torchs(kind: type[nn.Module]) -> bool:
    return kind.__module__.startswith("torch.nn.modules.")


_CONTAINERS = (list, dict, set, deque, tuple)


def asks_for_its_mode(module: nn.Module) -> bool:
    """Whether code of the module's class, not torch's, does something else while it trains (`if self.training`)."""
    kind: Any = type(module)
    return any("training" in code.co_names for code in reached(kind, "forward").values())


def moves_tensors_in_training(module: nn.Module) -> bool:
    """Whether such code, or what it calls, also writes in place, as moving means are kept; norms are known."""
    kind: Any = type(module)
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return False
    asking = [name for name, code in reached(kind, "forward").items() if "training" in code.co_names]
    return any(_writes(code) for name in asking for code in reached(kind, name).values())


@cache
def written_methods(kind: Any) -> Mapping[str, FunctionType]:
    """The functions of a class that are not torch's, by name; decorators taken off."""
    owners = [base for base in reversed(kind.__mro__) if base.__module__.split(".")[0] != "torch"]
    found = {name: unwrap(value) for base in owners for name, value in vars(base).items() if callable(value)}
    return {name: function for name, function in found.items() if isinstance(function, FunctionType)}


@cache
def reached(kind: Any, first: str) -> Mapping[str, CodeType]:
    """A function of the class, and those of the class that it leads to, by name."""
    functions = written_methods(kind)
    waiting, found = [first], {}
    while waiting:
        name = waiting.pop()
        if name not in found and name in functions:
            found[name] = functions[name].__code__
            waiting.extend(functions[name].__code__.co_names)
    return found


@cache
def _writes(code: CodeType) -> bool:
    """Whether it calls what writes in place (`mean.lerp_(...)`), or gives a tensor other data (`mean.data = ...`)."""
    if any(map(_IN_PLACE.fullmatch, code.co_names)):
        return True
    return "data" in code.co_names and any(
        step.opname == "STORE_ATTR" and step.argval == "data" for step in dis.get_instructions(code)
    )


_IN_PLACE = re.compile(r"_?[a-z]\w*_")
