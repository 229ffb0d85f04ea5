"""Operations that run over some dimensions and leave the others alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunescope.core.labels import ONE_INDEX, Dim, Dims, Fixed
from prunescope.core.rules.table import Call, operation_name, register


@register(
    "aten.mean",
    "aten.sum",
    "aten.amax",
    "aten.amin",
    "aten.max",
    "aten.min",
    "aten.var",
    "aten.std",
    "aten.var_mean",
    "aten.norm",
    "aten.linalg_vector_norm",
    "aten.logsumexp",
    "aten.std_mean",
    "aten.aminmax",
    "aten.nansum",
    "aten.count_nonzero",
    "aten.all",
    "aten.any",
    "aten._is_all_true",
    "aten._is_any_true",
)
def reduce(call: Call) -> Sequence[Dims]:
    """The reduced dimensions go. The result depends on all units of them: it will be that of the units left."""
    for d, dim in _reduced(call).items():
        call.space.statistic(dim, d)
    return _without(call)


@register(
    "aten.argmax",
    "aten.argmin",
    "aten.prod",
    "aten.median",
    "aten.nanmedian",
    "aten.mode",
    "aten.kthvalue",
)
def choose(call: Call) -> Sequence[Dims]:
    """The result is a position, or stands for all units: they are locked."""
    for dim in _reduced(call).values():
        call.space.lock(dim, f"{operation_name(call.function)} runs over it")
    return _without(call)


def _reduced(call: Call) -> dict[int, Dim]:
    dims = call.labels(call.tensors[0])
    return {d: dims[d] for d in _chosen(call, len(dims))}


def _without(call: Call) -> Sequence[Dims]:
    dims = call.labels(call.tensors[0])
    chosen = set(_chosen(call, len(dims)))
    keep = bool(call.arguments.get("keepdim"))
    result: list[Dim] = [ONE_INDEX if d in chosen else dim for d, dim in enumerate(dims) if keep or d not in chosen]
    return [tuple(result)] * len(call.outputs)


@register("aten._softmax", "aten._safe_softmax", "aten.softmax")
def shares(call: Call) -> Sequence[Dims]:
    """Every index gets its share among those that are left."""
    dims = call.labels(call.tensors[0])
    if dims:
        position = call["dim"] % len(dims)
        call.space.compete(dims[position], position)
    return [dims]


@register("aten._sample_dirichlet")
def drawn_shares(call: Call) -> Sequence[Dims]:
    """Shares of one whole along the last dimension, drawn at random."""
    dims = call.labels(call.tensors[0])
    call.space.compete(dims[-1], len(dims) - 1)
    return [dims]


@register(
    "aten._log_softmax",
    "aten.log_softmax",
    "aten.cumsum",
    "aten.cumprod",
    "aten.cummax",
    "aten.cummin",
    "aten.logcumsumexp",
)
def along(call: Call) -> Sequence[Dims]:
    """The shape stays, but every result along the dimension depends on all of it."""
    dims = call.labels(call.tensors[0])
    if dims:
        call.space.lock(dims[call["dim"]], f"{operation_name(call.function)} runs over it")
    return [dims] * len(call.outputs)


@register("aten._fft_r2c", "aten._fft_c2c", "aten._fft_c2r")
def fourier(call: Call) -> Sequence[Dims]:
    """Every result along the transformed dimensions depends on all of them."""
    dims = list(call.labels(call.tensors[0]))
    for d in call["dim"]:
        call.space.lock(dims[d], f"{operation_name(call.function)} runs over it")
        dims[d] = Fixed(f"{operation_name(call.function)} runs over it")
    return [tuple(dims)]


def _chosen(call: Call, rank: int) -> Iterable[int]:
    asked = call.arguments.get("dim")
    if asked is None or asked == [] or rank == 0:
        return range(rank)
    return [d % rank for d in ([asked] if isinstance(asked, int) else asked)]


@register(
    "aten.equal",
    "aten.allclose",
    "aten.nonzero",
    "aten.bincount",
    "aten.histc",
    "aten.masked_select",
    "aten._unique2",
    "aten.unique_consecutive",
    "aten.unique_dim",
    "aten.repeat_interleave",
)
def together(call: Call) -> Sequence[Dims]:
    """The result, or its size, is made of all values together."""
    reason = f"{operation_name(call.function)} takes all of it together"
    for tensor in call.tensors:
        for dim in call.labels(tensor):
            call.space.lock(dim, reason)
    return [tuple(Fixed(reason) for _ in tensor.shape) for tensor in call.outputs]


@register(
    "aten.linalg_inv_ex",
    "aten.linalg_matrix_exp",
    "aten.linalg_cholesky_ex",
    "aten.linalg_qr",
    "aten._linalg_eigh",
    "aten._linalg_svd",
    "aten._linalg_det",
    "aten._linalg_slogdet",
)
def matrices(call: Call) -> Sequence[Dims]:
    """A matrix is taken as a whole, those of a batch each by itself."""
    before = call.tensors[0]
    *batch, rows, columns = call.labels(before)
    reason = f"{operation_name(call.function)} takes the matrix as a whole"
    for dim in (rows, columns):
        call.space.lock(dim, reason)
    kept = len(batch)
    return [
        (*batch, *(Fixed(reason) for _ in tensor.shape[kept:]))
        if tensor.shape[:kept] == before.shape[:kept]
        else tuple(Fixed(reason) for _ in tensor.shape)
        for tensor in call.outputs
    ]
