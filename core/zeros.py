"""Zeros for tensors whose values nobody asks for: all in the same memory, which nobody writes into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

_SMALL = 1 << 12  # elements that take no longer to fill than to find


class Zeros:
    """Tensors of zeros that share memory. Large ones would take longer to fill than all else that is noted of them."""

    def __init__(self) -> None:
        self._memory: dict[tuple[torch.dtype, torch.device], Tensor] = {}  # the largest of a type
        self._shared: dict[int, Tensor] = {}  # all, by address: tensors may still lie in what has become too small

    def shaped(self, like: Tensor, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """`like.new_zeros(shape)`; no operation may write into it before `parted`."""
        if prod(shape) <= _SMALL:
            return like.new_zeros(shape, dtype=dtype)
        strides, step = [], 1
        for size in reversed(shape):
            strides.append(step)
            step *= size
        return self._placed(like, dtype or like.dtype, shape, strides[::-1])

    def laid_out_like(self, tensor: Tensor, memory_format: torch.memory_format | None = None) -> Tensor:
        """`torch.zeros_like(tensor)`; no operation may write into it before `parted`."""
        if tensor.numel() <= _SMALL:
            return torch.zeros_like(tensor, memory_format=memory_format)
        pattern = torch.empty_like(tensor, memory_format=memory_format)
        return self._placed(pattern, pattern.dtype, pattern.shape, pattern.stride())

    def parted(self, tensors: Iterable[Tensor]) -> None:
        """Give those of the tensors that share memory here memory of their own, to be written into."""
        for tensor in tensors:
            if tensor.layout is torch.strided and tensor.untyped_storage().data_ptr() in self._shared:
                tensor.set_(torch.zeros_like(tensor))  # type: ignore[call-overload]

    def _placed(self, like: Tensor, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
        if like.is_meta or like.layout is not torch.strided:
            return like.new_zeros(shape, dtype=dtype)
        count = prod(shape)
        memory = self._memory.get((dtype, like.device))
        if memory is None or memory.numel() < count:
            memory = _filled(max(count, 2 * memory.numel() if memory is not None else 0), dtype, like.device)
            self._memory[dtype, like.device] = memory
            self._shared[memory.untyped_storage().data_ptr()] = memory
        return memory.as_strided(shape, strides)


def _filled(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(count, dtype=dtype, device=device)
    # the system keeps pages of zeros that nobody looks at for nothing, where torch would fill them
    return torch.from_numpy(np.zeros(count * dtype.itemsize, dtype=np.uint8)).view(dtype)
