"""Operations that make a new tensor and take no values from their operands."""

from __future__ import annotations

from collections.abc import Sequence

from prunescope.core.labels import CONSTANT, Dims
from prunescope.core.rules.table import Call, register


@register(
    *(
        f"aten.{name}"
        for name in (
            "new_zeros",
            "new_ones",
            "new_empty",
            "new_empty_strided",
            "new_full",
            "_local_scalar_dense",
        )
    )
)
def made(call: Call) -> Sequence[Dims]:
    """A tensor of sizes that the code gives; the operand lends its type only."""
    return [tuple(CONSTANT for _ in tensor.shape) for tensor in call.outputs]


@register(
    "aten.zeros_like",
    "aten.ones_like",
    "aten.empty_like",
    "aten.rand_like",
    "aten.randn_like",
    "aten.full_like",
    "aten.randint_like",
)
def like(call: Call) -> Sequence[Dims]:
    """A new tensor as large as another follows its size."""
    return [call.labels(call.tensors[0])]
