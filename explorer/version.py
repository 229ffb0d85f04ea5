"""The records of a session: its versions, what is selected, what a sweep has found, files that were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from prunescope.core import DependencyGraph, Pruned
from prunescope.core.graph import Side
from prunescope.core.sensitivity import Cut
from prunescope.core.timing import Latency


@dataclass(frozen=True)
class Version:
    """One model of the session: the original, or what a plan made of another version."""

    id: int
    parent: int | None  # id of the version that it was cut from; None for the original
    name: str
    model: nn.Module = field(repr=False)
    graph: DependencyGraph = field(repr=False)
    pruned: Pruned | None = field(repr=False)  # what `prune` gave; None for the original and for fine-tuned versions
    parameters: int
    macs: int  # multiply-accumulates on the example inputs
    bytes: int
    accuracy: float | None = None  # None where it has not been measured
    latency: Latency | None = None
    problem: str = ""  # why a measurement failed, "" where none did
    note: str = ""  # what the person wrote of it
    verified: str = ""  # what verification found, for a version that was kept from an earlier time


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep of one version has found: plain numbers and names."""

    criterion: str  # that rated the units
    cuts: tuple[Cut, ...] = ()  # so far
    original: float | None = None  # accuracy of the uncut version; None while the sweep runs, or where it ended early


@dataclass(frozen=True, slots=True)
class Selection:
    """What the person has clicked, or `Session.select` has chosen."""

    layer: str
    side: Side


@dataclass(frozen=True, slots=True)
class File:
    """A file that was made of a version."""

    name: str
    content: bytes = field(repr=False)
    note: str  # what its check found


def version_record(version: Version) -> dict[str, Any]:
    """What of a version is kept beside its weights and plan."""
    checked = version.pruned.verification if version.pruned else None
    return {
        "id": version.id,
        "parent": version.parent,
        "name": version.name,
        "note": version.note,
        "accuracy": version.accuracy,
        "latency": asdict(version.latency) if version.latency else None,
        "problem": version.problem,
        "verified": version.verified or (str(checked) if checked else ""),
    }


def sweep_again(record: Mapping[str, Any]) -> Sweep:
    return Sweep(record["criterion"], tuple(Cut(**cut) for cut in record["cuts"]), record["original"])


def measured(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a version that were kept."""
    latency = record["latency"]
    kept = {name: record[name] for name in ("name", "note", "accuracy", "problem", "verified")}
    return {**kept, "latency": Latency(**latency) if latency else None}
