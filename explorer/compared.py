"""Two versions side by side, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunescope.core import DependencyGraph
from prunescope.explorer.layers import layers_record
from prunescope.explorer.session import Session
from prunescope.explorer.version import Version


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer in two versions; what only one of them has is None."""

    name: str
    kind: str
    width: tuple[int | None, int | None]
    parameters: tuple[int | None, int | None]
    macs: tuple[int | None, int | None]

    @property
    def changed(self) -> bool:
        return any(before != now for before, now in (self.width, self.parameters, self.macs))


def layer_changes(before: DependencyGraph, now: DependencyGraph) -> tuple[LayerChange, ...]:
    """Every layer that has weights or MACs in one of the two graphs, in the order of the run."""
    first, second = layers_record(before), layers_record(now)
    rows = []
    for name in dict.fromkeys((*first, *second)):
        one, two = first.get(name), second.get(name)
        kind = str((one or two or {}).get("kind"))
        width, parameters, macs = (_pair(one, two, key) for key in ("width", "parameters", "macs"))
        if any((*parameters, *macs)):
            rows.append(LayerChange(name, kind, width, parameters, macs))
    return tuple(rows)


def _pair(one: Mapping[str, Any] | None, two: Mapping[str, Any] | None, key: str) -> tuple[int | None, int | None]:
    return one[key] if one else None, two[key] if two else None


def pair(session: Session, before: int | str | None, after: int | str | None) -> tuple[Version, Version]:
    """The two versions to compare: as chosen, else the one on screen and the one that it was made from."""
    versions = session.versions
    now = _chosen(versions, after) or session.version
    then = _chosen(versions, before) or versions[now.parent if now.parent is not None else 0]
    return then, now


def _chosen(versions: tuple[Version, ...], number: int | str | None) -> Version | None:
    known = str(number).isdigit() and int(str(number)) < len(versions)
    return versions[int(str(number))] if known else None
