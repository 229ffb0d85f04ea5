"""Calls of operations: of every row of the table of rules, written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from prunescope.core.rules.table import operation_name, tensors_in

aten = torch.ops.aten


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
        others = {name: values[name] for name in names[len(self.positional) :] if name in values}
        return replace(self, positional=tuple(positional), keywords={**self.keywords, **others})

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
    yield sample(aten.repeat, t(4, 1), (1, 5))
    yield sample(aten._pack_padded_sequence, t(4, 3, 6), ints(4, 2, 1), False)
    yield sample(aten._pack_padded_sequence, t(3, 4, 6), ints(4, 2, 1), True)
    for first in (False, True):
        yield sample(aten._pad_packed_sequence, t(7, 6), ints(3, 2, 1, 1), first, 0.0, 4)
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
    # as wide as what it runs over
    for groups in (1, 3):
        weight = t(9, 6 // groups, 3, 5)
        yield sample(aten.convolution, t(4, 6, 7, 5), weight, t(9), (2, 1), (1, 0), (1, 1), False, (0, 0), groups)
    for shape, bias in (((4, 6), t(5)), ((2, 4, 6), t(5)), ((3, 4, 6), None), ((6,), t(5)), ((4, 6), t(1))):
        yield sample(aten.linear, t(*shape), t(5, 6), bias)
    yield sample(aten.mm, t(4, 6), t(6, 5))
    yield sample(aten.bmm, t(3, 4, 6), t(3, 6, 5))
    for added in ((5,), (4, 1), (4, 5)):
        yield sample(aten.addmm, t(*added), t(4, 6), t(6, 5))
    # a sparse left factor: the rule is that of addmm, which only asks for shapes
    yield sample(aten._sparse_addmm, t(4, 5), t(4, 6), t(6, 5))
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
    yield sample(aten.set_.default, t(4, 6))
    yield sample(aten.set_.source_Tensor, t(4, 6), t(5, 6, 3))
    yield sample(aten.renorm, t(4, 5, 6), 2.0, 1, 0.5)
    yield sample(aten.embedding_renorm_, t(7, 6), torch.tensor([[0, 3], [3, 5]]), 0.5, 2.0)
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


def _pools() -> Iterator[Sample]:
    for name, rank in (
        ("max_pool2d_with_indices", 2),
        ("max_pool3d_with_indices", 3),
        ("avg_pool1d", 1),
        ("avg_pool2d", 2),
        ("avg_pool3d", 3),
    ):
        yield sample(getattr(aten, name), t(4, 6, *[8] * rank), [3], [1], [1])
        # rows that are apart from each other, or every second one
        for step in (1, 2):
            yield sample(getattr(aten, name), t(4, 6, *[8] * rank), [1, *[3] * (rank - 1)], [step, *[2] * (rank - 1)])
    for name, rank in (
        ("_adaptive_avg_pool2d", 2),
        ("_adaptive_avg_pool3d", 3),
        ("adaptive_max_pool2d", 2),
        ("adaptive_max_pool3d", 3),
    ):
        yield sample(getattr(aten, name), t(4, 6, *[8] * rank), [8, *[3] * (rank - 1)])


def _positions() -> Iterator[Sample]:
    yield from _pools()
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
    yield sample(aten._standard_gamma, t(4, 6).exp())
    yield sample(aten._sample_dirichlet, t(4, 6).exp())
    yield sample(aten.binomial, torch.full((4, 6), 3.0, dtype=torch.float64), t(4, 6).sigmoid())
    for name in ("bernoulli", "poisson"):
        yield sample(getattr(aten, name), torch.rand(4, 6))
    yield sample(aten.normal.Tensor_float, t(4, 6))
    yield sample(aten.uniform, t(4, 6))
    yield sample(aten.rrelu_with_noise, t(4, 6), t(4, 6), 0.1, 0.3, False)
    yield sample(aten.native_dropout, t(4, 6), 0.5, True)
    yield sample(aten.fake_quantize_per_tensor_affine_cachemask, t(4, 6).float(), 0.1, 0, -128, 127)
    numbers = torch.tensor([0.1]), torch.tensor([0], dtype=torch.int32), torch.tensor([1])
    per_tensor = aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams
    yield sample(per_tensor, t(4, 6).float(), *numbers, -128, 127)
    steps, zeros = torch.linspace(0.1, 0.3, 6), torch.zeros(6, dtype=torch.int32)
    yield sample(aten.fake_quantize_per_channel_affine_cachemask, t(4, 6).float(), steps, zeros, 1, -128, 127)
    yield sample(aten._prelu_kernel, t(4, 6, 5), t(1, 6, 1))
    for name in ("complex", "polar", "floor_divide", "copy", "copy_"):
        yield sample(getattr(aten, name), t(4, 6), t(4, 6))
    yield sample(aten.add_.Tensor, t(4, 6), t(6))
    yield sample(aten.fill.Scalar, t(4, 6), 2.0)
    yield sample(aten.masked_fill.Scalar, t(4, 6), mask(6), 2.0)
    yield sample(aten.where.self, mask(4, 1), t(6), t(4, 6))
    yield sample(aten._foreach_add.List, [t(4, 6), t(3, 2)], [t(6), t(3, 1)], alpha=2)
    yield sample(aten._foreach_addcmul.Scalar, [t(4, 6), t(3, 2)], [t(4, 6), t(3, 2)], [t(6), t(2)], 0.5)
    yield sample(aten.lerp.Tensor, t(4, 6), t(6), t(4, 1))
    yield sample(aten.addcmul, t(4, 6), t(6), t(4, 1))
    chances = torch.rand(4, 6, dtype=torch.float64)
    for name in ("mse_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "binary_cross_entropy"):
        for reduction in (0, 1):
            extra = (None,) if name == "binary_cross_entropy" else ()
            yield sample(getattr(aten, name), chances, chances.flip(0), *extra, reduction)
    yield sample(aten.binary_cross_entropy_with_logits, t(4, 6), chances, t(6), None, 0)
    yield sample(aten.binary_cross_entropy_with_logits, t(4, 6), chances, None, None, 2)
