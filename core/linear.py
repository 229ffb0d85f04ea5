"""Operations that scale their result where some of their operands are scaled, element by element.

A *mark* is a tensor of an operand's shape: which of its elements are meant (bool), or which index of a parameter made
them (int, -1 for none). Marks move with the values. Where every operand of a sum, or one factor of a product, is
scaled by a number, so is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from prunescope.core.labels import Vector
from prunescope.core.tape import Slot, Step

Marks: TypeAlias = tuple[Tensor | None, ...]  # of an operation's outputs
Terms: TypeAlias = tuple[tuple[int, ...], ...]  # a sum of products of operands, by position


class NotLinear(Exception):
    """What is marked does not scale the result; the message says why, after "to scale it"."""


@dataclass(frozen=True, slots=True)
class Linear:
    """How an operation's result follows the scale of its operands."""

    terms: Callable[[Step], Terms]
    push: Callable[[Step, int, Tensor], Marks]  # marks of the outputs, from those of one operand
    apart: bool = False  # the operands become different elements of the result, so that each is scaled by itself


def linear(step: Step) -> Linear | None:
    """How the step's result follows its operands' scale; None where it does not."""
    return _LINEAR.get(step.name)


def pushed(step: Step, marks: Mapping[int, Tensor]) -> Marks:
    """Marks of the outputs from those of all marked operands, by position. Raises NotLinear."""
    rule = linear(step)
    terms = rule.terms(step) if rule else ()
    if rule is None or not set(marks) <= {position for term in terms for position in term}:
        raise NotLinear(f"would change more than a scale in {step.name}")
    if step.name.endswith("_") and 0 not in marks:
        raise NotLinear("would change another tensor in place")
    found = [[rule.push(step, position, marks[position]) for position in term if position in marks] for term in terms]
    if any(len(factors) > 1 for factors in found):
        raise NotLinear("would count twice")
    if rule.apart:
        return _either([factors[0] for factors in found if factors])
    if any(not factors for factors in found):
        raise NotLinear("would scale one part of a sum only")
    first, *others = (factors[0] for factors in found)
    if not all(_equal(first[0], other[0]) for other in others):
        raise NotLinear("would scale one part of a sum only")
    return first


def is_marked(mark: Tensor | None) -> bool:
    return mark is not None and bool(distinct(mark).any())


def along(shape: Sequence[int], dim: int, marks: Tensor) -> Tensor:
    """Marks of a tensor's elements by their index in one dimension."""
    return marks.view([-1 if d == dim else 1 for d in range(len(shape))]).expand(shape)


def distinct(mark: Tensor) -> Tensor:
    """The mark without the repetitions along expanded dimensions."""
    return mark[tuple(slice(0, 1) if step == 0 else slice(None) for step in mark.stride())] if mark.numel() else mark


def indices(marks: Sequence[Tensor]) -> Vector:
    """All indices that marks of indices have, sorted."""
    counts = [torch.bincount(distinct(mark).reshape(-1) + 1)[1:] for mark in marks]
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(np.flatnonzero(count) for count in counts)]))


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    repeated = tuple(
        slice(0, 1) if a == b == 0 else slice(None) for a, b in zip(one.stride(), other.stride(), strict=True)
    )
    return torch.equal(one[repeated], other[repeated])


def _either(found: list[Marks]) -> Marks:
    first, *others = found
    for marks in others:
        first = tuple(b if a is None else a if b is None else a | b for a, b in zip(first, marks, strict=True))
    return first


def _all(step: Step) -> Terms:
    return tuple((position,) for position in range(len(step.operands)))


def _sum(step: Step) -> Terms:
    # a number that is added does not follow a scale
    numbers = [value for value in step.arguments[:2] if not isinstance(value, Slot)]
    return () if any(numbers) else _all(step)


def _product(step: Step) -> Terms:
    return (tuple(range(len(step.operands))),)


def _first(step: Step) -> Terms:
    return ((0,),) if isinstance(step.arguments[0], Slot) else ()


def _quotient(step: Step) -> Terms:
    # rounding follows no scale
    return () if "mode" in step.function._overloadname else _first(step)


def _affine(first: int) -> Callable[[Step], Terms]:
    """Of a normalisation or convolution, which follows its weight and bias: arguments number `first` and the next."""

    def terms(step: Step) -> Terms:
        weight, *bias = step.arguments[first : first + 2]
        return tuple((slot.position,) for slot in (weight, *bias) if isinstance(slot, Slot)) if weight else ()

    return terms


def _same(step: Step, position: int, mark: Tensor) -> Marks:
    return _alone(step, mark)


def _alone(step: Step, mark: Tensor) -> Marks:
    """Marks of the first output, with none on the others."""
    return (mark, *(None for _ in step.outputs[1:]))


def _spread(step: Step, position: int, mark: Tensor) -> Marks:
    return _alone(step, mark.expand(step.outputs[0].shape))


def _reshaped(step: Step, position: int, mark: Tensor) -> Marks:
    return (mark.reshape(step.outputs[0].shape),)


def _moved(step: Step, position: int, mark: Tensor) -> Marks:
    nothing = mark.new_full((), False if mark.dtype == torch.bool else -1)
    marks = [mark if n == position else nothing.expand(value.shape) for n, value in enumerate(step.operands)]
    result = step.function(*step.filled(marks))
    return (result,) if isinstance(result, Tensor) else tuple(result)


def _beside(step: Step, position: int, mark: Tensor) -> Marks:
    """Operands one beside the other; what is repeated along other dimensions is not written out."""
    if mark.shape == step.outputs[0].shape:
        return (mark,)
    if any(len(value.shape) != mark.dim() for value in step.operands):
        return _moved(step, position, mark)
    along = (step.arguments[1] if len(step.arguments) > 1 else 0) % mark.dim() if "cat" in step.name else None
    once = tuple(slice(0, 1) if not n and d != along else slice(None) for d, n in enumerate(mark.stride()))
    nothing = mark.new_full((), False if mark.dtype == torch.bool else -1)
    marks = [mark if n == position else nothing.expand(value.shape) for n, value in enumerate(step.operands)]
    result: Tensor = step.function(*step.filled([each[once] for each in marks]))
    return (result.expand(step.outputs[0].shape),)


def _one(mark: Tensor, dim: int) -> Tensor:
    """The mark at the first index of a dimension along which it does not change."""
    first = mark.narrow(dim, 0, 1)
    if mark.stride(dim) and not bool((mark == first).all()):
        raise NotLinear("would scale what is summed up with it")
    return first


def _matrix(left: int) -> Callable[[Step, int, Tensor], Marks]:
    """A product of matrices, the first of them operand number `left`; what comes before is added."""

    def push(step: Step, position: int, mark: Tensor) -> Marks:
        if position == left:
            mark = _one(mark, -1)
        elif position == left + 1:
            mark = _one(mark, -2)
        return _spread(step, position, mark)

    return push


def _linear(step: Step, position: int, mark: Tensor) -> Marks:
    """Of (..., in), a weight of (out, in) and a bias of (out,)."""
    if position < 2:
        mark = _one(mark, -1)
    return _spread(step, position, mark.squeeze(-1) if position == 1 else mark)


def _linear_terms(step: Step) -> Terms:
    return ((0, 1), (2,))[: len(step.operands) - 1]


def _matrix_terms(step: Step) -> Terms:
    return ((0, 1),)


def _added_matrix_terms(step: Step) -> Terms:
    return ((0,), (1, 2))


def _per_channel(step: Step, position: int, mark: Tensor) -> Marks:
    return _spread(step, position, mark.reshape(-1, *(1 for _ in step.outputs[0].shape[2:])))


def _convolution(step: Step, position: int, mark: Tensor) -> Marks:
    """A weight of (out, in / groups, *taps), or transposed; a bias of (out,)."""
    transposed, groups = step.arguments[6], step.arguments[8]
    if mark.dim() > 1 and transposed:
        if groups > 1:
            raise NotLinear("meets a transposed convolution in groups")
        mark = mark.transpose(0, 1)
    for dim in range(1, mark.dim()):
        mark = _one(mark, dim)
    return _per_channel(step, position, mark)


def _embedding(step: Step, position: int, mark: Tensor) -> Marks:
    return _spread(step, position, _one(mark, 0).squeeze(0))


def _summed(step: Step, position: int, mark: Tensor) -> Marks:
    """Marks of sums and means: all that is summed up together has to be scaled alike."""
    asked = step.arguments[1] if len(step.arguments) > 1 else None
    dims = range(mark.dim()) if asked is None or asked == [] else [asked] if isinstance(asked, int) else asked
    places = {d % mark.dim() for d in dims} if mark.dim() else set()
    for d in places:
        mark = _one(mark, d)
    if mark.dim() != len(step.outputs[0].shape):
        mark = mark[tuple(0 if d in places else slice(None) for d in range(mark.dim()))]
    return (mark,)


def _picked(step: Step, position: int, mark: Tensor) -> Marks:
    """Marks of what is looked up along one dimension, wherever that is."""
    dim = step.arguments[1] % mark.dim()
    return _spread(step, position, _one(mark, dim))


def _looked_up(step: Step, position: int, mark: Tensor) -> Marks:
    """Marks of `x[:, numbers]`, wherever the numbers point."""
    given = [(d, slot) for d, slot in enumerate(step.arguments[1]) if slot is not None]
    ((d, slot),) = given if len(given) == 1 else ((0, None),)
    if not isinstance(slot, Slot):
        raise NotLinear("would change more than a scale in a look-up")
    made = len(step.operands[slot.position].shape)
    if len(step.outputs[0].shape) != mark.dim() - 1 + made:
        raise NotLinear("would change more than a scale where a mask chooses")
    mark = _one(mark, d).squeeze(d)
    return _spread(step, position, mark[(slice(None),) * d + (None,) * made])


def _complex(step: Step, position: int, mark: Tensor) -> Marks:
    return (_one(mark, -1).squeeze(-1),)


def _real(step: Step, position: int, mark: Tensor) -> Marks:
    return _spread(step, position, mark.unsqueeze(-1))


# operations that hand on elements as they are
_WHOLE: dict[str, Linear] = {
    **{f"aten.{name}": Linear(_first, _same) for name in ("alias", "detach", "clone", "contiguous", "_to_copy", "to")},
    **{f"aten.{name}": Linear(_first, _reshaped) for name in ("view", "_unsafe_view", "reshape", "_reshape_alias")},
    **{
        f"aten.{name}": Linear(_first, _moved)
        for name in ("permute", "transpose", "t", "unsqueeze", "squeeze", "expand")
    },
    **{f"aten.{name}": Linear(_first, _moved) for name in ("flip", "roll", "repeat")},
}
# and those that hand on some of them, or all in parts
_IN_ALL_PARTS: dict[str, Linear] = {
    f"aten.{name}": Linear(_first, _moved)
    for name in ("unbind", "split", "split_with_sizes", "unsafe_split", "chunk", "unsafe_chunk")
}
_IN_PARTS: dict[str, Linear] = {
    **_IN_ALL_PARTS,
    **{f"aten.{name}": Linear(_first, _moved) for name in ("slice", "select")},
}
TAKES_WHOLE, TAKES_PARTS, TAKES_ALL_PARTS = frozenset(_WHOLE), frozenset(_IN_PARTS), frozenset(_IN_ALL_PARTS)

_LINEAR: dict[str, Linear] = {
    **_WHOLE,
    **_IN_PARTS,
    **{f"aten.{name}": Linear(_first, _same) for name in ("dropout", "native_dropout", "neg")},
    **{f"aten.{name}": Linear(_all, _beside, apart=True) for name in ("cat", "concat", "stack")},
    **{f"aten.{name}": Linear(_sum, _spread) for name in ("add", "add_", "sub", "sub_")},
    **{f"aten.{name}": Linear(_product, _spread) for name in ("mul", "mul_")},
    **{f"aten.{name}": Linear(_quotient, _spread) for name in ("div", "div_")},
    **{f"aten.{name}": Linear(_matrix_terms, _matrix(0)) for name in ("mm", "bmm")},
    **{f"aten.{name}": Linear(_added_matrix_terms, _matrix(1)) for name in ("addmm", "baddbmm")},
    "aten.linear": Linear(_linear_terms, _linear),
    "aten.convolution": Linear(_affine(1), _convolution),
    "aten.embedding": Linear(_first, _embedding),
    **{f"aten.{name}": Linear(_first, _summed) for name in ("sum", "mean")},
    "aten.index_select": Linear(_first, _picked),
    "aten.index": Linear(_first, _looked_up),
    "aten.view_as_complex": Linear(_first, _complex),
    "aten.view_as_real": Linear(_first, _real),
    **{f"aten.{name}": Linear(_affine(2), _spread) for name in ("native_layer_norm", "_fused_rms_norm")},
    **{f"aten.{name}": Linear(_affine(1), _per_channel) for name in ("native_group_norm", "native_batch_norm")},
}
