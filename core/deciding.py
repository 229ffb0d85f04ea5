"""What the code reads of a run only to decide what to do next: guards (`if x.isnan().any()`), checks of arguments."""

from __future__ import annotations

from prunescope.core.labels import LabelSpace
from prunescope.core.tape import Tape, Value


def without_deciding_statistics(space: LabelSpace, tape: Tape) -> None:
    """Drop the statistics that the code only decides by: nothing that the model returns is made of them."""
    space.statistics = [
        each
        for each in space.statistics
        # one number alone can decide
        if any(value.shape for value in tape.steps[each.operation].outputs) or matters(tape, each.operation)
    ]


def matters(tape: Tape, position: int) -> bool:
    """Whether anything but decisions of the code is made of what a step gives."""
    made: dict[Value, None] = dict.fromkeys(tape.steps[position].outputs)
    for after in tape.after(made):
        step = tape.steps[after]
        if step.name == "aten._local_scalar_dense" and _made_by(tape, step.operands[0]) not in _COMPARISONS:
            return True
        made.update(dict.fromkeys(step.outputs))
    return any(value in made for value in tape.results)


def _made_by(tape: Tape, value: Value) -> str:
    step = tape.producers.get(value)
    return step.name if step else ""


_COMPARISONS = frozenset(
    f"aten.{name}"
    for name in (
        *("eq", "ne", "lt", "le", "gt", "ge", "all", "any", "_is_all_true", "_is_any_true"),
        *("isnan", "isinf", "logical_and", "logical_or", "logical_xor", "logical_not"),
        *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"),
    )
)
