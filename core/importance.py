"""How much each unit of a group matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunescope.core.errors import BadInput
from prunescope.core.graph import DependencyGraph, Group, Member

Scores = Mapping[str, Tensor]  # group name -> (K,) float32, higher = keep
_Seen = dict[str, list[NDArray[np.float32]]]  # parameter -> for each dimension the importance of its indices
_CHUNK = 1 << 18  # weights that are read together: about what the processor keeps near


@dataclass(frozen=True, slots=True)
class Criterion:
    """One row of the table of criteria, for code, screen and report alike."""

    name: str  # in code
    label: str  # on the screen
    sentence: str
    source: str  # where the method comes from
    of_weights: Callable[[Tensor], Tensor]  # what each weight adds; a unit has the sum of its weights'


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        criterion.name: criterion
        for criterion in (
            Criterion(
                "magnitude",
                "Group magnitude (L2)",
                "Sum of squared weights over everything that goes with the unit.",
                "Fang et al., DepGraph, CVPR 2023, section 3.3",
                lambda weights: weights.abs().square() if weights.is_complex() else weights.square(),
            ),
            Criterion(
                "magnitude-l1",
                "Group magnitude (L1)",
                "Sum of absolute weights over everything that goes with the unit.",
                "Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017",
                torch.abs,
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
        {group.name: normalised(torch.from_numpy(_total(graph, group, chosen, seen))) for group in graph.groups}
    )


def _total(graph: DependencyGraph, group: Group, criterion: Criterion, seen: _Seen) -> NDArray[np.float32]:
    total = np.zeros(group.size, dtype=np.float32)
    for member in group.members:
        if not member.is_buffer:
            total += _in_member(graph, member, criterion, seen)
    return total


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
    chosen, seen = criterion_named(criterion), _Seen()
    nothing = np.zeros(group.size, dtype=np.float32)
    rows = [nothing if m.is_buffer else _in_member(graph, m, chosen, seen) for m in group.members]
    return torch.from_numpy(np.stack(rows))


def _in_member(graph: DependencyGraph, member: Member, criterion: Criterion, seen: _Seen) -> NDArray[np.float32]:
    """(K,) what the units' indices in this parameter dimension add."""
    if member.parameter not in seen:
        seen[member.parameter] = _of_indices(graph.record.parameters[member.parameter].tensor, criterion)
    values = seen[member.parameter][member.dim]
    if not isinstance(member.indices, np.ndarray):
        return np.array([values[index].sum() for index in member.indices], dtype=np.float32)
    return values[member.indices[:, 0]] if member.indices.shape[1] == 1 else values[member.indices].sum(axis=1)


@torch.no_grad()
def _of_indices(parameter: Tensor, criterion: Criterion) -> list[NDArray[np.float32]]:
    """For each dimension, (size,) the sum over all weights of every index."""
    if parameter.is_meta:
        return [np.zeros(size, dtype=np.float32) for size in parameter.shape]
    weights = parameter.detach()
    rows: list[Tensor] = []
    others = [torch.zeros(size) for size in weights.shape[1:]]
    # once through the weights for all dimensions, a few rows at a time
    for part in weights.split(max(1, _CHUNK * len(weights) // max(weights.numel(), 1))):
        added = criterion.of_weights(part if part.is_complex() else part.float()).cpu()
        front = added.flatten(2).sum(2) if added.dim() > 2 else added
        rows.append(front.sum(1) if front.dim() > 1 else front)
        for d, total in enumerate(others, start=1):
            of = front if d == 1 else added
            total += of.sum([other for other in range(of.dim()) if other != d])
    return [values.numpy() for values in (torch.cat(rows), *others)]


def normalised(importance: Tensor) -> Tensor:
    """(K,) -> (K,) with mean 1; all ones where nothing tells the units apart by their size (all zero)."""
    total = importance.sum()
    if not bool(total > 0):
        return torch.ones_like(importance)
    return importance * (importance.numel() / total)
