"""How much each unit of a group matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from prunescope.core.criteria import Criterion, Values, Weights, criterion_named, row_named
from prunescope.core.errors import BadInput
from prunescope.core.evidence import Evidence, Loss, gathered
from prunescope.core.graph import DependencyGraph, Group, Member

Scores: TypeAlias = Mapping[str, Tensor]  # group name -> (K,) float32, higher = keep
_Seen: TypeAlias = dict[str, list[Values]]  # parameter -> for each dimension the importance of its indices


def _geometric_mean(rows: Values) -> Values:
    """The product ranks alike, but hundreds of factors leave the range of floating-point numbers."""
    with np.errstate(divide="ignore"):  # the logarithm of zero is minus infinity, and comes back as zero
        mean: Values = np.exp(np.log(rows).mean(0))
    return mean


REDUCTIONS: Mapping[str, Callable[[Values], Values]] = MappingProxyType(
    {
        "sum": lambda rows: rows.sum(0),
        "mean": lambda rows: rows.mean(0),
        "max": lambda rows: rows.max(0),
        "product": _geometric_mean,
        "first": lambda rows: rows[0],
    }
)
"""(members, K) -> (K,): one number for each unit of what its members say."""


def _top(importance: Tensor, top: float) -> Tensor:
    """The paper's N * I / sum TopN(I): the mean of the N largest is 1. N is a share of K, at least one unit."""
    count = max(1, round(top * importance.numel()))
    largest = importance if count == importance.numel() else importance.topk(count).values
    return _divided(importance, largest.mean())


def _divided(importance: Tensor, by: Tensor) -> Tensor:
    return importance / by if bool(by > 0) else torch.ones_like(importance)


def _standardised(importance: Tensor) -> Tensor:
    spread = importance.std(correction=0)
    return (importance - importance.mean()) / spread if bool(spread > 0) else torch.zeros_like(importance)


def _lamp(importance: Tensor) -> Tensor:
    """Each as a share of the sum of itself and of all that are larger."""
    order = importance.argsort(descending=True, stable=True)
    shares = torch.empty_like(importance)
    shares[order] = importance[order] / importance[order].cumsum(0)
    return shares.nan_to_num(nan=0.0)  # 0 of 0, where all are zero


NORMALISATIONS: Mapping[str, Callable[[Tensor, float], Tensor]] = MappingProxyType(
    {
        "topn": _top,
        "none": lambda importance, _: importance,
        "mean": lambda importance, _: _divided(importance, importance.mean()),
        "max": lambda importance, _: _divided(importance, importance.max()),
        "sum": lambda importance, _: _divided(importance, importance.sum()),
        "standardised": lambda importance, _: _standardised(importance),
        "lamp": lambda importance, _: _lamp(importance),
    }
)
"""(K,) -> (K,): what makes the units of different groups comparable."""


@torch.no_grad()
def score(
    graph: DependencyGraph,
    criterion: str = "magnitude",
    *,
    reduce: str | None = None,
    normalise: str | None = None,
    top: float = 1.0,
    batches: Iterable[Any] | None = None,
    loss: Loss | None = None,
    evidence: Evidence | None = None,
    seed: int = 0,
) -> Scores:
    """The importance of every unit of every group that can be cut, normalised in each group.

    Args:
        graph: A traced model; its weights are read as they are now.
        criterion: A name in `CRITERIA`.
        reduce: What makes one number of what the members of a unit say, a name in `REDUCTIONS`; the criterion's own
            if None. The paper's is the sum.
        normalise: What makes groups comparable, a name in `NORMALISATIONS`; the criterion's own if None. The paper's
            is "topn", N * I / sum TopN(I).
        top: For "topn", N as a share of the units, over 0 and up to 1.
        batches: For criteria that need data: what `loss` takes, some tens of examples in all are enough for a start.
        loss: For these, `loss(model, batch)`: the loss of the batch, a scalar, or one number for each example.
        evidence: What `evidence.gathered` gave for this criterion before, instead of batches and loss.
        seed: For "random".

    Returns:
        Group name -> (K,) float32, higher = keep. With "topn" or "mean" 1 is the mean of every group, all ones where
        nothing tells the units apart, as on the meta device, where weights have no values.

    Raises:
        BadInput: no criterion, reduction or normalisation of that name; batches or loss are missing or do not fit the
            model; a loss or an importance is no finite number; the criterion has nothing to say of any group.
    """
    chosen = criterion_named(criterion)
    reduced = row_named("reduce", reduce or chosen.reduce, REDUCTIONS)
    normal = row_named("normalise", normalise or chosen.normalise, NORMALISATIONS)
    _check_top(top)
    if evidence is None:
        evidence = gathered(graph, chosen.needs, batches, loss, asked=f"scores by {chosen.label}")
    source = _Source(graph, chosen, evidence, seed, {})
    raw = {group.name: _total(source, group, reduced) for group in graph.groups}
    _check_told_apart(source, raw)
    return MappingProxyType({name: normal(torch.from_numpy(values), top) for name, values in raw.items()})


@torch.no_grad()
def member_importance(
    graph: DependencyGraph, group: Group, criterion: str = "magnitude", evidence: Evidence | None = None
) -> Tensor:
    """(members, K) float32: what each member adds to each unit's importance; buffers add nothing.

    Args:
        evidence: For a criterion that needs data, what `gathered` gave.
    """
    chosen = criterion_named(criterion)
    source = _Source(graph, chosen, evidence or {}, 0, {})
    nothing = np.zeros(group.size, dtype=np.float32)
    rows = [_in_member(source, member) if _has_say(source, member) else nothing for member in group.members]
    return torch.from_numpy(np.stack(rows))


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the importance of indices is read."""

    graph: DependencyGraph
    criterion: Criterion
    evidence: Evidence
    seed: int
    seen: _Seen  # grows as parameters are read


def _has_say(source: _Source, member: Member) -> bool:
    if member.is_buffer or (source.criterion.needs is not None and member.parameter not in source.evidence):
        return False
    return source.criterion.counts(member, source.graph.record.parameters[member.parameter].tensor)


def _total(source: _Source, group: Group, reduced: Callable[[Values], Values]) -> Values:
    rows = [_in_member(source, member) for member in group.members if _has_say(source, member)]
    total = reduced(np.stack(rows)) if rows else np.zeros(group.size, dtype=np.float32)
    if not np.isfinite(total).all():
        raise BadInput(
            asked=f"scores by {source.criterion.label}",
            found=f"the importance of {int((~np.isfinite(total)).sum())} of {group.size} units is no finite number",
            where=f"group {group.name}, in {', '.join(_not_finite(source, group)) or 'all members together'}",
            what_to_do="look for NaN or infinity in these weights, or in their gradients",
        )
    return total


def _not_finite(source: _Source, group: Group) -> list[str]:
    rated = [member for member in group.members if _has_say(source, member)]
    return [member.parameter for member in rated if not np.isfinite(_in_member(source, member)).all()]


def _in_member(source: _Source, member: Member) -> Values:
    """(K,) what the units' indices in this parameter dimension add."""
    if member.parameter not in source.seen:
        source.seen[member.parameter] = _of_indices(source, member.parameter)
    values = source.seen[member.parameter][member.dim]
    if not isinstance(member.indices, np.ndarray):
        return np.array([values[index].sum() for index in member.indices], dtype=np.float32)
    return values[member.indices[:, 0]] if member.indices.shape[1] == 1 else values[member.indices].sum(axis=1)


def _of_indices(source: _Source, name: str) -> list[Values]:
    """For each dimension, (size,) the importance of every index."""
    parameter = source.graph.record.parameters[name].tensor.detach()
    if parameter.is_meta:
        return [np.zeros(size, dtype=np.float32) for size in parameter.shape]
    weights = Weights(name, parameter, source.evidence.get(name), source.seed)
    return source.criterion.rate(weights)


def _check_told_apart(source: _Source, raw: Mapping[str, Values]) -> None:
    """Weights that are all alike are the model's own; but a criterion that finds nothing to go by is the wrong one."""
    if any(np.ptp(values) > 0 for values in raw.values() if values.size > 1):
        return
    rated = {member.parameter for group in source.graph.groups for member in group.members if not member.is_buffer}
    heard = {m.parameter for group in source.graph.groups for m in group.members if _has_say(source, m)}
    if heard == rated and source.criterion.needs is None:
        return
    raise BadInput(
        asked=f"scores by {source.criterion.label}",
        found=f"it tells no unit of any of the {len(raw)} groups from another; {len(heard)} of {len(rated)} parameters "
        "have a say in it",
        where=type(source.graph.model).__name__,
        what_to_do="use another criterion: what this one goes by is missing in this model, or is the same everywhere",
    )


def _check_top(top: float) -> None:
    if 0 < top <= 1:
        return
    raise BadInput(
        asked=f"normalise by the mean of the largest {top!r} of the units",
        found="a share of the units is a number over 0 and up to 1",
        where="argument top",
        what_to_do="give for example top=0.5 for the larger half, or leave it out for all",
    )
