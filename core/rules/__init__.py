"""How each operation couples the dimensions of its operands: one small function an operation, in one table."""

from prunescope.core.rules import (  # noqa: F401 - importing a family fills the table
    attention,
    contraction,
    creation,
    elementwise,
    indexing,
    movement,
    normalisation,
    packing,
    quantisation,
    reduction,
    spatial,
    splitting,
)
from prunescope.core.rules.table import RULES, Call, Rule, register, rule_for

__all__ = ["RULES", "Call", "Rule", "register", "rule_for"]
