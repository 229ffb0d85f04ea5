"""Calls of torch's functions that a trace does by other operations: the same result, made of parts that rules can read.

Torch does most of these by filling memory of its own making piece by piece, which looks like a size that is fixed in
code; a linear layer, by views around a product of matrices, which are four operations for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def rewritten(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The result of the call, or None where torch itself has to make it."""
    made = _REWRITTEN.get(name)
    return made(*args, **kwargs) if made and kwargs.keys() <= _KEYWORDS.get(name, _NONE) else None


class WholeProducts(TorchFunctionMode):
    """Linear layers are one operation inside, as they are in a trace."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        made = rewritten(name, args, kwargs) if name == "linear" else None
        return function(*args, **kwargs) if made is None else made


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """Of a weight that is a parameter itself: what is computed may take part in sums that are counted by operation."""
    is_plain = type(weight) is nn.Parameter and weight.layout is x.layout is torch.strided and not x.is_nested
    # below autograd there are no gradients, which code may ask for inside `enable_grad`
    if not is_plain or weight.dim() != 2 or torch.is_grad_enabled():
        return None
    with torch._C._AutoDispatchBelowAutograd():
        return torch.nn.functional.linear(x, weight, bias)


def _batch_norm(x: Tensor, *rest: Any) -> Tensor | None:
    # of nothing torch takes no norm and multiplies by the first weight instead, which would tell nothing; with running
    # statistics it asks for memory that it does not use, which would be one operation more
    if len(rest) < 7 or (rest[4] and x.numel()):
        return None
    result: Tensor = torch.native_batch_norm(x, *rest[:7])[0]
    return result


def _circular_pad(x: Tensor, pad: Sequence[int], mode: str = "constant", *rest: Any) -> Tensor | None:
    if mode != "circular" or min(pad) < 0:
        return None
    for n in range(len(pad) // 2):
        dim, low, high = x.dim() - 1 - n, pad[2 * n], pad[2 * n + 1]
        size = x.shape[dim]
        if max(low, high) > size:
            return None
        x = torch.cat([x.narrow(dim, size - low, low), x, x.narrow(dim, 0, high)], dim)
    return x


def _unpacked(
    data: Tensor, batch_sizes: Tensor, batch_first: bool, padding: float, steps: int
) -> tuple[Tensor, Tensor]:
    sizes = [*batch_sizes.tolist(), *([0] * (steps - len(batch_sizes)))]
    starts = accumulate((0, *sizes[:-1]))
    rows = zip(starts, sizes, strict=True)
    numbers = [[start + n if n < size else -1 for n in range(sizes[0])] for start, size in rows]
    places = torch.tensor(numbers, device=data.device)
    there = (places >= 0).view(steps, sizes[0], *([1] * (data.dim() - 1)))
    padded = torch.where(there, data[places.clamp_min(0)], padding)
    lengths = torch.tensor([sum(n < size for size in sizes) for n in range(sizes[0])])
    return padded.transpose(0, 1) if batch_first else padded, lengths


def _padded_sequences(
    sequences: Sequence[Tensor], batch_first: bool = False, padding: float = 0.0, side: str = "right"
) -> Tensor | None:
    # what cannot be padded is for torch to say
    if side not in ("right", "left") or not sequences or not all(x.dim() for x in sequences):
        return None
    longest = max(x.shape[0] for x in sequences)
    padded = []
    for x in sequences:
        missing = longest - x.shape[0]
        around = (missing, 0) if side == "left" else (0, missing)
        padded.append(torch.nn.functional.pad(x, (*[0] * (2 * x.dim() - 2), *around), value=padding))
    return torch.stack(padded, 0 if batch_first else 1)


def _feature_dropout(x: Tensor, p: float, training: bool) -> Tensor | None:
    return x * _kept_features(x, p) if training and x.dim() > 2 and p < 1 else None


def _feature_dropout_in_place(x: Tensor, p: float, training: bool) -> Tensor | None:
    return x.mul_(_kept_features(x, p)) if training and x.dim() > 2 and p < 1 else None


def _kept_features(x: Tensor, p: float) -> Tensor:
    """One draw for all positions of a channel, scaled."""
    first = x
    for dim in range(2, x.dim()):
        first = first.narrow(dim, 0, 1)
    return torch.bernoulli(torch.full_like(first, 1 - p)) / (1 - p)


def _even_split(x: Tensor, pieces: Any, dim: int = 0) -> tuple[Tensor, ...] | None:
    return x.chunk(pieces, dim) if isinstance(pieces, int) and x.shape[dim] % pieces == 0 else None


_NONE: frozenset[str] = frozenset()
# that these calls may be made with; torch's own code names none
_KEYWORDS: Mapping[str, frozenset[str]] = {"linear": frozenset(("bias",)), "tensor_split": frozenset(("dim",))}
_REWRITTEN: Mapping[str, Callable[..., Any]] = {
    "batch_norm": _batch_norm,
    "feature_dropout": _feature_dropout,
    "feature_dropout_": _feature_dropout_in_place,
    "linear": _linear,
    "pad": _circular_pad,
    "pad_sequence": _padded_sequences,
    "tensor_split": _even_split,
    "_pad_packed_sequence": _unpacked,
}
