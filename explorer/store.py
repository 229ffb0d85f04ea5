"""A session on disk: weights as safetensors, plans as JSON, one record of all versions. A kill loses nothing.

folder/session.json               what is known of every version, replaced at once
folder/3/weights.safetensors      of version 3, written before the record names it
folder/3/plan.json                the cut that made it; none for a version that was trained
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prunescope.core.errors import BadInput
from prunescope.core.export import tensors_of
from prunescope.core.plan import Plan

FORMAT = 1
RECORD, WEIGHTS, PLAN = "session.json", "weights.safetensors", "plan.json"
SAMPLED = 4096  # values of a tensor that tell it from another


@dataclass(frozen=True)
class Stored:
    """A session as it was written."""

    versions: Sequence[Mapping[str, Any]]  # the fields that are no objects, in the order of their ids
    current: int  # id of the version that was on screen
    sweeps: Mapping[str, Mapping[str, Any]]  # id of a version -> what a sensitivity sweep found


class Store:
    """The folder of one session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, number: int, model: nn.Module, plan: Plan | None) -> None:
        """Write weights and plan of a new version."""
        place = self.folder / str(number)
        place.mkdir(parents=True, exist_ok=True)
        if plan is not None:
            _replace(place / PLAN, plan.to_json().encode())
        new = place / f"{WEIGHTS}.new"
        save_file(tensors_of(model), new)
        os.replace(new, place / WEIGHTS)

    def write(self, stored: Stored) -> None:
        """Replace the record."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {
            "format": FORMAT,
            "versions": list(stored.versions),
            "current": stored.current,
            "sweeps": dict(stored.sweeps),
        }
        _replace(self.folder / RECORD, json.dumps(record, indent=1).encode())

    def read(self) -> Stored | None:
        """What was written; None where nothing was.

        Raises:
            BadInput: the record is damaged, or of a later format.
        """
        path = self.folder / RECORD
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text())
            if record["format"] != FORMAT:
                raise ValueError(f"it has format {record['format']}, this version reads {FORMAT}")
            return Stored(record["versions"], int(record["current"]), record["sweeps"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(path, error) from error

    def plan(self, number: int) -> Plan | None:
        """The cut that made a version; None where it was trained."""
        path = self.folder / str(number) / PLAN
        return Plan.from_json(path.read_text()) if path.exists() else None

    def load(self, number: int, model: nn.Module) -> None:
        """Put a version's weights into a model of its shapes.

        Raises:
            BadInput: they are missing, damaged or do not fit.
        """
        path = self.folder / str(number) / WEIGHTS
        try:
            model.load_state_dict(load_file(path))
        except Exception as error:  # a damaged file raises what the library likes
            raise self._damaged(path, error) from error

    def _damaged(self, path: Path, error: Exception) -> BadInput:
        return BadInput(
            asked=f"go on with the session in {self.folder}",
            found=f"{type(error).__name__}: {error}",
            where=str(path),
            what_to_do="start with --fresh for a new session: the old files stay where they are",
        )


def store_for(root: Path, title: str, model: nn.Module, *, fresh: bool = False) -> Store:
    """The store of this model under a folder; `fresh` takes the next one that nothing was written to.

    Another model, or the same with other weights, has another one.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "model"
    name = f"{slug}-{digest(model)}"
    taken = [path for path in root.glob(f"{name}*") if (path / RECORD).exists()] if root.exists() else []
    numbers = [int(path.name[len(name) + 1 :] or 1) for path in taken if path.name[len(name) + 1 :].isdigit()]
    last = max([*numbers, *([1] if root.joinpath(name, RECORD).exists() else [])], default=0)
    number = last + 1 if fresh or not last else last
    return Store(root / (name if number == 1 else f"{name}-{number}"))


def digest(model: nn.Module) -> str:
    """Eight digits that tell a model's shapes and weights from others."""
    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            continue
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if not tensor.is_meta:
            found.update(_sample(tensor).tobytes())
    return found.hexdigest()[:8]


def _sample(tensor: Tensor) -> Any:
    flat = tensor.detach().reshape(-1)
    step = max(flat.numel() // SAMPLED, 1)
    return flat[::step].cpu().contiguous().view(torch.uint8).numpy() if flat.numel() else flat.cpu().numpy()


def _replace(path: Path, content: bytes) -> None:
    """A kill leaves the old file or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)
