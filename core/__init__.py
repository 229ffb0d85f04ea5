"""Trace a model, rate its units, plan a cut, do it, compare: `trace`, `score`, `plan`, `prune`, `compare`."""

from prunescope.core.criteria import CRITERIA
from prunescope.core.errors import PrunescopeError
from prunescope.core.graph import DependencyGraph, Group, Layer, Lock, Member
from prunescope.core.importance import score
from prunescope.core.measure import compare
from prunescope.core.plan import Plan, plan_units, predicted
from prunescope.core.surgery import Pruned, prune
from prunescope.core.targets import plan
from prunescope.core.trace import trace

__all__ = [
    "CRITERIA",
    "DependencyGraph",
    "Group",
    "Layer",
    "Lock",
    "Member",
    "Plan",
    "Pruned",
    "PrunescopeError",
    "compare",
    "plan",
    "plan_units",
    "predicted",
    "prune",
    "score",
    "trace",
]
