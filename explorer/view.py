"""Core objects -> plain records that a page can show. Nothing here knows Dash or Plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from prunescope.core import CRITERIA, DependencyGraph, Group, Member
from prunescope.core.evidence import Evidence
from prunescope.core.graph import Side
from prunescope.core.importance import Scores, member_importance
from prunescope.core.labels import COMPETING_UNITS
from prunescope.core.plan import cut_groups
from prunescope.explorer.jobs import JobState
from prunescope.explorer.layers import enclosing
from prunescope.explorer.layout import LayerBox
from prunescope.explorer.locked import Padlock, padlocks
from prunescope.explorer.session import Session
from prunescope.explorer.version import Version

SIDE_SIGNS = {"in": "f\u207b", "out": "f\u207a", "both": "f\u207b f\u207a"}
OVERVIEW_BINS = 64
UNSURE = 0.3  # interquartile range over the median from which a latency is a rough one
STATISTICS = 3  # layers that are named where there may be many


def layer_boxes(graph: DependencyGraph) -> tuple[LayerBox, ...]:
    """A box for every layer, in the order in which they ran."""
    return tuple(
        LayerBox(
            id=layer.name,
            label=layer.name.rpartition(".")[2],
            kind=layer.kind,
            module=enclosing(layer),
            detail=shape_text(layer.output_shape),
        )
        for layer in graph.layers
    )


def shape_text(shape: Sequence[int]) -> str:
    """(1, 64, 56, 56) -> "64 x 56 x 56": the batch is left out."""
    return " \u00d7 ".join(map(str, shape[1:] if len(shape) > 1 else shape))


def coupling_record(graph: DependencyGraph) -> dict[str, Any]:
    """Who is coupled with whom, as the page's highlight needs it.

    Returns:
        `layers`: layer -> {"out": group index or None, "in": ...}, the group with most of the side's indices; `shared`:
        layer -> {side: indices of all its groups}, where a side holds several; `groups`, by index: {name, kind, size,
        members: [{layer, side}], lead: {layer, side} that shows it, lock}; `locked`: layer -> its padlocks, each
        {place, whole, text, reason, where}.
    """
    groups = (*graph.groups, *graph.locked_groups)
    sides = side_groups(graph)
    held = _layers_of_groups(graph, groups)
    leads = _leads(graph, sides, held)
    locks = {group.index: group.lock.reason for group in groups if group.lock}
    return {
        "layers": {name: {side: next(iter(own), None) for side, own in found.items()} for name, found in sides.items()},
        "shared": {
            name: {side: list(own) for side, own in found.items() if len(own) > 1}
            for name, found in sides.items()
            if max(map(len, found.values())) > 1
        },
        "groups": [
            {
                "name": group.name,
                "kind": group.kind,
                "size": group.size,
                "members": [{"layer": layer, "side": side} for layer, side in held[group.index].items()],
                "lead": leads[group.index],
                "lock": locks.get(group.index),
            }
            for group in groups
        ],
        "locked": {name: [_padlock_record(lock) for lock in own] for name, own in padlocks(graph).items()},
    }


def _padlock_record(lock: Padlock) -> dict[str, Any]:
    return {
        "place": lock.place,
        "whole": lock.is_whole,
        "text": lock.text,
        "reason": lock.reason,
        "where": lock.where,
    }


_SIDES: tuple[Side, Side] = ("out", "in")
_SideGroups = dict[str, dict[Side, tuple[int, ...]]]


def side_groups(graph: DependencyGraph) -> _SideGroups:
    """What `graph.groups_of` says of every side of every layer, as indices of groups, in one pass."""
    groups = (*graph.groups, *graph.locked_groups)
    owners = [np.full(coupling.lock.size, len(groups)) for coupling in graph.record.couplings]
    for group in groups:
        owners[group.option][group.components] = group.index

    def ranked(vectors: Sequence[Any]) -> tuple[int, ...]:
        count = np.zeros(len(groups) + 1, dtype=np.int64)
        for vector in vectors:
            labels = vector[vector >= 0]
            for owner, coupling in zip(owners, graph.record.couplings, strict=True):
                count += np.bincount(owner[coupling.component[labels]], minlength=len(groups) + 1)
        held = np.flatnonzero(count[:-1])
        return tuple(held[np.argsort(-count[held], kind="stable")].tolist())

    return {
        layer.name: {"out": ranked(layer.output_labels), "in": ranked(layer.input_labels)} for layer in graph.layers
    }


def _leads(
    graph: DependencyGraph, sides: _SideGroups, held: Mapping[int, Mapping[str, str]]
) -> dict[int, dict[str, str] | None]:
    """For each group the side of a layer that shows it best: the output of a layer of its own that holds no other."""
    owners = {group.index: {m.layer for m in group.members if m.side != "in"} for group in graph.groups}
    best: dict[int, tuple[tuple[bool, bool, bool], str, str]] = {}
    for layer in graph.layers:
        for side in _SIDES:
            for at, index in enumerate(sides[layer.name][side]):
                own = layer.is_module and layer.module in owners.get(index, ())
                rank = (at > 0, not own, side == "in")
                if index not in best or rank < best[index][0]:
                    best[index] = (rank, layer.name, side)
    leads = {index: {"layer": layer, "side": side} for index, (_, layer, side) in best.items()}
    # heads and locked weights are on no layer's data: their first member stands for them
    members = {index: next(iter(layers.items()), None) for index, layers in held.items()}
    return {
        index: leads.get(index, first and {"layer": first[0], "side": "in" if first[1] == "in" else "out"})
        for index, first in members.items()
    }


def group_layers(graph: DependencyGraph, group: Group) -> dict[str, str]:
    """The layers that hold a member of the group, by name, with the side that it is on: "in", "out" or "both"."""
    return _layers_of_groups(graph, (group,))[group.index]


def shown_layer(graph: DependencyGraph, path: str) -> str | None:
    """The layer that the graph shows for a module: of its name, or the first that reads a weight of it."""
    if any(layer.name == path for layer in graph.layers):
        return path
    readers = (
        layer.name for layer in graph.layers if any(name.rpartition(".")[0] == path for name in layer.parameters)
    )
    return next(readers, None)


def _layers_of_groups(graph: DependencyGraph, groups: Sequence[Group]) -> dict[int, dict[str, str]]:
    position = {layer.name: at for at, layer in enumerate(graph.layers)}
    readers: dict[str, list[str]] = {}
    for layer in graph.layers:
        for parameter in layer.parameters:
            readers.setdefault(parameter, []).append(layer.name)
    found: dict[int, dict[str, str]] = {}
    for group in groups:
        sides: dict[str, set[str]] = {}
        for member in group.members:
            for name in readers.get(member.parameter, ()):
                sides.setdefault(name, set()).add(member.side)
        found[group.index] = {name: _one_side(sides[name]) for name in sorted(sides, key=position.__getitem__)}
    return found


def _one_side(sides: set[str]) -> str:
    """One word for the sides of a layer's members; a normalisation's "both" beside "out" is its output alone."""
    if len(sides) == 1:
        return next(iter(sides))
    return "out" if sides == {"out", "both"} else "both"


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One line of the table of members."""

    layer: str
    parameter: str  # last part of its name
    dim: int
    size: int  # of the dimension
    indices: str  # how many of its indices a unit holds
    side: str  # f-, f+ or both
    kind: str  # "weight" for what is trained, "statistic" for a buffer


def member_rows(group: Group) -> tuple[MemberRow, ...]:
    return tuple(
        MemberRow(
            layer=member.layer or "(model)",
            parameter=member.parameter.rpartition(".")[2],
            dim=member.dim,
            size=member.size,
            indices=_indices_text(member),
            side=SIDE_SIGNS[member.side],
            kind="statistic" if member.is_buffer else "weight",
        )
        for member in group.members
    )


def _indices_text(member: Member) -> str:
    counts = sorted({len(index) for index in member.indices})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


@dataclass(frozen=True, slots=True)
class LayerRow:
    """The members of one layer that are cut alike, as one line."""

    layer: str
    weights: tuple[str, ...]  # last parts of the names of what is trained
    statistics: tuple[str, ...]  # of buffers
    dim: int
    size: int
    indices: str
    side: str


def layer_rows(rows: Sequence[MemberRow]) -> tuple[LayerRow, ...]:
    """Member rows with those of one layer, dimension and side in one: weight and bias, and a norm's statistics."""
    merged: dict[tuple[str, int, int, str], list[MemberRow]] = {}
    for row in rows:
        merged.setdefault((row.layer, row.dim, row.size, row.indices), []).append(row)
    return tuple(_layer_row(own) for own in merged.values())


def _layer_row(rows: Sequence[MemberRow]) -> LayerRow:
    first = rows[0]
    signs = {sign: side for side, sign in SIDE_SIGNS.items()}
    return LayerRow(
        layer=first.layer,
        weights=tuple(row.parameter for row in rows if row.kind == "weight"),
        statistics=tuple(row.parameter for row in rows if row.kind == "statistic"),
        dim=first.dim,
        size=first.size,
        indices=first.indices,
        side=SIDE_SIGNS[_one_side({signs[row.side] for row in rows})],
    )


def group_sentence(graph: DependencyGraph, group: Group, layer: str, side: Side) -> str:
    """What the selection is, in one sentence."""
    layers = len(group_layers(graph, group))
    what = f"{group.size} {group.kind}" if group.size != 1 else f"1 unit ({group.kind})"
    where = "output" if side == "out" else "input"
    if layers == 1:
        return f"The {where} side of {layer}: {what}, in one layer alone."
    return f"The {where} side of {layer}: {what} that go through {layers} layers together."


def group_notes(group: Group) -> tuple[str, ...]:
    """What a cut of the group does beside taking its units away."""
    notes = []
    if group.statistics:
        names = ", ".join(group.statistics[:STATISTICS])
        more = len(group.statistics) - STATISTICS
        rest = f" and {more} more" if more > 0 else ""
        notes.append(
            f"Changes statistics: a mean, a variance, a largest value or a share is taken over its units in "
            f"{names}{rest}, so what is left changes a little with every unit that goes."
        )
    if group.kind == COMPETING_UNITS:
        notes.append(
            "A softmax shares one whole among its units: a cut of every group leaves them, one of this group does not."
        )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A grid of values to colour, with the words for its axes."""

    values: list[list[float]]  # rows x columns, 0 to 1
    rows: tuple[str, ...]
    columns: tuple[int, ...]  # units, most important first
    totals: tuple[float, ...]  # the units' normalised scores, in the order of `columns`


def importance_heatmap(
    graph: DependencyGraph, group: Group, scores: Tensor, criterion: str, evidence: Evidence | None = None
) -> Heatmap:
    """Members by units, units sorted by the group's importance, each row scaled to its own largest value.

    A unit that matters in one layer and not in another shows as a light cell over a dark one.
    """
    trained = [n for n, member in enumerate(group.members) if not member.is_buffer]
    importance = member_importance(graph, group, criterion, evidence)[trained]
    order = scores.argsort(descending=True, stable=True)
    largest = importance.amax(dim=1, keepdim=True).clamp_min(1e-30)
    rows = [f"{group.members[n].parameter} [{group.members[n].dim}]" for n in trained]
    return Heatmap(
        values=(importance / largest)[:, order].tolist(),
        rows=tuple(rows),
        columns=tuple(order.tolist()),
        totals=tuple(scores[order].tolist()),
    )


def overview_heatmap(graph: DependencyGraph, scores: Scores) -> Heatmap:
    """All groups, one row each, its units sorted by score and spread over the same width, on one common scale."""
    rows, values = [], []
    for group in cut_groups(graph):
        ranked = np.sort(scores[group.name].numpy())[::-1]
        at = np.minimum((np.arange(OVERVIEW_BINS) + 0.5) / OVERVIEW_BINS * group.size, group.size - 1).astype(int)
        rows.append(group.name)
        values.append(ranked[at].tolist())
    return Heatmap(values, tuple(rows), tuple(range(OVERVIEW_BINS)), ())


def job_record(job: JobState | None) -> dict[str, Any] | None:
    """How a job stands, for the page to see whether anything changed and whether one is running."""
    if job is None:
        return None
    # the page asks with it again and again: how many points there are says that there is another one
    return {**asdict(replace(job, curve=())), "epochs": len(job.curve), "over": job.is_over}


def version_rows(session: Session) -> list[dict[str, Any]]:
    """A record for each version, with what it has of the original in parentheses."""
    original = session.versions[0]
    return [_version_row(version, original, version.id == session.version.id) for version in session.versions]


def latency_text(version: Version) -> str:
    """Milliseconds of a forward pass, "≈" where half of the rounds were far apart: the machine had other work."""
    found = version.latency
    if found is None:
        return ""
    about = "≈ " if found.iqr_ms > UNSURE * found.median_ms else ""
    return f"{about}{found.median_ms:.3g} ms"


def _version_row(version: Version, original: Version, shown: bool) -> dict[str, Any]:
    return {
        "id": version.id,
        "parent": version.parent,
        "name": version.name,
        "shown": shown,
        "parameters": version.parameters,
        "parameters_share": version.parameters / max(original.parameters, 1),
        "macs": version.macs,
        "macs_share": version.macs / max(original.macs, 1),
        "bytes": version.bytes,
        "accuracy": version.accuracy,
        "latency": version.latency.median_ms if version.latency else None,
        "latency_spread": version.latency.iqr_ms if version.latency else None,
        "exact": exact(version),
        "problem": version.problem,
        "note": version.note,
    }


def exact(version: Version) -> str:
    """What verification found of a cut; "" for the original and for what was trained."""
    return version.verified or (str(version.pruned) if version.pruned else "")


def quantity(value: float) -> str:
    """272474 -> "272 k", 41200000 -> "41.2 M": three digits and a unit."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:  # 999,999 is 1 M, not 1000 k
            return f"{value / size:.3g} {unit}" if abs(value) < 999.5 * size else f"{value / size:.0f} {unit}"
    return f"{value:g}"


def criteria_options(session: Session) -> list[dict[str, Any]]:
    """What units can be rated by; what the session has no data for is listed, but cannot be chosen."""
    return [
        {
            "value": criterion.name,
            "label": criterion.label if session.can_rate(criterion.name) else f"{criterion.label}: needs data",
            "disabled": not session.can_rate(criterion.name),
        }
        for criterion in CRITERIA.values()
    ]
