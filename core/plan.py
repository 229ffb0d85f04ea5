"""Which units go: a frozen value between deciding and doing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch

from prunescope.core.cost import Cost, GraphKey, ledger
from prunescope.core.errors import BadPlan
from prunescope.core.graph import DependencyGraph, Group
from prunescope.core.inputs import describe_inputs
from prunescope.core.labels import COMPETING_UNITS

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Removal:
    """The units of one group that go."""

    group: str  # its name
    units: tuple[int, ...]  # sorted
    size: int  # K, the number of units the group had


@dataclass(frozen=True)
class Plan:
    """Units to remove from one model. Equal plans remove the same units of the same model."""

    removals: tuple[Removal, ...]
    fingerprint: str  # of the graph that it was made for
    inputs: str  # the example inputs' structure, shapes and types, as JSON
    graph: DependencyGraph | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> str:
        """The plan as text; `from_json` gives an equal plan."""
        removals = [{"group": r.group, "units": list(r.units), "size": r.size} for r in self.removals]
        record = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "inputs": json.loads(self.inputs),
            "removals": removals,
        }
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            BadPlan: the text is no plan of this format.
        """
        try:
            record = json.loads(text)
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']!r}, this version reads {FORMAT}")
            removals = tuple(
                Removal(str(r["group"]), tuple(sorted(int(u) for u in r["units"])), int(r["size"]))
                for r in record["removals"]
            )
            inputs = json.dumps(record["inputs"], sort_keys=True)
            return cls(removals, str(record["fingerprint"]), inputs)
        except (ValueError, KeyError, TypeError) as error:
            raise BadPlan(
                asked="read a plan from JSON",
                found=f"{type(error).__name__}: {error}",
                where=f"text that begins {text[:60]!r}",
                what_to_do="give the text that Plan.to_json wrote, unchanged",
            ) from error


def fingerprint(graph: DependencyGraph) -> str:
    """Equal for graphs with the same parameters, shapes and groups, whatever the weights."""
    return _fingerprint(GraphKey(graph))


@lru_cache(maxsize=32)
def _fingerprint(key: GraphKey) -> str:
    graph = key.graph
    lines = [
        f"{name} {tuple(tensor.shape)}"
        for name, tensor in graph.model.state_dict().items()
        if isinstance(tensor, torch.Tensor)
    ]
    for group in graph.groups:
        members = " ".join(f"{m.parameter}:{m.dim}:{m.size}" for m in group.members)
        lines.append(f"{group.name} {group.size} {members}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def plan_units(graph: DependencyGraph, units: Mapping[str, Iterable[int]]) -> Plan:
    """A plan of exactly these units.

    Args:
        graph: A traced model.
        units: Group name -> positions of the units that go.

    Raises:
        BadPlan: a group is unknown or locked, a unit is out of range, a group would lose all its units, or two groups
            of one family that cut different axes of the same dimension are both named.
    """
    removals = tuple(
        _removal(group_to_cut(graph, name), [int(unit) for unit in chosen]) for name, chosen in units.items()
    )
    removals = tuple(removal for removal in removals if removal.units)
    _check_axes(graph, removals)
    return Plan(removals, fingerprint(graph), describe_inputs(graph.example_inputs), graph)


def cut_groups(
    graph: DependencyGraph, names: Sequence[str] | None = None, kind: str | None = None
) -> tuple[Group, ...]:
    """The groups named, or all; where a family can be cut in two ways, by groups of `kind`, else whole rows (heads).

    Units that compete (what a softmax runs over) are cut where their group or kind is named, and not among all.
    """
    if names is not None:
        return tuple(group_to_cut(graph, name) for name in names)
    kinds = dict.fromkeys(group.kind for group in graph.groups)
    if kind is not None and kind not in kinds:
        raise BadPlan(
            asked=f"cut by {kind}",
            found=f"no group of that kind can be cut; the kinds are {', '.join(kinds)}",
            where="argument kind",
            what_to_do="choose one of them, or none",
        )
    open_to_all = [group for group in graph.groups if group.kind != COMPETING_UNITS or kind == COMPETING_UNITS]
    way: dict[int, int] = {}
    for group in sorted(open_to_all, key=lambda group: group.kind != kind):
        way.setdefault(group.family, group.option)
    return tuple(group for group in open_to_all if way[group.family] == group.option)


def predicted(graph: DependencyGraph, plan: Plan) -> Cost:
    """Parameters and MACs that are left after the plan, exact, without cutting."""
    return ledger(graph).cost({graph.group(r.group).index: r.units for r in plan.removals})


def group_to_cut(graph: DependencyGraph, name: str) -> Group:
    """The group, or BadPlan where it is unknown or locked."""
    known = graph.groups_by_name
    group = known.get(name)
    if group is not None and group.lock is None:
        return group
    raise BadPlan(
        asked=f"cut units of group {name!r}",
        found=f"it is locked: {group.lock}" if group else f"the graph has no group of that name among {len(known)}",
        where=type(graph.model).__name__,
        what_to_do="choose among the names in graph.groups",
    )


def _removal(group: Group, units: list[int]) -> Removal:
    wrong = [unit for unit in units if not 0 <= unit < group.size]
    chosen = tuple(sorted(set(units)))
    if not wrong and len(chosen) < group.size:
        return Removal(group.name, chosen, group.size)
    found = f"units {wrong[:5]} do not exist" if wrong else "no unit would be left"
    raise BadPlan(
        asked=f"remove {len(chosen)} units of group {group.name!r}",
        found=f"{found}; the group has units 0 to {group.size - 1}",
        where=f"group {group.name}",
        what_to_do="name units of the group and leave at least one",
    )


def _check_axes(graph: DependencyGraph, removals: Sequence[Removal]) -> None:
    options: dict[int, dict[int, str]] = {}
    for removal in removals:
        group = graph.group(removal.group)
        options.setdefault(group.family, {})[group.option] = group.name
    clash = [names for names in options.values() if len(names) > 1]
    if clash:
        raise BadPlan(
            asked=f"cut {' and '.join(clash[0].values())}",
            found="they cut the same dimensions in two different ways",
            where=f"{len(clash)} families of groups",
            what_to_do="cut one of them, prune, trace the result and cut the other",
        )
