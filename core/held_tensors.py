"""The tensors that a model's modules hold, by name."""

from __future__ import annotations

from collections.abc import Mapping

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
