"""The table of criteria: what each says of an index of a parameter."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunescope.core.errors import BadInput
from prunescope.core.evidence import GRADIENTS, INPUT_NORMS, SQUARED_GRADIENTS
from prunescope.core.graph import Member

_Row = TypeVar("_Row")
_CHUNK = 1 << 18  # weights that are read together: about what the processor keeps near


@dataclass(frozen=True, slots=True)
class Weights:
    """A parameter, and what is known of it, as a criterion sees them."""

    name: str  # full name of the parameter
    tensor: Tensor
    evidence: Tensor | None  # of the kind that the criterion needs, of the parameter's shape
    seed: int  # of criteria that draw numbers


Values: TypeAlias = NDArray[np.float32]
Rate: TypeAlias = Callable[[Weights], list[Values]]
"""For each dimension of a parameter, (size,): what each of its indices adds."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One row of the table of criteria, for code, screen and report alike."""

    name: str  # in code
    label: str  # on the screen
    sentence: str
    source: str  # where the method comes from
    rate: Rate
    needs: str | None = None  # the kind of evidence, as `evidence.gathered` names it; None where weights are enough
    counts: Callable[[Member, Tensor], bool] = lambda member, parameter: True  # whether a trainable member has a say
    reduce: str = "sum"  # the method's own reduction over members
    normalise: str = "topn"  # the method's own normalisation


def _of_weights(added: Callable[[Tensor], Tensor]) -> Rate:
    """An index has the sum of what its weights add."""
    return lambda weights: _summed(weights.tensor, lambda rows: added(_values(weights.tensor[rows])))


def _of_evidence(added: Callable[[Tensor, Tensor], Tensor]) -> Rate:
    """An index has the sum of what its weights add, with what data says of them."""

    def rate(weights: Weights) -> list[Values]:
        tensor, evidence = weights.tensor, weights.evidence
        assert evidence is not None
        return _summed(tensor, lambda rows: added(_values(tensor[rows]), evidence[rows]))

    return rate


def _summed(tensor: Tensor, added: Callable[[slice], Tensor]) -> list[Values]:
    """Once through the weights for all dimensions, a few rows at a time."""
    if tensor.dim() < 2:
        return [_array(added(slice(None)))]
    step = max(1, _CHUNK * len(tensor) // max(tensor.numel(), 1))
    # one piece of memory: small ones that stay, between those of the parts, would keep these from being used again
    rows = np.zeros(len(tensor), dtype=np.float32)
    total = np.zeros(tensor.shape[1:].numel(), dtype=np.float32)  # over the first dimension
    for start in range(0, len(tensor), step):
        part = added(slice(start, start + step)).flatten(1)
        rows[start : start + step] = _array(part.sum(1))
        # numpy adds the rows of every column in one order, so that equal columns have equal sums
        total += _array(part).sum(0)
    others = [
        total.reshape(tensor.shape[1:d].numel(), size, tensor.shape[d + 1 :].numel()).sum((0, 2))
        for d, size in enumerate(tensor.shape[1:], 1)
    ]
    return [rows, *others]


def _array(values: Tensor) -> Values:
    found: Values = values.cpu().numpy()
    return found


def _values(weights: Tensor) -> Tensor:
    return weights if weights.is_complex() else weights.float()


def _by_slices(of_slices: Callable[[Tensor], Tensor]) -> Rate:
    """An index is rated by its slice (its row of (size, weights)) among the others of its dimension."""

    def rate(weights: Weights) -> list[Values]:
        tensor = torch.view_as_real(weights.tensor) if weights.tensor.is_complex() else weights.tensor.float()
        return [_array(of_slices(tensor.movedim(d, 0).flatten(1).cpu())) for d in range(weights.tensor.dim())]

    return rate


def _drawn(weights: Weights) -> list[Values]:
    source = torch.Generator().manual_seed(zlib.crc32(weights.name.encode()) ^ weights.seed)
    return [_array(torch.rand(size, generator=source)) for size in weights.tensor.shape]


def _squared(weights: Tensor) -> Tensor:
    return weights.abs().square() if weights.is_complex() else weights.square()


def _is_scale(member: Member, parameter: Tensor) -> bool:
    """A factor of each channel, as normalisation layers have."""
    return member.side == "both" and parameter.dim() == 1 and not member.parameter.endswith("bias")


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        criterion.name: criterion
        for criterion in (
            Criterion(
                "magnitude",
                "Group magnitude (L2)",
                "Sum of squared weights over everything that goes with the unit.",
                "Fang et al., DepGraph, CVPR 2023, section 3.3",
                _of_weights(_squared),
            ),
            Criterion(
                "magnitude-l1",
                "Group magnitude (L1)",
                "Sum of absolute weights over everything that goes with the unit.",
                "Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017",
                _of_weights(torch.abs),
            ),
            Criterion(
                "taylor",
                "Taylor, first order",
                "How much the loss would change, weight by weight, by its gradient: the sum of |weight x gradient|.",
                "Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019",
                _of_evidence(lambda weights, gradient: (weights * gradient).abs()),
                needs=GRADIENTS,
            ),
            Criterion(
                "obd-c",
                "Second order (OBD-C)",
                "How much the loss would change by its curvature: squared weights times squared gradients.",
                "LeCun et al., Optimal Brain Damage, 1989; channels: Wang et al., EigenDamage, ICML 2019",
                _of_evidence(lambda weights, square: _squared(weights) * square),
                needs=SQUARED_GRADIENTS,
            ),
            Criterion(
                "bn-scale",
                "Normalisation scale",
                "Size of the factor that a normalisation layer gives the unit.",
                "Liu et al., Network Slimming, ICCV 2017",
                _of_weights(torch.abs),
                counts=_is_scale,
            ),
            Criterion(
                "lamp",
                "LAMP",
                "Squared weights as a share of all units of the group that are at least as large.",
                "Lee et al., Layer-Adaptive Sparsity for the Magnitude-based Pruning, ICLR 2021",
                _of_weights(_squared),
                normalise="lamp",
            ),
            Criterion(
                "fpgm",
                "Geometric median (FPGM)",
                "Distance to the other units of its layer: one close to all others can be made up for by them.",
                "He et al., Filter Pruning via Geometric Median, CVPR 2019",
                _by_slices(lambda slices: torch.cdist(slices, slices).sum(1)),
                counts=lambda member, parameter: parameter.dim() > 1,
            ),
            Criterion(
                "wanda",
                "Activation times weight",
                "Sum of |weight| times the norm of what comes in over it.",
                "after Sun et al., A Simple and Effective Pruning Approach for LLMs (Wanda), ICLR 2024",
                _of_evidence(lambda weights, norm: weights.abs() * norm),
                needs=INPUT_NORMS,
            ),
            Criterion(
                "random",
                "Random",
                "A number drawn for each unit: what every other criterion has to beat.",
                "the usual baseline",
                _drawn,
                reduce="first",
                normalise="none",
            ),
        )
    }
)


def criterion_named(name: str) -> Criterion:
    """The criterion, or BadInput that lists them all."""
    return row_named("criterion", name, CRITERIA)


def row_named(argument: str, name: str, table: Mapping[str, _Row]) -> _Row:
    """The row of a table, or BadInput that lists its names."""
    if name in table:
        return table[name]
    raise BadInput(
        asked=f"scores with {argument}={name!r}",
        found=f"no {argument} of that name",
        where=f"argument {argument}",
        what_to_do=f"use one of {', '.join(table)}",
    )
