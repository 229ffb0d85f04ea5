"""Every rule against torch: cutting commutes with the operation.

Run an operation on operands without some units, or on operands whose units are zero and leave the units out of the
result: both give the same, whatever units the labels of the rule say can go. The operations are those that models
reach, with the shapes and arguments that they use, and calls written by hand for every row of the table.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from prunescope.core.groups import Coupling, couplings_of
from prunescope.core.inputs import as_call
from prunescope.core.labels import ONE_INDEX, Dim, Dims, Fixed, LabelSpace, Vector
from prunescope.core.rules import RULES, Call, Rule, rule_for
from prunescope.core.rules.table import operation_name, tensors_in
from prunescope.core.run import without_fused_paths
from prunescope.explorer.gallery import open_model
from tests.core.test_architectures import CASES
from tests.core.test_exactness import FAMILIES, build
from tests.models import flattened, grouped, image, ragged

aten = torch.ops.aten
Gone: TypeAlias = NDArray[np.bool_]  # (labels,) True where a label goes
BUSY = Fixed("it is left out of this check")


# ------------------------------------------------------------------------------------------------ calls of operations


@dataclass(frozen=True)
class Sample:
    """One call of an operation, with values."""

    function: torch._ops.OpOverload
    positional: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return operation_name(self.function)

    def __str__(self) -> str:
        shapes = [tuple(value.shape) if isinstance(value, Tensor) else value for value in self.leaves()]
        return f"{self.function}{shapes}"

    def leaves(self) -> list[Any]:
        return tree_leaves((self.positional, dict(self.keywords)))

    def tensors(self) -> list[Tensor]:
        return tensors_in((*self.positional, *self.keywords.values()))

    def with_tensors(self, change: Callable[[Tensor], Tensor]) -> Sample:
        """The same call on other tensors."""

        def changed(leaf: Any) -> Any:
            return change(leaf) if isinstance(leaf, Tensor) else leaf

        return replace(self, positional=tree_map(changed, self.positional), keywords=tree_map(changed, self.keywords))

    def with_arguments(self, values: Mapping[str, Any]) -> Sample:
        """The same call with other values for some of its arguments."""
        names = [argument.name for argument in self.function._schema.arguments]
        positional = [values.get(name, old) for name, old in zip(names, self.positional, strict=False)]
        keywords = {name: values.get(name, old) for name, old in self.keywords.items()}
        return replace(self, positional=tuple(positional), keywords=keywords)

    def run(self) -> tuple[Tensor, ...]:
        function = _REFERENCES.get(self.name, self.function)
        return tuple(t for t in tree_leaves(function(*self.positional, **self.keywords)) if isinstance(t, Tensor))


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Fused attention in plain operations: its kernel wants one width for queries, keys and values."""
    k, v = (side.repeat_interleave(q.shape[1] // side.shape[1], 1) for side in (k, v))
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    scores = q @ k.transpose(-1, -2) * factor
    if attn_mask is not None:
        scores = scores + attn_mask
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


def _experts(left: Tensor, right: Tensor, ends: Tensor | None = None) -> Tensor:
    """Every row by the matrix of its group, in any precision."""
    if ends is None:
        return left @ right
    group = torch.searchsorted(ends, torch.arange(len(left)), right=True)
    return (left.unsqueeze(1) @ right[group]).squeeze(1)


_REFERENCES: Mapping[str, Callable[..., Any]] = {
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._grouped_mm": _experts,
}


def sample(function: Any, *positional: Any, **keywords: Any) -> Sample:
    overload = function if isinstance(function, torch._ops.OpOverload) else function.default
    return Sample(overload, positional, keywords)


class Collecting(TorchDispatchMode):
    """Keeps the distinct calls of every operation that runs."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit  # distinct calls kept of each operation
        self.calls: dict[torch._ops.OpOverload, dict[str, Sample]] = defaultdict(dict)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        call = Sample(function, args, kwargs or {})
        found = self.calls[function]
        if len(found) < self.limit and sum(t.numel() for t in call.tensors()) < 300_000 and str(call) not in found:
            found[str(call)] = call.with_tensors(_drawn)
        return function(*args, **(kwargs or {}))


def _drawn(tensor: Tensor) -> Tensor:
    """Random numbers in the place of floats, laid out alike in memory; integers and masks keep their values."""
    values = tensor.detach().clone()
    if tensor.is_complex():
        return torch.randn_like(values, dtype=torch.complex128)
    return torch.randn_like(values, dtype=torch.float64) if tensor.is_floating_point() else values


@cache
def reached() -> dict[torch._ops.OpOverload, tuple[Sample, ...]]:
    """The calls that the models of the tests make, by operation."""
    torch.manual_seed(0)
    collecting = Collecting(limit=12)
    for model, inputs in _models():
        args, kwargs = as_call(inputs)
        with torch.no_grad(), without_fused_paths(model.eval()), collecting:
            model(*args, **kwargs)
    return {function: tuple(calls.values()) for function, calls in collecting.calls.items()}


def _models() -> Iterator[tuple[nn.Module, Any]]:
    yield from ((make(), image()) for make in (flattened, grouped, ragged))
    for make_case, inputs in CASES.values():
        yield make_case(), inputs
    for entry in ("digits-vit", "digits-resnet"):
        opened = open_model(entry)
        yield opened.model, opened.example_inputs
    for family in FAMILIES:
        yield build(family)[0], torch.randn(1, 3, 96, 96)


# ----------------------------------------------------------------------------------------------------------- the law


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
        labels=lambda tensor: by_id[id(tensor)],
        module="",
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
        for coupling in couplings_of(case.space):
            gone = _some_units(case, coupling, random)
            cut = [dim for dims in (*case.operands, *case.outputs) for dim in dims if not isinstance(dim, Fixed)]
            if any(_among(dim, gone).any() for dim in cut):
                running = coupling.component[case.statistics[case.statistics >= 0]]
                _compare(case, gone, of_statistics=gone & np.isin(coupling.component, running))
                done += 1
    return done


def _some_units(case: Labelled, coupling: Coupling, random: np.random.Generator) -> Gone:
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
        found = _run(case, gone, zero=nothing)
    except (RuntimeError, IndexError) as error:
        raise Violation(f"{case.call} does not run after a cut: {error}") from error
    reference = _run(case, of_statistics, zero=gone & ~of_statistics)
    for n, (dims, one, other) in enumerate(zip(case.outputs, found, reference, strict=True)):
        wanted = _without(other, [_after(dim, of_statistics) for dim in dims], gone)
        if one.shape != wanted.shape:
            raise Violation(f"output {n} of {case.call} is {tuple(one.shape)} after a cut, not {tuple(wanted.shape)}")
        if case.call.name not in NO_VALUES and not torch.allclose(one, wanted, rtol=1e-6, atol=1e-8, equal_nan=True):
            raise Violation(f"output {n} of {case.call} has other values after a cut")


def _run(case: Labelled, gone: Gone, zero: Gone) -> tuple[Tensor, ...]:
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


# ------------------------------------------------- sizes among the arguments: the code's, which follow what they count


def _arguments(case: Labelled, gone: Gone) -> Mapping[str, Any]:
    """New values for the arguments that are sizes of dimensions."""
    adapt = _SIZES.get(case.call.name.removesuffix("_"))
    return adapt(case, _Left(case, gone)) if adapt else {}


@dataclass(frozen=True)
class _Left:
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
    asked = Call(case.space, function, positional, keywords, (), lambda _: (), "", lambda *_: None)
    return asked.arguments[name]


def _output_size(case: Labelled, left: _Left) -> Mapping[str, Any]:
    return dict.fromkeys(("size", "shape"), left.output(0))


def _slice_bounds(case: Labelled, left: _Left) -> Mapping[str, Any]:
    if not case.space.slices:
        return {}
    taken = case.space.slices[0]
    return {"start": left.size(taken.labels[: taken.start], 0), "end": left.size(taken.labels[: taken.stop], 0)}


def _split_size(case: Labelled, left: _Left) -> Mapping[str, Any]:
    return {"split_size": left.output(0)[_argument(case, "dim")]}


def _split_sizes(case: Labelled, left: _Left) -> Mapping[str, Any]:
    dim = _argument(case, "dim")
    return {"split_sizes": [left.output(n)[dim] for n in range(len(case.outputs))]}


def _normalized_shape(case: Labelled, left: _Left) -> Mapping[str, Any]:
    return {"normalized_shape": left.operand(0)[-len(_argument(case, "normalized_shape")) :]}


def _group_norm_sizes(case: Labelled, left: _Left) -> Mapping[str, Any]:
    batch, channels, *positions = left.operand(0)
    groups = left.groups(0, 1, _argument(case, "group"))
    return {"N": batch, "C": channels, "HxW": math.prod(positions), "group": groups}


def _convolution_groups(case: Labelled, left: _Left) -> Mapping[str, Any]:
    return {"groups": left.groups(1, 0, _argument(case, "groups"))}


def _strides(case: Labelled, left: _Left) -> Mapping[str, Any]:
    """A stride is so many steps along a dimension of the operand."""
    before = case.call.tensors()[0]
    after = before.new_empty(left.operand(0))
    steps = sorted(zip(before.stride(), after.stride(), strict=True), reverse=True)
    strides = []
    for stride in _argument(case, "stride"):
        old, new = next((old, new) for old, new in steps if old <= stride or old == 1)
        strides.append(stride // old * new)
    return {"size": left.output(0), "stride": strides}


_SIZES: Mapping[str, Callable[[Labelled, _Left], Mapping[str, Any]]] = {
    **dict.fromkeys(
        ("aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_copy", "aten.expand"), _output_size
    ),
    "aten.slice": _slice_bounds,
    **dict.fromkeys(("aten.split", "aten.unsafe_split"), _split_size),
    **dict.fromkeys(("aten.split_with_sizes", "aten.unsafe_split_with_sizes"), _split_sizes),
    **dict.fromkeys(("aten.native_layer_norm", "aten._fused_rms_norm"), _normalized_shape),
    "aten.native_group_norm": _group_norm_sizes,
    "aten.convolution": _convolution_groups,
    **dict.fromkeys(("aten.as_strided", "aten._reshape_alias"), _strides),
}
NO_VALUES = frozenset(
    f"aten.{name}"
    for name in (
        *("bernoulli", "bernoulli_", "native_dropout", "normal", "normal_", "uniform_", "rand_like", "randn_like"),
        *("cauchy_", "exponential_", "geometric_", "log_normal_", "random_", "poisson", "randint_like", "multinomial"),
        *("rrelu_with_noise", "uniform"),
        *("empty_like", "new_empty", "new_empty_strided"),
    )
)


# ------------------------------------------------------------------------- calls that the models above do not make


def t(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def ints(*values: int) -> Tensor:
    return torch.tensor(values)


def mask(*shape: int) -> Tensor:
    return torch.rand(shape) < 0.5


def written() -> Iterator[Sample]:
    """At least one call of every row of the table, with the forms that a rule has to tell apart."""
    yield from _movements()
    yield from _placements()
    yield from _lookups()
    yield from _products()
    yield from _normalisations()
    yield from _reductions()
    yield from _positions()
    yield from _elements()


def _movements() -> Iterator[Sample]:
    for name in ("alias", "clone", "contiguous", "detach", "detach_", "lift_fresh", "_to_copy", "_neg_view"):
        yield sample(getattr(aten, name), t(4, 6))
    yield sample(aten._conj, torch.complex(t(4, 6), t(4, 6)))
    yield sample(aten.to.dtype, t(4, 6), torch.float64)
    yield sample(aten.dropout, t(4, 6), 0.0, False)
    for before, after in (
        ((4, 6), (24,)),
        ((24,), (4, 6)),
        ((2, 3, 8), (6, 2, 4)),
        ((8, 3), (8, 1, 3)),
        ((6, 4), (3, 8)),
    ):
        yield sample(aten.view, t(*before), after)
        yield sample(aten._unsafe_view, t(*before), after)
        yield sample(aten.reshape, t(*before), after)
        yield sample(aten._reshape_copy, t(*before), after)
    yield sample(aten._reshape_alias, t(4, 6), (4, 6), (6, 1))
    yield sample(aten.as_strided, t(4, 6), (4, 6), (6, 1))
    yield sample(aten.as_strided, t(6, 6), (6, 6), (1, 6))
    yield sample(aten.as_strided, t(4, 8), (4, 3, 4), (8, 2, 1))
    yield sample(aten.as_strided, t(6, 6), (6,), (7,))
    yield sample(aten.as_strided_, t(4, 6), (4, 6), (6, 1))
    yield sample(aten.as_strided_, t(6, 6), (6, 6), (1, 6))
    yield sample(aten.view_as_complex, t(4, 6, 2))
    yield sample(aten.view_as_real, torch.complex(t(4, 6), t(4, 6)))
    yield sample(aten.permute, t(4, 6, 5), (2, 0, -2))
    for function in (aten.transpose.int, aten.transpose_):
        yield sample(function, t(4, 6, 5), 0, -1)
    yield sample(aten.t, t(4, 6))
    yield sample(aten.t_, t(4, 6))
    yield sample(aten.unsqueeze, t(4, 6), -1)
    yield sample(aten.unsqueeze_, t(4, 6), 1)
    for name in ("squeeze", "squeeze_"):
        packet = getattr(aten, name)
        yield sample(packet, t(4, 1, 6, 1))
        yield sample(packet.dim, t(4, 1, 6, 1), -3)
        yield sample(packet.dims, t(4, 1, 6, 1), (0, 3))
    yield sample(aten.expand, t(4, 1, 6), (3, 4, 5, -1))
    yield sample(aten.flip, t(4, 6), (1,))
    yield sample(aten.flip, t(4, 6), ())
    yield sample(aten.roll, t(4, 6), (2, 1), (1, 0))
    yield sample(aten.roll, t(4, 6), (1,), (-1,))
    yield sample(aten.roll, t(4, 6), (2,))
    for turns in (0, 1, 2, 3, -1):
        yield sample(aten.rot90, t(4, 6, 5), turns, (2, 0))
    yield sample(aten.unfold, t(4, 8), 1, 3, 2)
    for name in ("tril", "triu"):
        for shape, at in (((3, 6, 6), 0), ((6, 6), 1), ((4, 6), 0)):
            yield sample(getattr(aten, name), t(*shape), at)
    for shape, at in (((3, 6, 6), 0), ((3, 6, 6), 1), ((3, 4, 6), 0)):
        yield sample(aten.diagonal, t(*shape), at, 1, 2)
    yield sample(aten.diag_embed, t(4, 6))
    yield sample(aten.diag_embed, t(4, 6), 1, 0, -1)


def _placements() -> Iterator[Sample]:
    for function in (aten.cat, aten.concat):
        yield sample(function, [t(4, 6), t(4, 3)], 1)
        yield sample(function, [t(0), t(4, 6), t(2, 6)], -2)
    yield sample(aten.stack, [t(4, 6), t(4, 6), t(4, 6)], -1)
    for bounds in ((0, 0, 3), (1, 2, 9), (1, -5, -1), (1, 0, 9, 2), (1, 1, 9, 2), (1, 1, 6, 2), (0, 2, 3)):
        yield sample(aten.slice.Tensor, t(5, 8), *bounds)
    yield sample(aten.select.int, t(4, 6, 5), -2, 3)
    yield sample(aten.unbind.int, t(4, 6, 5), 1)
    for function in (aten.split.Tensor, aten.unsafe_split.Tensor):
        yield sample(function, t(4, 6), 3, 1)
        yield sample(function, t(4, 7), 3, 1)
    for function in (aten.chunk, aten.unsafe_chunk):
        yield sample(function, t(4, 6), 2, 1)
    for function in (aten.split_with_sizes, aten.unsafe_split_with_sizes):
        yield sample(function, t(4, 9), [3, 1, 5], -1)
    yield sample(aten.glu, t(4, 6, 5), 1)
    yield sample(aten.constant_pad_nd, t(4, 6), (1, 2))
    yield sample(aten.constant_pad_nd, t(4, 6), (0, 0, -1, 2), 3.0)
    yield sample(aten.repeat, t(4, 6), (3, 1, 2))
    for name in ("new_zeros", "new_ones", "new_empty"):
        yield sample(getattr(aten, name), t(4, 6), (5, 7))
    yield sample(aten.new_empty_strided, t(4, 6), (5, 7), (7, 1))
    yield sample(aten.new_full, t(4, 6), (5, 7), 2.0)
    yield sample(aten._local_scalar_dense, t(1))
    for name in ("zeros_like", "ones_like", "empty_like", "rand_like", "randn_like"):
        yield sample(getattr(aten, name), t(4, 6))
    yield sample(aten.full_like, t(4, 6), 2.0)
    yield sample(aten.randint_like, t(4, 6), 5)
    yield sample(aten.slice_scatter, t(4, 6), t(4, 3), 1, 1, 4)
    yield sample(aten.slice_scatter, t(4, 6), t(4, 6), 1)
    yield sample(aten.select_scatter, t(4, 6, 5), t(4, 5), 1, 2)


def _lookups() -> Iterator[Sample]:
    yield sample(aten.embedding, t(9, 6), torch.randint(9, (4, 5)))
    for function in (aten._embedding_bag, aten._embedding_bag_forward_only):
        for mode in (0, 1, 2):
            yield sample(function, t(9, 6), torch.randint(9, (8,)), ints(0, 3, 5), False, mode)
    places, pairs = torch.randint(4, (7,)), torch.randint(4, (3, 5))
    for function in (aten.index.Tensor, aten._unsafe_index.Tensor):
        yield sample(function, t(4, 6, 5), [places])
        yield sample(function, t(6, 4, 5), [None, pairs])
        yield sample(function, t(4, 6, 5), [places, None, places])
        yield sample(function, t(4, 4, 5), [places, places])
    yield sample(aten.index.Tensor, t(4, 6, 5), [mask(4, 6)])
    yield sample(aten.index.Tensor, t(5, 4, 6, 3), [None, mask(4, 6)])
    yield sample(aten.index_put, t(4, 6, 5), [None, torch.randint(6, (3,))], t(3, 5))
    yield sample(aten.index_put, t(4, 6, 5), [mask(4, 6)], t(5))
    yield sample(aten.index_put, t(4, 6, 5), [ints(0, 2), None, ints(1, 3)], t(2, 6))
    yield sample(aten._index_put_impl_, t(4, 6), [ints(0, 2)], t(2, 6))
    yield sample(aten.index_select, t(6, 4, 5), 1, places)
    yield sample(aten.take, t(4, 6), pairs)
    yield sample(aten.gather, t(4, 6, 5), 0, torch.randint(4, (3, 6, 5)))
    yield sample(aten.gather, t(4, 6), 1, torch.randint(6, (3, 5)))
    for shape in ((5, 6), (4, 3)):
        yield sample(aten.scatter.src, t(4, 6), 0, torch.randint(3, shape), t(5, 6))
        yield sample(aten.scatter_add, t(4, 6), 0, torch.randint(3, shape), t(5, 6))
    yield sample(aten.scatter.value, t(4, 6), 0, torch.randint(4, (5, 6)), 2.0)
    yield sample(aten.scatter_reduce.two, t(4, 6), 1, torch.randint(6, (4, 9)), t(4, 9), "amax")
    for name in ("index_add", "index_copy"):
        yield sample(getattr(aten, name), t(6, 4, 5), 1, ints(0, 2, 1), t(6, 3, 5))
    yield sample(aten.index_fill.int_Scalar, t(6, 4), 1, ints(0, 2), 2.0)
    yield sample(aten.index_reduce, t(6, 4), 1, ints(0, 2, 1), t(6, 3), "prod")
    yield sample(aten.segment_reduce, t(6, 5), "sum", lengths=ints(2, 1, 3))
    yield sample(aten.masked_scatter, t(4, 5, 6), mask(4, 5, 1), t(20, 6))
    yield sample(aten.masked_scatter, t(4, 5, 6), mask(4, 5, 6), t(20, 6))
    yield sample(aten.bucketize.Tensor, t(4, 6), t(5).sort().values)
    yield sample(aten.isin.Tensor_Tensor, ints(1, 2, 3, 4), ints(2, 4, 6))
    yield sample(aten.searchsorted.Tensor, t(5).sort().values, t(4, 6))
    yield sample(aten.searchsorted.Tensor, t(4, 5).sort().values, t(4, 6))
    yield sample(aten.multinomial, torch.rand(4, 6), 3)
    yield sample(aten.topk, t(4, 6), 3)
    yield sample(aten.sort, t(4, 6), 0)
    yield sample(aten.argsort, t(4, 6), 1)
    yield sample(torch.ops.torchvision.nms, torch.rand(6, 4), torch.rand(6), 0.5)


def _products() -> Iterator[Sample]:
    for groups, weight in ((1, t(8, 6, 3, 3)), (3, t(9, 2, 1, 3)), (6, t(12, 1, 3, 3))):
        yield sample(
            aten.convolution, t(4, 6, 7, 7), weight, t(len(weight)), (1, 1), (0, 1), (1, 1), False, (0, 0), groups
        )
    for groups in (1, 2, 6):
        yield sample(
            aten.convolution, t(4, 6, 7), t(6, 5, 3), t(5 * groups), (2,), (1,), (1,), True, (1,), groups
        )  # fmt: skip
    yield sample(aten.convolution, t(4, 6, 7), t(8, 6, 1), None, (1,), (0,), (1,), False, (0,), 1)
    yield sample(aten.mm, t(4, 6), t(6, 5))
    yield sample(aten.bmm, t(3, 4, 6), t(3, 6, 5))
    for added in ((5,), (4, 1), (4, 5)):
        yield sample(aten.addmm, t(*added), t(4, 6), t(6, 5))
    yield sample(aten.baddbmm, t(3, 1, 5), t(3, 4, 6), t(3, 6, 5))
    yield sample(aten.addbmm, t(4, 5), t(3, 4, 6), t(3, 6, 5))
    yield sample(aten.addmv, t(4), t(4, 6), t(6))
    yield sample(aten.addr, t(4, 6), t(4), t(6))
    yield sample(aten.mv, t(4, 6), t(6))
    yield sample(aten.dot, t(6), t(6))
    yield sample(aten.vdot, t(6), t(6))
    for function in (aten._cdist_forward, aten._euclidean_dist):
        yield sample(function, t(3, 4, 6), t(3, 5, 6), *((2.0, None) if function is aten._cdist_forward else ()))
    yield sample(aten._grouped_mm, t(8, 6), t(3, 6, 5), ints(3, 4, 8))
    yield sample(aten._grouped_mm, t(3, 4, 6), t(3, 6, 5))
    # a bilinear layer: (batch, c), (outputs, c, d), (batch, d)
    yield sample(aten._trilinear, t(4, 6), t(3, 6, 5), t(4, 5), [1, 3], [0], [1, 2], [2, 3])
    yield sample(aten.linalg_cross, t(4, 3, 5), t(4, 3, 5), dim=1)
    yield sample(aten.linalg_solve_triangular, t(3, 4, 4), t(3, 4, 5), upper=True)
    attention = aten._scaled_dot_product_flash_attention_for_cpu
    yield sample(attention, t(3, 4, 5, 6), t(3, 4, 7, 6), t(3, 4, 7, 6), scale=0.5)
    yield sample(attention, t(3, 4, 5, 6), t(3, 2, 7, 6), t(3, 2, 7, 6))
    yield sample(attention, t(3, 4, 5, 6), t(3, 4, 7, 6), t(3, 4, 7, 6), 0.0, True)
    yield sample(attention, t(3, 4, 5, 6), t(3, 4, 7, 6), t(3, 4, 7, 6), attn_mask=t(3, 1, 5, 7))


def _normalisations() -> Iterator[Sample]:
    given = (t(6), t(6), t(6), torch.rand(6, dtype=torch.float64) + 0.5)
    for training in (False, True):
        for function in (
            aten.native_batch_norm,
            aten._native_batch_norm_legit,
            aten._native_batch_norm_legit_functional,
        ):
            yield sample(function, t(4, 6, 5), *given, training, 0.1, 1e-5)
    yield sample(aten._native_batch_norm_legit_no_training, t(4, 6, 5), *given, 0.1, 1e-5)
    yield sample(aten._batch_norm_with_update, t(4, 6, 5), *given, 0.1, 1e-5)
    yield sample(aten._batch_norm_no_update, t(4, 6, 5), *given, 0.1, 1e-5)
    yield sample(aten.native_layer_norm, t(4, 5, 6), (6,), t(6), t(6), 1e-5)
    yield sample(aten.native_layer_norm, t(4, 5, 6), (5, 6), t(5, 6), None, 1e-5)
    yield sample(aten._fused_rms_norm, t(4, 5, 6), (6,), t(6), 1e-5)
    for groups in (1, 3, 6):
        yield sample(aten.native_group_norm, t(4, 6, 5), t(6), t(6), 4, 6, 5, groups, 1e-5)
    yield sample(aten._weight_norm_interface, t(4, 6, 3), t(4, 1, 1), 0)
    yield sample(aten._weight_norm_interface, t(4, 6), t(1, 6), 1)


def _each(functions: Sequence[Any], *positional: Any, **keywords: Any) -> list[Sample]:
    return [sample(function, *positional, **keywords) for function in functions]


def _reductions() -> Iterator[Sample]:
    x, cube, square = t(4, 6), t(4, 6, 5), torch.eye(5, dtype=torch.float64) + 0.1 * t(3, 5, 5)
    yield from _each((aten.mean, aten.sum, aten.max, aten.min, aten.median, aten.nanmedian), x)
    yield from _each((aten.mean.dim, aten.sum.dim_IntList), cube, (-1, 0), True)
    yield from _each((aten.amax, aten.amin, aten.logsumexp, aten.nansum, aten.count_nonzero.dim_IntList), x, (1,))
    spreads = (aten.var.correction, aten.std.correction, aten.var_mean.correction, aten.std_mean.correction)
    yield from _each(spreads, cube, (1,), correction=1)
    yield from _each((aten.norm.ScalarOpt_dim, aten.linalg_vector_norm), x, 2, (1,))
    yield sample(aten.aminmax, x, dim=1)
    yield from _each((aten.max.dim, aten.min.dim, aten.median.dim, aten.nanmedian.dim), x, 1)
    yield from _each((aten.argmax, aten.argmin, aten.mode, aten.all.dim, aten.any.dim, aten.prod.dim_int), x, 1)
    yield sample(aten.kthvalue, x, 2, 1)
    yield from _each((aten._softmax, aten._log_softmax), x, 1, False)
    yield from _each((aten.softmax.int, aten.log_softmax.int, aten._safe_softmax, aten.cumsum, aten.cumprod), x, 1)
    yield from _each((aten.cummax, aten.cummin, aten.logcumsumexp), x, 1)
    yield sample(aten._fft_r2c, x, (1,), 0, True)
    yield sample(aten._fft_c2c, torch.complex(x, t(4, 6)), (1,), 0, True)
    yield sample(aten._fft_c2r, torch.complex(x, t(4, 6)), (1,), 0, 10)
    yield from _each((aten.equal, aten.allclose), x, t(4, 6))
    yield from _each((aten._is_all_true, aten._is_any_true, aten.nonzero), mask(4, 6))
    yield sample(aten.bincount, ints(1, 3, 3, 0), t(4))
    yield sample(aten.histc, x, 5)
    yield sample(aten.masked_select, x, mask(4, 6))
    yield sample(aten._unique2, ints(1, 3, 3, 0), True, True)
    yield sample(aten.unique_consecutive, ints(1, 3, 3, 0))
    yield sample(aten.unique_dim, x, 0)
    yield sample(aten.repeat_interleave.Tensor, ints(1, 3, 0, 4))
    whole = (aten.linalg_inv_ex, aten.linalg_matrix_exp, aten.linalg_qr, aten._linalg_eigh, aten._linalg_svd)
    yield from _each((*whole, aten._linalg_det, aten._linalg_slogdet), square)
    yield sample(aten.linalg_cholesky_ex, square @ square.mT)


def _positions() -> Iterator[Sample]:
    for name, rank in (
        ("max_pool2d_with_indices", 2),
        ("max_pool3d_with_indices", 3),
        ("avg_pool1d", 1),
        ("avg_pool2d", 2),
        ("avg_pool3d", 3),
    ):
        yield sample(getattr(aten, name), t(4, 6, *[8] * rank), [3], [1], [1])
    for name, rank in (
        ("_adaptive_avg_pool2d", 2),
        ("_adaptive_avg_pool3d", 3),
        ("adaptive_max_pool2d", 2),
        ("adaptive_max_pool3d", 3),
    ):
        yield sample(getattr(aten, name), t(4, 6, *[8] * rank), [8, *[3] * (rank - 1)])
    yield sample(aten.max_unpool2d, t(4, 6, 3, 3), torch.randint(36, (4, 6, 3, 3)), (6, 6))
    yield sample(
        aten.max_unpool3d, t(4, 6, 2, 2, 2), torch.randint(64, (4, 6, 2, 2, 2)), (4, 4, 4), (2, 2, 2), (0, 0, 0)
    )
    for rank in (1, 2, 3):
        for name in ("upsample_nearest", "_upsample_nearest_exact"):
            yield sample(getattr(aten, f"{name}{rank}d"), t(4, 6, *[5] * rank), [7] * (rank - 1) + [5])
        for name in ("reflection_pad", "replication_pad"):
            yield sample(getattr(aten, f"{name}{rank}d"), t(4, 6, *[5] * rank), [0, 0] * (rank - 1) + [1, 2])
    for name, rank in (("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3)):
        yield sample(getattr(aten, f"upsample_{name}{rank}d"), t(4, 6, *[5] * rank), [7] * rank, False)
    for name in ("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"):
        yield sample(getattr(aten, name), t(4, 6, 5, 5), [7, 5], False)
    yield sample(aten.im2col, t(4, 6, 5, 5), (2, 3), (1, 1), (0, 1), (1, 1))
    yield sample(aten.col2im, t(4, 6 * 4, 16), (5, 5), (2, 2), (1, 1), (0, 0), (1, 1))
    yield sample(aten.pixel_shuffle, t(4, 6 * 4, 5, 5), 2)
    yield sample(aten.pixel_unshuffle, t(4, 6, 8, 8), 2)
    for function in (aten.channel_shuffle, aten.native_channel_shuffle):
        yield sample(function, t(4, 12, 5, 5), 3)
    yield sample(aten.grid_sampler_2d, t(4, 6, 5, 5), t(4, 7, 8, 2), 0, 0, False)
    yield sample(aten.grid_sampler_3d, t(4, 6, 3, 3, 3), t(4, 7, 8, 5, 3), 0, 0, False)
    boxes = torch.tensor([[0, 0, 0, 4, 4], [1, 1, 1, 5, 5], [2, 0, 2, 3, 6]], dtype=torch.float64)
    yield sample(torch.ops.torchvision.roi_align, t(3, 6, 8, 8), boxes, 1.0, 2, 2, 2, False)
    yield sample(torch.ops.torchvision.roi_pool, t(3, 6, 8, 8), boxes, 1.0, 2, 2)
    for groups, offset_groups in ((1, 1), (1, 3), (2, 1)):
        yield sample(
            torch.ops.torchvision.deform_conv2d, t(4, 6, 7, 7), t(8, 6 // groups, 3, 3), t(4, 18 * offset_groups, 5, 5),
            t(4, 9 * offset_groups, 5, 5), t(8), 1, 1, 0, 0, 1, 1, groups, offset_groups, True,
        )  # fmt: skip


def _elements() -> Iterator[Sample]:
    for name in ("hardsigmoid", "hardswish", "hardtanh", "log_sigmoid_forward", "zero", "zero_", "relu_", "gelu"):
        yield sample(getattr(aten, name), t(4, 6))
    for name in ("bernoulli_", "cauchy_", "exponential_", "log_normal_", "normal_", "random_", "uniform_"):
        packet = getattr(aten, name)
        yield sample(packet.float if name == "bernoulli_" else packet, t(4, 6))
    yield sample(aten.geometric_, t(4, 6), 0.5)
    for name in ("bernoulli", "poisson"):
        yield sample(getattr(aten, name), torch.rand(4, 6))
    yield sample(aten.normal.Tensor_float, t(4, 6))
    yield sample(aten.uniform, t(4, 6))
    yield sample(aten.rrelu_with_noise, t(4, 6), t(4, 6), 0.1, 0.3, False)
    yield sample(aten.native_dropout, t(4, 6), 0.5, True)
    yield sample(aten._prelu_kernel, t(4, 6, 5), t(1, 6, 1))
    for name in ("complex", "polar", "floor_divide", "copy", "copy_"):
        yield sample(getattr(aten, name), t(4, 6), t(4, 6))
    yield sample(aten.add_.Tensor, t(4, 6), t(6))
    yield sample(aten.fill.Scalar, t(4, 6), 2.0)
    yield sample(aten.masked_fill.Scalar, t(4, 6), mask(6), 2.0)
    yield sample(aten.where.self, mask(4, 1), t(6), t(4, 6))
    yield sample(aten.lerp.Tensor, t(4, 6), t(6), t(4, 1))
    yield sample(aten.addcmul, t(4, 6), t(6), t(4, 1))
    chances = torch.rand(4, 6, dtype=torch.float64)
    for name in ("mse_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "binary_cross_entropy"):
        for reduction in (0, 1):
            extra = (None,) if name == "binary_cross_entropy" else ()
            yield sample(getattr(aten, name), chances, chances.flip(0), *extra, reduction)
    yield sample(aten.binary_cross_entropy_with_logits, t(4, 6), chances, t(6), None, 0)
    yield sample(aten.binary_cross_entropy_with_logits, t(4, 6), chances, None, None, 2)


# ------------------------------------------------------------------------------------------------------------- tests

# rows of the table that run on no other machine
ON_A_GPU = {
    "aten.convolution_overrideable",
    "aten.cudnn_batch_norm",
    "aten.miopen_batch_norm",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_fused_attention_overrideable",
}
# operations whose operands stay whole: what they make depends on every element, or on how many there are
WHOLE = frozenset(
    f"aten.{name}"
    for name in (
        *("equal", "allclose", "_is_all_true", "_is_any_true", "nonzero", "bincount", "histc", "masked_select"),
        *("_unique2", "unique_consecutive", "unique_dim", "repeat_interleave", "_local_scalar_dense"),
    )
) | {"torchvision.nms"}


def _by_name(samples: Iterator[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for call in samples:
        found[call.name].append(call)
    return found


with torch.random.fork_rng():
    torch.manual_seed(0)
    WRITTEN = _by_name(written())


@pytest.mark.parametrize("name", WRITTEN)
def test_cutting_commutes_with_the_operation(name: str) -> None:
    cuts = [check(call) for call in WRITTEN[name]]
    assert (max(cuts) == 0) == (name in WHOLE)


def test_cutting_commutes_with_every_call_that_models_make() -> None:
    calls = [call for function, calls in reached().items() if rule_for(function) for call in calls]
    assert sum(check(call) > 0 for call in calls) > 0.9 * len(calls) > 300


def test_every_operation_that_models_reach_has_a_rule() -> None:
    """Except those that make a tensor of nothing: their sizes are the code's."""
    without = [function for function in reached() if rule_for(function) is None]
    assert not [function for function in without if any(call.tensors() for call in reached()[function])]


def test_every_row_of_the_table_is_checked() -> None:
    checked = {name.removesuffix("_") for name in WRITTEN}
    assert {name.removesuffix("_") for name in RULES} - checked - ON_A_GPU == {"pointwise"}
    assert not ON_A_GPU & checked


def _pointwise_calls() -> Iterator[Sample]:
    """Every operation that torch tags as point-wise and that takes tensors and nothing else."""
    torch.manual_seed(0)
    for name in dir(aten):
        function = getattr(getattr(aten, name), "default", None) or getattr(getattr(aten, name), "Tensor", None)
        if not isinstance(function, torch._ops.OpOverload) or torch.Tag.pointwise not in function.tags:
            continue
        needed = [a for a in function._schema.arguments if not a.has_default_value()]
        if needed and all(str(argument.type) == "Tensor" for argument in needed):
            shapes = ((4, 6), (6,), (4, 1))
            yield Sample(function, tuple(t(*shape).abs() for shape in shapes[: len(needed)]))


def test_what_torch_calls_pointwise_is_pointwise() -> None:
    done = 0
    for call in _pointwise_calls():
        try:
            call.with_tensors(torch.clone).run()
        except RuntimeError:
            continue  # it takes integers
        if call.name not in WHOLE:
            assert check(call), call
            done += 1
    assert done > 100


@pytest.mark.parametrize("name", ["aten.convolution", "aten.mm", "aten.bmm", "aten.addmm", "aten.baddbmm"])
def test_costs_are_those_that_torch_counts(name: str) -> None:
    """Multiply-accumulates are half of torch's operations, before a cut and after it."""
    for call in WRITTEN[name]:
        case = labelled(call, every_dimension)
        for coupling in couplings_of(case.space):
            gone = _some_units(case, coupling, np.random.default_rng(0))
            for removed in (np.zeros_like(gone), gone):
                left = _Left(case, removed)
                terms = [term.factor * math.prod(left.size(dim, 0) for dim in term.dims) for term in case.space.terms]
                with FlopCounterMode(display=False) as counter:
                    _run(case, removed, zero=np.zeros_like(gone))
                assert 2 * sum(terms) == counter.get_total_flops()


MOVES = tuple(
    f"aten.{name}"
    for name in (
        *("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "unsqueeze", "squeeze", "flip", "rot90"),
        *("slice", "split", "split_with_sizes", "chunk", "select", "unbind", "repeat", "channel_shuffle", "as_strided"),
        *("pixel_shuffle", "pixel_unshuffle", "im2col", "diagonal", "roll", "cat", "stack"),
    )
)


@pytest.mark.parametrize("name", MOVES)
def test_labels_say_where_every_element_came_from(name: str) -> None:
    """Move the numbers of a dimension's indices: where a dimension of the result has labels, they say the same."""
    for call in WRITTEN[name]:
        case = labelled(call, every_dimension)
        for n, operand in enumerate(call.tensors()):
            for d, dim in enumerate(case.operands[n]):
                if isinstance(dim, Fixed):
                    continue
                numbers = torch.arange(1, dim.size + 1, dtype=operand.dtype)
                numbers = numbers.view([-1 if k == d else 1 for k in range(operand.dim())]).expand_as(operand)
                _compare_numbers(case, dim, _with_operand(call, n, numbers.contiguous()).run())


def _with_operand(call: Sample, position: int, values: Tensor) -> Sample:
    """These values for one operand and zeros for the others."""
    count = iter(range(len(call.tensors())))
    return call.with_tensors(lambda tensor: values if next(count) == position else torch.zeros_like(tensor))


def _compare_numbers(case: Labelled, source: Vector, moved: Sequence[Tensor]) -> None:
    number = {label: n for n, label in enumerate(source.tolist(), start=1)}
    for dims, values in zip(case.outputs, moved, strict=True):
        for d, dim in enumerate(dims):
            if isinstance(dim, Fixed):
                continue
            for index, label in enumerate(dim.tolist()):
                allowed = {number[base] for base in _bases(case.space, label) if base in number}
                found = {int(value) for value in values.select(d, index).unique()} - {0}
                if allowed and not found <= allowed:
                    raise Violation(f"index {index} of {case.call} holds {found}, its label says {allowed}")


def _bases(space: LabelSpace, label: int) -> set[int]:
    """The label, the elements of its row or column, the row and column of an element."""
    found = {label}
    for grid in space.grids:
        elements = grid.elements.reshape(grid.rows.size, grid.columns.size)
        for row, column in np.argwhere(elements == label).tolist():
            found |= {int(grid.rows[row]), int(grid.columns[column])}
        found.update(elements[grid.rows == label].reshape(-1).tolist())
        found.update(elements[:, grid.columns == label].reshape(-1).tolist())
    return found


def test_an_operation_that_writes_into_another_tensor_has_no_rule() -> None:
    assert rule_for(aten.add.out) is None
    assert rule_for(aten.add.Tensor) is rule_for(aten.add_.Tensor) is RULES["pointwise"]


# ---------------------------------------------------------------------------------------------- wrong rules are caught


def _without_joins(rule: Rule) -> Rule:
    def wrong(call: Call) -> Sequence[Dims]:
        edges = len(call.space.edges)
        result = rule(call)
        del call.space.edges[edges:]
        return result

    return wrong


def _without_locks(rule: Rule) -> Rule:
    def wrong(call: Call) -> Sequence[Dims]:
        result = rule(call)
        call.space.locks.clear()
        return result

    return wrong


def _reversed(rule: Rule) -> Rule:
    """Labels in the wrong order along every dimension."""

    def wrong(call: Call) -> Sequence[Dims]:
        return [tuple(dim if isinstance(dim, Fixed) else dim[::-1] for dim in dims) for dims in rule(call)]

    return wrong


def _unlabelled(rule: Rule) -> Rule:
    """No labels on the result: what becomes of it is not seen."""

    def wrong(call: Call) -> Sequence[Dims]:
        return [tuple(BUSY for _ in dims) for dims in rule(call)]

    return wrong


WRONG = (
    *(
        (_without_joins, name)
        for name in ("convolution", "addmm", "bmm", "native_layer_norm", "cat", "index_add", "add_")
    ),
    *((_without_locks, name) for name in ("_softmax", "select", "embedding", "index", "col2im", "roll", "cumprod")),
    *((_reversed, name) for name in ("view", "permute", "cat", "split", "channel_shuffle", "flip", "mm", "repeat")),
    *((_unlabelled, name) for name in ("view", "convolution", "add_", "sum", "native_group_norm", "im2col", "gather")),
)


@pytest.mark.parametrize(("spoil", "name"), WRONG)
def test_a_wrong_rule_is_caught(spoil: Callable[[Rule], Rule], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = "pointwise" if name == "add_" else f"aten.{name}"
    monkeypatch.setitem(RULES, row, spoil(RULES[row]))
    with pytest.raises(Violation):
        sum(check(call) for call in WRITTEN[f"aten.{name}"])


def test_labels_that_move_wrongly_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "aten.view", _reversed(RULES["aten.view"]))
    with pytest.raises(Violation, match="its label says"):
        test_labels_say_where_every_element_came_from("aten.view")
