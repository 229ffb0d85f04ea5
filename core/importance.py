"""How much each unit of a group matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from prunescope.core.errors import BadInput
from prunescope.core.graph import DependencyGraph, Group, Member

Scores = Mapping[str, Tensor]  # group name -> (K,) float32, higher = keep
_Seen = dict[tuple[str, int], Tensor]  # importance of every index of a parameter dimension, computed once


@dataclass(frozen=True, slots=True)
class Criterion:
    """One row of the table of criteria, for code, screen and report alike."""

    name: str  # in code
    label: str  # on the screen
    sentence: str
    source: str  # where the method comes from
    of_indices: Callable[[Tensor, list[int]], Tensor]
    # a parameter and its dimensions to sum over (all but one) -> (size of that one,); a unit has the sum of its indices


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        criterion.name: criterion
        for criterion in (
            Criterion(
                "magnitude",
                "Group magnitude (L2)",
                "Sum of squared weights over everything that goes with the unit.",
                "Fang et al., DepGraph, CVPR 2023, section 3.3",
                lambda weights, over: (
                    torch.linalg.vector_norm(weights, dim=over).square() if over else weights.abs().square()
                ),
            ),
            Criterion(
                "magnitude-l1",
                "Group magnitude (L1)",
                "Sum of absolute weights over everything that goes with the unit.",
                "Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017",
                lambda weights, over: torch.linalg.vector_norm(weights, 1, dim=over) if over else weights.abs(),
            ),
        )
    }
)


def score(graph: DependencyGraph, criterion: str = "magnitude") -> Scores:
    """The importance of every unit of every group that can be cut, normalised in each group.

    Args:
        graph: A traced model; its weights are read as they are now.
        criterion: A name in `CRITERIA`.

    Returns:
        Group name -> (K,) float32, higher = keep: K * I / sum(I), the paper's N * I / sum TopN(I) with N = K, so that
        1 is the mean of every group and groups can be compared. All ones where nothing tells the units apart, as on
        the meta device, where weights have no values.

    Raises:
        BadInput: no criterion of that name.
    """
    chosen = criterion_named(criterion)
    seen: _Seen = {}
    return MappingProxyType(
        {group.name: normalised(_by_member(graph, group, chosen, seen).sum(dim=0)) for group in graph.groups}
    )


def criterion_named(name: str) -> Criterion:
    """The criterion, or BadInput that lists them all."""
    if name in CRITERIA:
        return CRITERIA[name]
    raise BadInput(
        asked=f"scores by {name!r}",
        found="no criterion of that name",
        where="argument criterion",
        what_to_do=f"use one of {', '.join(CRITERIA)}",
    )


def member_importance(graph: DependencyGraph, group: Group, criterion: str = "magnitude") -> Tensor:
    """(members, K) float32: what each trainable member adds to each unit's importance; buffers add nothing."""
    return _by_member(graph, group, criterion_named(criterion), {})


def _by_member(graph: DependencyGraph, group: Group, criterion: Criterion, seen: _Seen) -> Tensor:
    return torch.stack([_in_member(graph, member, group.size, criterion, seen) for member in group.members])


@torch.no_grad()
def _in_member(graph: DependencyGraph, member: Member, units: int, criterion: Criterion, seen: _Seen) -> Tensor:
    if member.is_buffer:
        return torch.zeros(units)
    key = (member.parameter, member.dim)
    if key not in seen:
        weights = graph.record.parameters[member.parameter].tensor.detach()
        if weights.is_meta:
            return torch.zeros(units)
        over = [d for d in range(weights.dim()) if d != member.dim]
        seen[key] = criterion.of_indices(weights, over).float().cpu()
    if isinstance(member.indices, np.ndarray):
        return seen[key][torch.from_numpy(member.indices)].sum(dim=1)
    return torch.stack([seen[key][torch.from_numpy(index)].sum() for index in member.indices])


def normalised(importance: Tensor) -> Tensor:
    """(K,) -> (K,) with mean 1; all ones where nothing tells the units apart by their size (all zero)."""
    total = importance.sum()
    if not bool(total > 0):
        return torch.ones_like(importance)
    return importance * (importance.numel() / total)
