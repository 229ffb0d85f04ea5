"""What stands for a result without values has the result's own shape, type and place in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch

from prunescope.core.rules.table import tensors_in
from prunescope.core.shapes import ANSWERED, without_values
from prunescope.core.zeros import Zeros
from tests.core.rule_calls import Sample, t, written
from tests.core.rule_reach import reached

aten = torch.ops.aten


def pools() -> Iterator[Sample]:
    """Windows that end inside the values, at their edge and behind it."""
    for size in range(6, 10):
        for window, step, pad, ceil in ((3, 2, 1, False), (3, 2, 0, True), (2, 2, 1, True), (3, 3, 1, True)):
            x = t(2, 4, size, size + 1)
            yield Sample(aten.max_pool2d_with_indices.default, (x, [window, window], [step], [pad], [1, 1], ceil))
            yield Sample(aten.avg_pool2d.default, (x, [window, window], [step, step], [pad, pad], ceil))
    x = t(2, 4, 9, 9)
    yield Sample(aten.max_pool2d_with_indices.default, (x, [3, 3]))
    yield Sample(aten.max_pool2d_with_indices.default, (x, [2, 2], [1, 1], [0, 0], [3, 2]))
    yield Sample(aten.avg_pool2d.default, (x, [3, 3]))
    yield Sample(aten.avg_pool2d.default, (x[0], [3, 3], [2, 2], [1, 1], False, False, 4))
    yield Sample(aten.max_pool3d_with_indices.default, (t(2, 4, 5, 6, 7), [2, 3, 2], [2, 2, 2], [1, 1, 0]))
    yield Sample(aten.avg_pool3d.default, (t(2, 4, 5, 6, 7), [2, 3, 2], [2, 2, 2], [1, 1, 0], True))


def attentions() -> Iterator[Sample]:
    k = t(2, 3, 7, 8)
    packed = t(2, 5, 3 * 3 * 8).view(2, 5, 3, 3, 8)
    for q in (t(2, 3, 5, 8), t(2, 5, 3, 8).transpose(1, 2), packed.permute(2, 0, 3, 1, 4)[0]):
        yield Sample(aten._scaled_dot_product_flash_attention_for_cpu.default, (q, k, k))


def copies() -> Iterator[Sample]:
    """Concatenations and copies of what lies in memory in its own order and in others."""
    x, moved = t(2, 3, 4, 5), t(2, 4, 5, 3).permute(0, 3, 1, 2)
    for parts in ([x, x], [x, moved], [moved, moved], [x, t(0)], [x, x.float()]):
        yield Sample(aten.cat.default, (parts, 1))
    yield Sample(aten.cat.default, ([x, t(2, 3, 4, 1)], -1))
    yield Sample(aten.cat.default, ([x, t(1, 3, 4, 5)],))
    for tensor in (x, moved, x[:1].expand(2, 3, 4, 5), x[..., ::2]):
        yield Sample(aten.clone.default, (tensor,))
        for layout in (torch.contiguous_format, torch.channels_last):
            yield Sample(aten.clone.default, (tensor,), {"memory_format": layout})


def sums() -> Iterator[Sample]:
    """Arithmetic with operands of other shapes and types."""
    x = t(2, 3, 4, 5)
    for other in (x, t(5), t(1, 3, 1, 1), t(1, 2, 3, 4, 5), t(2, 3, 4, 5).float(), t(4, 5).float(), t().float()):
        yield Sample(aten.add.Tensor, (x, other))
    yield Sample(aten.add.Tensor, (x.float(), x))
    yield Sample(aten.add.Tensor, (x[:1], x))
    for small, large in ((t(2, 3, 1, 1), x), (t(5), x), (t(2, 3, 1, 1), t(2, 4, 5, 3).permute(0, 3, 1, 2)), (t(), x)):
        yield Sample(aten.mul.Tensor, (small, large))
    yield Sample(aten.mul.Tensor, (t(3, 1), t(1, 4)))


def reductions() -> Iterator[Sample]:
    """Along some dimensions and along all, of what lies in memory in its own order and in others."""
    moved = t(2, 4, 5, 3).permute(0, 3, 1, 2)
    for x in (t(2, 3, 4, 5), moved):
        for keepdim in (True, False):
            yield Sample(aten.mean.dim, (x, [2, -1], keepdim))
            yield Sample(aten.sum.dim_IntList, (x, [1], keepdim))
            yield Sample(aten.sum.dim_IntList, (x, [2], keepdim))
            yield Sample(aten.mean.dim, (x, [], keepdim))
            yield Sample(aten.amax.default, (x, [-1], keepdim))
            yield Sample(aten.linalg_vector_norm.default, (x, 2.0, [1], keepdim))
        yield Sample(aten.mean.default, (x,))
        yield Sample(aten.mean.dim, (x, [1]), {"dtype": torch.float32})
        yield Sample(aten.amax.default, (x,))
        yield Sample(aten.linalg_vector_norm.default, (x,))


def moves() -> Iterator[Sample]:
    for x in (t(2, 3, 4, 5), t(2, 4, 5, 3).permute(0, 3, 1, 2)):
        yield Sample(aten.constant_pad_nd.default, (x, [1, 2, 0, 3], 0.5))
        yield Sample(aten.constant_pad_nd.default, (x, [-1, 0]))
        yield Sample(aten.roll.default, (x, [1, -2], [2, 3]))


def samples() -> list[Sample]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        calls = [*written(), *pools(), *attentions(), *copies(), *sums(), *reductions(), *moves()]
    return [*calls, *chain.from_iterable(reached().values())]


def test_what_stands_for_a_result_has_its_shape_and_type() -> None:
    answered = set()
    for call in samples():
        found = without_values(
            call.name, call.with_tensors(torch.clone).positional, call.keywords, hollow=True, zeros=Zeros()
        )
        if found is None:
            continue
        answered.add(call.name)
        real = tensors_in((call.with_tensors(torch.clone).run(),))
        for mine, theirs in zip(tensors_in((found,)), real, strict=True):
            # memory of the operation's own may be empty in its stead
            assert not mine.numel() or (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype), call
    assert answered >= ANSWERED


def test_what_stands_for_a_result_lies_in_memory_as_torch_lays_it() -> None:
    """What can be viewed without a copy is so with and without values."""
    answered = set()
    for call in (*attentions(), *copies(), *sums(), *reductions(), *moves()):
        found = without_values(call.name, call.positional, call.keywords, hollow=True, zeros=Zeros())
        if found is None:
            continue
        answered.add(call.name)
        real = call.function(*call.positional, **call.keywords)
        mine, theirs = (tensors_in((result,))[0] for result in (found, real))
        assert mine.stride() == theirs.stride(), call
    assert len(answered) == 11
