"""Cutting commutes with an operation: one call, checked against torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunescope.core.coupling import Coupling, components_of, couplings_of
from prunescope.core.labels import ONE_INDEX, Dim, Dims, Fixed, LabelSpace, Vector
from prunescope.core.rules import Call, rule_for
from tests.core.rule_calls import Sample

aten = torch.ops.aten
Gone: TypeAlias = NDArray[np.bool_]  # (labels,) True where a label goes
BUSY = Fixed("it is left out of this check")


class Violation(AssertionError):
    """What a rule says is not what torch does."""


@dataclass(frozen=True)
class Labelled:
    """A call whose operands have labels, and what its rule says."""

    call: Sample
    space: LabelSpace
    operands: tuple[Dims, ...]  # of every tensor of the call, in order
    outputs: tuple[Dims, ...]
    statistics: Vector  # labels that a statistic runs over


def labelled(call: Sample, give: Callable[[LabelSpace, int, Tensor], Dims]) -> Labelled:
    """Label the operands and ask the rule, as the trace does."""
    space = LabelSpace()
    operands = tuple(give(space, n, tensor) for n, tensor in enumerate(call.tensors()))
    ran = call.with_tensors(torch.clone)
    by_id = {id(tensor): dims for tensor, dims in zip(ran.tensors(), operands, strict=True)}
    outputs = ran.run()
    rule = rule_for(call.function)
    assert rule is not None
    asked = Call(
        space=space,
        function=call.function,
        positional=ran.positional,
        keywords=dict(ran.keywords),
        outputs=outputs,
        tensors=ran.tensors(),
        labels=lambda tensor: by_id[id(tensor)],
        role=lambda tensor, dim, side: None,
    )
    found = tuple(_settled(dims, tensor) for dims, tensor in zip(rule(asked), outputs, strict=True))
    running = [statistic.labels for statistic in space.statistics]
    return Labelled(call, space, operands, found, np.concatenate([*running, np.empty(0, dtype=np.int64)]))


def _settled(dims: Dims, tensor: Tensor) -> Dims:
    result = tuple(ONE_INDEX if size == 1 else dim for dim, size in zip(dims, tensor.shape, strict=True))
    for dim, size in zip(result, tensor.shape, strict=True):
        if not isinstance(dim, Fixed) and dim.shape != (size,):
            raise Violation(f"{dim.size} labels for a dimension of size {size}")
    return result


def every_dimension(space: LabelSpace, position: int, tensor: Tensor) -> Dims:
    return tuple(space.new(size) if size > 1 else ONE_INDEX for size in tensor.shape)


def with_holes(space: LabelSpace, position: int, tensor: Tensor) -> Dims:
    """Every third index cannot go."""
    dims = every_dimension(space, position, tensor)
    code = space.code("it is in the way")
    return tuple(
        dim if isinstance(dim, Fixed) else np.where(np.arange(dim.size) % 3 == 1, code, dim).astype(np.int64)
        for dim in dims
    )


def one_operand(chosen: int) -> Callable[[LabelSpace, int, Tensor], Dims]:
    def give(space: LabelSpace, position: int, tensor: Tensor) -> Dims:
        if position != chosen:
            return tuple(BUSY for _ in tensor.shape)
        return every_dimension(space, position, tensor)

    return give


def check(call: Sample, seed: int = 0) -> int:
    """Cut the call in several ways and compare. Gives the number of cuts that removed something."""
    ways = [every_dimension, with_holes]
    if len(call.tensors()) > 1:
        ways += [one_operand(n) for n in range(len(call.tensors()))]
    random = np.random.default_rng(seed)
    done = 0
    for give in ways:
        case = labelled(call, give)
        for coupling in couplings_of(case.space, components_of(case.space)):
            gone = some_units(case, coupling, random)
            cut = [dim for dims in (*case.operands, *case.outputs) for dim in dims if not isinstance(dim, Fixed)]
            if any(_among(dim, gone).any() for dim in cut):
                running = coupling.component[case.statistics[case.statistics >= 0]]
                _compare(case, gone, of_statistics=gone & np.isin(coupling.component, running))
                done += 1
    return done


def some_units(case: Labelled, coupling: Coupling, random: np.random.Generator) -> Gone:
    """Half of the components that can go; of every dimension two indices stay, because one alone broadcasts."""
    going = (coupling.lock == -1) & (random.random(coupling.lock.size) < 0.6)
    for dims in (*case.operands, *case.outputs):
        for dim in dims:
            while not isinstance(dim, Fixed) and dim.size > 1:
                leaving = dim[_among(dim, going[coupling.component])]
                if dim.size - leaving.size > 1:
                    break
                going[coupling.component[leaving[0]]] = False
    return going[coupling.component]


def _compare(case: Labelled, gone: Gone, of_statistics: Gone) -> None:
    """Statistics are of what is left on both sides; what else goes is cut on one side and zero on the other."""
    nothing = np.zeros_like(gone)
    try:
        found = run(case, gone, zero=nothing)
    except (RuntimeError, IndexError) as error:
        raise Violation(f"{case.call} does not run after a cut: {error}") from error
    reference = run(case, of_statistics, zero=gone & ~of_statistics)
    for n, (dims, one, other) in enumerate(zip(case.outputs, found, reference, strict=True)):
        wanted = _without(other, [_after(dim, of_statistics) for dim in dims], gone)
        if one.shape != wanted.shape:
            raise Violation(f"output {n} of {case.call} is {tuple(one.shape)} after a cut, not {tuple(wanted.shape)}")
        if case.call.name not in NO_VALUES and not torch.allclose(one, wanted, rtol=1e-6, atol=1e-8, equal_nan=True):
            raise Violation(f"output {n} of {case.call} has other values after a cut")


def run(case: Labelled, gone: Gone, zero: Gone) -> tuple[Tensor, ...]:
    """The call without the units `gone`, with zeros for the units `zero`."""
    if case.call.name in NO_VALUES:
        zero = np.zeros_like(zero)
    operands = iter(case.operands)
    call = case.call.with_tensors(lambda tensor: _zeroed(tensor, next(operands), zero, gone))
    return call.with_arguments(_arguments(case, gone)).run()


def _zeroed(tensor: Tensor, dims: Dims, zero: Gone, gone: Gone) -> Tensor:
    result = tensor.clone()
    for d, dim in enumerate(dims):
        if not isinstance(dim, Fixed) and (tensor.is_floating_point() or tensor.is_complex()):
            result.index_fill_(d, torch.from_numpy(np.flatnonzero(_among(dim, zero))), 0)
    return _without(result, dims, gone)


def _without(tensor: Tensor, dims: Sequence[Dim], gone: Gone) -> Tensor:
    for d, dim in enumerate(dims):
        if not isinstance(dim, Fixed) and _among(dim, gone).any():
            tensor = tensor.index_select(d, torch.from_numpy(np.flatnonzero(~_among(dim, gone))))
    return tensor


def _among(dim: Vector, labels: Gone) -> NDArray[np.bool_]:
    return np.asarray((dim >= 0) & labels[dim])


def _after(dim: Dim, gone: Gone) -> Dim:
    """The labels that are left."""
    return dim if isinstance(dim, Fixed) else dim[~_among(dim, gone)]


def _arguments(case: Labelled, gone: Gone) -> Mapping[str, Any]:
    """New values for the arguments that are sizes of dimensions."""
    adapt = _SIZES.get(case.call.name.removesuffix("_"))
    return adapt(case, Left(case, gone)) if adapt else {}


@dataclass(frozen=True)
class Left:
    """Sizes after a cut."""

    case: Labelled
    gone: Gone

    def size(self, dim: Dim, before: int) -> int:
        return before if isinstance(dim, Fixed) else int((~_among(dim, self.gone)).sum())

    def operand(self, position: int) -> list[int]:
        tensor = self.case.call.tensors()[position]
        return [self.size(dim, n) for dim, n in zip(self.case.operands[position], tensor.shape, strict=True)]

    def output(self, position: int) -> list[int]:
        tensor = self.case.call.with_tensors(torch.clone).run()[position]
        return [self.size(dim, n) for dim, n in zip(self.case.outputs[position], tensor.shape, strict=True)]

    def groups(self, position: int, dim: int, groups: int) -> int:
        """How many of the groups, that a dimension of an operand is in, have anything left."""
        labels = self.case.operands[position][dim]
        if isinstance(labels, Fixed):
            return groups
        return int((~_among(labels, self.gone)).reshape(groups, -1).any(axis=1).sum())


def _argument(case: Labelled, name: str) -> Any:
    """The value of an argument, defaults included."""
    function, positional, keywords = case.call.function, case.call.positional, dict(case.call.keywords)
    asked = Call(case.space, function, positional, keywords, (), (), lambda _: (), lambda *_: None)
    return asked.arguments[name]


def _output_size(case: Labelled, left: Left) -> Mapping[str, Any]:
    return dict.fromkeys(("size", "shape"), left.output(0))


def _positions(case: Labelled, left: Left) -> Mapping[str, Any]:
    return {"output_size": left.output(0)[2:]}


def _slice_bounds(case: Labelled, left: Left) -> Mapping[str, Any]:
    if not case.space.slices:
        return {}
    taken = case.space.slices[0]
    return {"start": left.size(taken.labels[: taken.start], 0), "end": left.size(taken.labels[: taken.stop], 0)}


def _split_size(case: Labelled, left: Left) -> Mapping[str, Any]:
    return {"split_size": left.output(0)[_argument(case, "dim")]}


def _split_sizes(case: Labelled, left: Left) -> Mapping[str, Any]:
    dim = _argument(case, "dim")
    return {"split_sizes": [left.output(n)[dim] for n in range(len(case.outputs))]}


def _normalized_shape(case: Labelled, left: Left) -> Mapping[str, Any]:
    return {"normalized_shape": left.operand(0)[-len(_argument(case, "normalized_shape")) :]}


def _group_norm_sizes(case: Labelled, left: Left) -> Mapping[str, Any]:
    batch, channels, *positions = left.operand(0)
    groups = left.groups(0, 1, _argument(case, "group"))
    return {"N": batch, "C": channels, "HxW": math.prod(positions), "group": groups}


def _convolution_groups(case: Labelled, left: Left) -> Mapping[str, Any]:
    return {"groups": left.groups(1, 0, _argument(case, "groups"))}


def _temperature(case: Labelled, left: Left) -> Mapping[str, Any]:
    """What a cut changes in the temperature is taken up before the attention."""
    scale = _argument(case, "scale")
    return {"scale": case.call.tensors()[0].shape[-1] ** -0.5 if scale is None else scale}


def _repeats(case: Labelled, left: Left) -> Mapping[str, Any]:
    """A single index is repeated as often as the result has indices, anything else as often as before."""
    asked, before = _argument(case, "repeats"), case.call.tensors()[0].shape
    sizes = [*([1] * (len(asked) - len(before))), *before]
    counts = zip(asked, sizes, left.output(0), strict=True)
    return {"repeats": [after if size == 1 else count for count, size, after in counts]}


def _strides(case: Labelled, left: Left) -> Mapping[str, Any]:
    """A stride is so many steps along a dimension of the operand."""
    before = case.call.tensors()[0]
    after = before.new_empty(left.operand(0))
    steps = sorted(zip(before.stride(), after.stride(), strict=True), reverse=True)
    strides = []
    for stride in _argument(case, "stride"):
        old, new = next((old, new) for old, new in steps if old <= stride or old == 1)
        strides.append(stride // old * new)
    return {"size": left.output(0), "stride": strides}


_SIZES: Mapping[str, Callable[[Labelled, Left], Mapping[str, Any]]] = {
    **dict.fromkeys(
        ("aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_copy", "aten.expand"), _output_size
    ),
    **{f"aten._adaptive_avg_pool{rank}d": _positions for rank in (2, 3)},
    **{
        f"aten.{kind}{rank}d": _positions
        for kind in ("upsample_nearest", "_upsample_nearest_exact")
        for rank in (1, 2, 3)
    },
    **{f"aten._upsample_{kind}2d_aa": _positions for kind in ("bilinear", "bicubic")},
    "aten.repeat": _repeats,
    "aten.slice": _slice_bounds,
    **dict.fromkeys(("aten.split", "aten.unsafe_split"), _split_size),
    **dict.fromkeys(("aten.split_with_sizes", "aten.unsafe_split_with_sizes"), _split_sizes),
    **dict.fromkeys(("aten.native_layer_norm", "aten._fused_rms_norm"), _normalized_shape),
    "aten.native_group_norm": _group_norm_sizes,
    "aten.convolution": _convolution_groups,
    "torchvision.deform_conv2d": _convolution_groups,
    "aten._scaled_dot_product_flash_attention_for_cpu": _temperature,
    **dict.fromkeys(("aten.as_strided", "aten._reshape_alias"), _strides),
}
NO_VALUES = frozenset(
    f"aten.{name}"
    for name in (
        *("bernoulli", "bernoulli_", "native_dropout", "normal", "normal_", "uniform_", "rand_like", "randn_like"),
        *("cauchy_", "exponential_", "geometric_", "log_normal_", "random_", "poisson", "randint_like", "multinomial"),
        *("_standard_gamma", "_sample_dirichlet", "binomial"),
        *("rrelu_with_noise", "uniform"),
        *("empty_like", "new_empty", "new_empty_strided"),
    )
)
