"""Group sparsity training: a penalty that drives the units that matter least to zero, everywhere they have weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prunescope.core.errors import BadInput
from prunescope.core.graph import DependencyGraph, Group
from prunescope.core.importance import score
from prunescope.core.plan import cut_groups


@dataclass(frozen=True)
class Penalty:
    """What one update found of one group."""

    update: int  # its number, from 1
    group: str  # its name
    importance: Tensor  # (K,) sum of squared weights of each unit over all members, not normalised
    gamma: Tensor  # (K,) how strongly each unit is pulled to zero


class GroupSparsity:
    """R = sum over groups and units of gamma_k * I_k, for your own training loop.

    I_k is the sum of squares of everything that goes with unit k, and gamma_k = 2^(alpha (Imax - I_k) / (Imax - Imin)),
    so that the unit that matters most is pulled with 1 and the one that matters least with 2^alpha (Fang et al.,
    DepGraph, CVPR 2023, equations 4 to 6). Where all units of a group are equal, every gamma is 1.

    Example:
        >>> sparsity = GroupSparsity(trace(model, example_inputs))  # doctest: +SKIP
        >>> for epoch in range(epochs):  # doctest: +SKIP
        ...     sparsity.update()
        ...     for x, y in loader:
        ...         optimizer.zero_grad()
        ...         cross_entropy(model(x), y).backward()
        ...         sparsity.regularise()
        ...         optimizer.step()
    """

    def __init__(
        self,
        graph: DependencyGraph,
        strength: float = 5e-4,
        alpha: float = 4.0,
        *,
        growth: float | None = None,
        groups: Sequence[str] | None = None,
        kind: str | None = None,
    ) -> None:
        """Nothing is changed before `regularise`.

        Args:
            graph: Of the model that is trained: its parameters themselves are read and their gradients written.
            strength: What gamma is multiplied with; the paper's is 5e-4.
            alpha: Gamma runs from 1 to 2 ** alpha.
            growth: With it, gamma begins at 1 and each update adds growth * (Imax - I_k) / (Imax - Imin) to it, so
                that units fade as slowly as one likes (after Wang et al., Neural Pruning via Growing Regularization,
                ICLR 2021).
            groups: Names of the groups; all that can be cut if None.
            kind: Which way where there are two, as in `plan`.

        Raises:
            BadInput: a negative strength, alpha or growth.
            BadPlan: a group or kind is unknown, or a group is locked.
        """
        _check_numbers(strength=strength, alpha=alpha, growth=growth or 0.0)
        self.graph = graph
        self.strength = strength
        self.alpha = alpha
        self.growth = growth
        self.groups: tuple[Group, ...] = cut_groups(graph, groups, kind)
        self.history: list[Penalty] = []
        self._gamma: dict[str, Tensor] = {}
        self._factors: dict[str, Tensor] = {}  # parameter -> what its gradient gets per weight, broadcasting

    def update(self) -> tuple[Penalty, ...]:
        """Read the weights as they are now, and set every gamma; once an epoch is usual."""
        importance = score(self.graph, normalise="none")
        number = 1 + (self.history[-1].update if self.history else 0)
        for group in self.groups:
            self._gamma[group.name] = self._next(group, importance[group.name])
        found = tuple(Penalty(number, g.name, importance[g.name], self._gamma[g.name]) for g in self.groups)
        self.history += found
        self._factors = self._spread()
        return found

    @torch.no_grad()
    def regularise(self) -> None:
        """Add strength * gamma * weight, the gradient of strength * R / 2, to the gradients of all members.

        Call it after `backward` and before the optimiser's step. Parameters without a gradient are left alone.
        """
        if not self._factors:
            self.update()
        for name, factor in self._factors.items():
            weight = self.graph.record.parameters[name].tensor
            if weight.grad is not None:
                weight.grad.addcmul_(weight, factor.to(weight.device, weight.dtype), value=self.strength)

    def _next(self, group: Group, importance: Tensor) -> Tensor:
        spread = importance.max() - importance.min()
        behind = (importance.max() - importance) / spread if bool(spread > 0) else torch.zeros_like(importance)
        if self.growth is None:
            return torch.exp2(self.alpha * behind)
        return self._gamma.get(group.name, torch.ones_like(importance)) + self.growth * behind

    def _spread(self) -> dict[str, Tensor]:
        """Each weight belongs to a unit on every dimension that a group holds: their gammas add up."""
        factors: dict[str, Tensor] = {}
        for group in self.groups:
            gamma = self._gamma[group.name].numpy()
            for member in group.members:
                if member.is_buffer:
                    continue
                weight = self.graph.record.parameters[member.parameter].tensor
                along = np.zeros(member.size, dtype=np.float32)
                for unit, indices in enumerate(member.indices):
                    along[indices] += gamma[unit]
                shape = [1] * weight.dim()
                shape[member.dim] = member.size
                added = torch.from_numpy(along).view(shape)
                known = factors.get(member.parameter)
                factors[member.parameter] = added if known is None else known + added
        return factors


def _check_numbers(**numbers: float) -> None:
    wrong = {name: number for name, number in numbers.items() if not number >= 0}
    if not wrong:
        return
    raise BadInput(
        asked=f"group sparsity with {', '.join(f'{name}={number}' for name, number in wrong.items())}",
        found="these are no numbers from 0 up",
        where=f"arguments {', '.join(wrong)}",
        what_to_do="give for example strength=5e-4 and alpha=4",
    )
