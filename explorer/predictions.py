"""What a model says of labelled examples: accuracy by class, and where two models differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from prunescope.core.errors import BadInput
from prunescope.core.inputs import as_call, plain_output
from prunescope.core.modes import evaluating

BATCH = 256  # examples that are run at once


@dataclass(frozen=True)
class Examples:
    """Labelled examples, for accuracy by class and for what changes."""

    inputs: Any  # as the model takes them: every tensor (N, ...)
    labels: Tensor  # (N,) int64, the right class
    names: tuple[str, ...] = ()  # of the classes; their numbers where there are none

    def name(self, label: int) -> str:
        return self.names[label] if 0 <= label < len(self.names) else str(label)


def examples_of(given: Any) -> Examples | None:
    """What a user gave as (inputs, labels) or (inputs, labels, names of the classes).

    Raises:
        BadInput: it has another form, or inputs and labels differ in number.
    """
    if given is None or isinstance(given, Examples):
        return given
    parts = list(given) if isinstance(given, tuple | list) else []
    found = f"{type(given).__name__} of {len(parts)}"
    if len(parts) in (2, 3) and isinstance(parts[1], Tensor) and parts[1].dim() == 1:
        sizes = {leaf.shape[0] for leaf in tree_leaves(parts[0]) if isinstance(leaf, Tensor) and leaf.dim()}
        if sizes == {len(parts[1])}:
            return Examples(parts[0], parts[1].long().cpu(), tuple(map(str, parts[2] if len(parts) == 3 else ())))
        found = f"inputs of {sorted(sizes)} examples and {len(parts[1])} labels"
    raise BadInput(
        asked="examples to compare predictions on",
        found=found,
        where="argument examples",
        what_to_do="give (inputs, labels): tensors of the same number of examples, labels as numbers of classes",
    )


@torch.no_grad()
def predicted_classes(model: nn.Module, examples: Examples) -> Tensor:
    """(N,) int64: the class of the largest value along dimension 1 of the model's first output.

    Raises:
        BadInput: the model does not run on the examples, or its first output is not (N, classes).
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    found = []
    with evaluating(model):
        for start in range(0, len(examples.labels), BATCH):
            batch = tree_map_only(Tensor, _part_of(start, device), examples.inputs)
            found.append(_classes(model, batch, len(examples.labels[start : start + BATCH])))
    return torch.cat(found) if found else torch.empty(0, dtype=torch.int64)


def _part_of(start: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor[start : start + BATCH].to(device)


def _classes(model: nn.Module, batch: Any, count: int) -> Tensor:
    try:
        args, kwargs = as_call(batch)
        leaves = [leaf for leaf in tree_leaves(plain_output(model(*args, **kwargs))) if isinstance(leaf, Tensor)]
        problem = "" if leaves and leaves[0].shape[:1] == (count,) and leaves[0].dim() == 2 else "its first output is "
        problem = problem and problem + (str(tuple(leaves[0].shape)) if leaves else "no tensor")
    except Exception as error:  # whatever the user's model raises
        problem = f"{type(error).__name__}: {error}"
    if not problem:
        return leaves[0].argmax(1).cpu()
    raise BadInput(
        asked=f"the classes that {type(model).__name__} gives {count} examples",
        found=problem,
        where="argument examples",
        what_to_do="give inputs that the model takes in batches, and that it answers with (N, classes)",
    )


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class in the eyes of two models."""

    name: str
    count: int  # examples of it
    before: float  # share that the first model gets right
    after: float  # share that the second model gets right


def by_class(examples: Examples, before: Tensor, after: Tensor) -> tuple[ClassRow, ...]:
    """Accuracy of two models' predictions (N,) on every class that has examples."""
    rows = []
    for label in examples.labels.unique().tolist():
        own = examples.labels == label
        shares = [float((found[own] == label).float().mean()) for found in (before, after)]
        rows.append(ClassRow(examples.name(label), int(own.sum()), *shares))
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Change:
    """An example that two models see differently."""

    index: int  # among the examples
    label: str
    before: str  # what the first model says
    after: str
    right: bool  # whether the second model is right


def changes(examples: Examples, before: Tensor, after: Tensor) -> tuple[Change, ...]:
    """All examples whose prediction changed, those that became wrong first."""
    found = [
        Change(
            at,
            examples.name(int(examples.labels[at])),
            examples.name(int(before[at])),
            examples.name(int(after[at])),
            bool(after[at] == examples.labels[at]),
        )
        for at in (before != after).nonzero()[:, 0].tolist()
    ]
    return tuple(sorted(found, key=lambda change: change.right))


def pictures(examples: Examples, indices: Sequence[int]) -> Tensor | None:
    """(n, H, W) or (n, H, W, 3) of these examples where their inputs are images, scaled to 0 ... 1; else None."""
    leaves = [leaf for leaf in tree_leaves(examples.inputs) if isinstance(leaf, Tensor)]
    images = leaves[0] if len(leaves) == 1 else None
    if images is None or images.dim() != 4 or images.shape[1] not in (1, 3) or not indices:
        return None
    chosen = images[list(indices)].float()
    low, high = chosen.amin((1, 2, 3), keepdim=True), chosen.amax((1, 2, 3), keepdim=True)
    scaled = (chosen - low) / (high - low).clamp_min(1e-9)
    return scaled[:, 0] if images.shape[1] == 1 else scaled.permute(0, 2, 3, 1)
