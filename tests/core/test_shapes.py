"""What stands for a result without values has the result's own shape, type and place in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch

from prunescope.core.rules.table import tensors_in
from prunescope.core.shapes import ANSWERED, without_values
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


def samples() -> list[Sample]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        calls = [*written(), *pools(), *attentions()]
    return [*calls, *chain.from_iterable(reached().values())]


def test_what_stands_for_a_result_has_its_shape_and_type() -> None:
    answered = set()
    for call in samples():
        found = without_values(call.name, call.with_tensors(torch.clone).positional, hollow=True)
        if found is None:
            continue
        answered.add(call.name)
        real = tensors_in((call.with_tensors(torch.clone).run(),))
        for mine, theirs in zip(tensors_in((found,)), real, strict=True):
            # memory of the operation's own may be empty in its stead
            assert not mine.numel() or (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype), call
    assert answered >= ANSWERED


def test_attention_lies_in_memory_as_torch_lays_it() -> None:
    """What can be viewed without a copy is so with and without values."""
    for call in attentions():
        found = without_values(call.name, call.positional, hollow=True)
        assert found is not None
        assert found[0].stride() == call.function(*call.positional)[0].stride()
