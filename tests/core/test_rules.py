"""Every rule against torch: cutting commutes with the operation.

Run an operation on operands without some units, or on operands whose units are zero and leave the units out of the
result: both give the same, whatever units the labels of the rule say can go. The operations are those that models
reach, with the shapes and arguments that they use, and calls written by hand for every row of the table.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from prunescope.core.coupling import components_of, couplings_of
from prunescope.core.labels import Dims, Fixed, LabelSpace, Vector
from prunescope.core.rules import RULES, Call, Rule, rule_for
from tests.core.rule_calls import Sample, t, written
from tests.core.rule_law import BUSY, Labelled, Left, Violation, check, every_dimension, labelled, run, some_units
from tests.core.rule_reach import reached

aten = torch.ops.aten


# rows of the table that run on no other machine
ON_A_GPU = {
    "aten.convolution_overrideable",
    "aten.cudnn_batch_norm",
    "aten.miopen_batch_norm",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_fused_attention_overrideable",
}
# operations whose operands stay whole: what they make depends on every element, or on how many there are
WHOLE = frozenset(
    f"aten.{name}"
    for name in (
        *("equal", "allclose", "nonzero", "bincount", "histc", "masked_select"),
        *("_unique2", "unique_consecutive", "unique_dim", "repeat_interleave", "_local_scalar_dense"),
    )
) | {"torchvision.nms"}


def _by_name(samples: Iterator[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for call in samples:
        found[call.name].append(call)
    return found


with torch.random.fork_rng():
    torch.manual_seed(0)
    WRITTEN = _by_name(written())


@pytest.mark.parametrize("name", WRITTEN)
def test_cutting_commutes_with_the_operation(name: str) -> None:
    cuts = [check(call) for call in WRITTEN[name]]
    assert (max(cuts) == 0) == (name in WHOLE)


def test_cutting_commutes_with_every_call_that_models_make() -> None:
    calls = [call for function, calls in reached().items() if rule_for(function) for call in calls]
    assert sum(check(call) > 0 for call in calls) > 0.9 * len(calls) > 300


def test_every_operation_that_models_reach_has_a_rule() -> None:
    """Except those that make a tensor of nothing: their sizes are the code's."""
    without = [function for function in reached() if rule_for(function) is None]
    assert not [function for function in without if any(call.tensors() for call in reached()[function])]


def test_every_row_of_the_table_is_checked() -> None:
    checked = {name.removesuffix("_") for name in WRITTEN}
    assert {name.removesuffix("_") for name in RULES} - checked - ON_A_GPU == {"pointwise", "pointwise of each"}
    assert not ON_A_GPU & checked


def _pointwise_calls() -> Iterator[Sample]:
    """Every operation that torch tags as point-wise and that takes tensors and nothing else."""
    torch.manual_seed(0)
    for name in dir(aten):
        function = getattr(getattr(aten, name), "default", None) or getattr(getattr(aten, name), "Tensor", None)
        if not isinstance(function, torch._ops.OpOverload) or torch.Tag.pointwise not in function.tags:
            continue
        needed = [a for a in function._schema.arguments if not a.has_default_value()]
        if needed and all(str(argument.type) == "Tensor" for argument in needed):
            shapes = ((4, 6), (6,), (4, 1))
            yield Sample(function, tuple(t(*shape).abs() for shape in shapes[: len(needed)]))


def test_what_torch_calls_pointwise_is_pointwise() -> None:
    done = 0
    for call in _pointwise_calls():
        try:
            call.with_tensors(torch.clone).run()
        except RuntimeError:
            continue  # it takes integers
        if call.name not in WHOLE:
            assert check(call), call
            done += 1
    assert done > 100


@pytest.mark.parametrize(
    "name", [f"aten.{name}" for name in ("convolution", "linear", "mm", "bmm", "addmm", "baddbmm")]
)
def test_costs_are_those_that_torch_counts(name: str) -> None:
    """Multiply-accumulates are half of torch's operations, before a cut and after it."""
    for call in WRITTEN[name]:
        case = labelled(call, every_dimension)
        for coupling in couplings_of(case.space, components_of(case.space)):
            gone = some_units(case, coupling, np.random.default_rng(0))
            for removed in (np.zeros_like(gone), gone):
                left = Left(case, removed)
                terms = [term.factor * math.prod(left.size(dim, 0) for dim in term.dims) for term in case.space.terms]
                with FlopCounterMode(display=False) as counter:
                    run(case, removed, zero=np.zeros_like(gone))
                assert 2 * sum(terms) == counter.get_total_flops()


MOVES = tuple(
    f"aten.{name}"
    for name in (
        *("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "unsqueeze", "squeeze", "flip", "rot90"),
        *("slice", "split", "split_with_sizes", "chunk", "select", "unbind", "repeat", "channel_shuffle", "as_strided"),
        *("pixel_shuffle", "pixel_unshuffle", "im2col", "diagonal", "roll", "cat", "stack"),
    )
)


@pytest.mark.parametrize("name", MOVES)
def test_labels_say_where_every_element_came_from(name: str) -> None:
    """Move the numbers of a dimension's indices: where a dimension of the result has labels, they say the same."""
    for call in WRITTEN[name]:
        case = labelled(call, every_dimension)
        for n, operand in enumerate(call.tensors()):
            for d, dim in enumerate(case.operands[n]):
                if isinstance(dim, Fixed):
                    continue
                numbers = torch.arange(1, dim.size + 1, dtype=operand.dtype)
                numbers = numbers.view([-1 if k == d else 1 for k in range(operand.dim())]).expand_as(operand)
                _compare_numbers(case, dim, _with_operand(call, n, numbers.contiguous()).run())


def _with_operand(call: Sample, position: int, values: Tensor) -> Sample:
    """These values for one operand and zeros for the others."""
    count = iter(range(len(call.tensors())))
    return call.with_tensors(lambda tensor: values if next(count) == position else torch.zeros_like(tensor))


def _compare_numbers(case: Labelled, source: Vector, moved: Sequence[Tensor]) -> None:
    number = {label: n for n, label in enumerate(source.tolist(), start=1)}
    for dims, values in zip(case.outputs, moved, strict=True):
        for d, dim in enumerate(dims):
            if isinstance(dim, Fixed):
                continue
            for index, label in enumerate(dim.tolist()):
                allowed = {number[base] for base in _bases(case.space, label) if base in number}
                found = {int(value) for value in values.select(d, index).unique()} - {0}
                if allowed and not found <= allowed:
                    raise Violation(f"index {index} of {case.call} holds {found}, its label says {allowed}")


def _bases(space: LabelSpace, label: int) -> set[int]:
    """The label, the elements of its row or column, the row and column of an element."""
    found = {label}
    for grid in space.grids:
        elements = grid.elements.reshape(grid.rows.size, grid.columns.size)
        for row, column in np.argwhere(elements == label).tolist():
            found |= {int(grid.rows[row]), int(grid.columns[column])}
        found.update(elements[grid.rows == label].reshape(-1).tolist())
        found.update(elements[:, grid.columns == label].reshape(-1).tolist())
    return found


def test_an_operation_that_writes_into_another_tensor_has_no_rule() -> None:
    assert rule_for(aten.add.out) is None
    assert rule_for(aten.add.Tensor) is rule_for(aten.add_.Tensor) is RULES["pointwise"]


# ---------------------------------------------------------------------------------------------- wrong rules are caught


def _without_joins(rule: Rule) -> Rule:
    def wrong(call: Call) -> Sequence[Dims]:
        edges = len(call.space.edges)
        result = rule(call)
        del call.space.edges[edges:]
        return result

    return wrong


def _without_locks(rule: Rule) -> Rule:
    def wrong(call: Call) -> Sequence[Dims]:
        result = rule(call)
        call.space.locks.clear()
        return result

    return wrong


def _reversed(rule: Rule) -> Rule:
    """Labels in the wrong order along every dimension."""

    def wrong(call: Call) -> Sequence[Dims]:
        return [tuple(dim if isinstance(dim, Fixed) else dim[::-1] for dim in dims) for dims in rule(call)]

    return wrong


def _unlabelled(rule: Rule) -> Rule:
    """No labels on the result: what becomes of it is not seen."""

    def wrong(call: Call) -> Sequence[Dims]:
        return [tuple(BUSY for _ in dims) for dims in rule(call)]

    return wrong


WRONG = (
    *(
        (_without_joins, name)
        for name in ("convolution", "addmm", "bmm", "native_layer_norm", "cat", "index_add", "add_")
    ),
    *((_without_locks, name) for name in ("_log_softmax", "select", "embedding", "index", "col2im", "roll", "cumprod")),
    *((_reversed, name) for name in ("view", "permute", "cat", "split", "channel_shuffle", "flip", "mm", "repeat")),
    *((_unlabelled, name) for name in ("view", "convolution", "add_", "sum", "native_group_norm", "im2col", "gather")),
)


@pytest.mark.parametrize(("spoil", "name"), WRONG)
def test_a_wrong_rule_is_caught(spoil: Callable[[Rule], Rule], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = "pointwise" if name == "add_" else f"aten.{name}"
    monkeypatch.setitem(RULES, row, spoil(RULES[row]))
    with pytest.raises(Violation):
        sum(check(call) for call in WRITTEN[f"aten.{name}"])


def test_labels_that_move_wrongly_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "aten.view", _reversed(RULES["aten.view"]))
    with pytest.raises(Violation, match="its label says"):
        test_labels_say_where_every_element_came_from("aten.view")
