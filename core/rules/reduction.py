"""Operations that run over some dimensions and leave the others alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunescope.core.labels import NEIGHBOURS, ONE_INDEX, POSITIONS, Dim, Dims, Fixed
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
)
def reduce(call: Call) -> Sequence[Dims]:
    """The reduced dimensions go. The result depends on all units of them: it will be that of the units left."""
    for d, dim in _reduced(call).items():
        call.space.statistic(dim, d)
    return _without(call)


@register("aten.argmax", "aten.argmin", "aten.all", "aten.any", "aten.prod", "aten.median", "aten.mode")
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


@register(
    "aten._softmax",
    "aten._safe_softmax",
    "aten._log_softmax",
    "aten.softmax",
    "aten.log_softmax",
    "aten.cumsum",
    "aten.cumprod",
)
def along(call: Call) -> Sequence[Dims]:
    """The shape stays, but every result along the dimension depends on all of it."""
    dims = call.labels(call.tensors[0])
    if dims:
        call.space.lock(dims[call["dim"]], f"{operation_name(call.function)} runs over it")
    return [dims]


@register("aten._fft_r2c", "aten._fft_c2c", "aten._fft_c2r")
def fourier(call: Call) -> Sequence[Dims]:
    """Every result along the transformed dimensions depends on all of them."""
    dims = list(call.labels(call.tensors[0]))
    for d in call["dim"]:
        call.space.lock(dims[d], f"{operation_name(call.function)} runs over it")
        dims[d] = Fixed(f"{operation_name(call.function)} runs over it")
    return [tuple(dims)]


@register(
    "aten.max_pool2d_with_indices",
    "aten.max_pool3d_with_indices",
    "aten.avg_pool1d",
    "aten.avg_pool2d",
    "aten.avg_pool3d",
    "aten._adaptive_avg_pool2d",
    "aten._adaptive_avg_pool3d",
    "aten.adaptive_max_pool2d",
    "aten.adaptive_max_pool3d",
    "aten.upsample_nearest1d",
    "aten.upsample_nearest2d",
    "aten.upsample_nearest3d",
    "aten._upsample_nearest_exact2d",
    "aten.upsample_linear1d",
    "aten.upsample_bilinear2d",
    "aten._upsample_bilinear2d_aa",
    "aten.upsample_bicubic2d",
    "aten.upsample_trilinear3d",
    "aten.reflection_pad1d",
    "aten.reflection_pad2d",
    "aten.replication_pad2d",
)
def spatial(call: Call) -> Sequence[Dims]:
    """(..., C, *positions): batch and channels pass, the positions change."""
    before, after = call.tensors[0], call.outputs[0]
    positions = sum(1 for old, new in zip(before.shape, after.shape, strict=True) if old != new)
    positions = max(positions, len(_size_argument(call)))
    dims = call.labels(before)
    for dim in dims[before.dim() - positions :]:
        call.space.lock(dim, NEIGHBOURS)
    result = (*dims[: before.dim() - positions], *(POSITIONS for _ in range(positions)))
    return [result] * len(call.outputs)


def _size_argument(call: Call) -> Sequence[int]:
    for name in ("kernel_size", "output_size"):
        value = call.arguments.get(name)
        if value is not None:
            return [value] if isinstance(value, int) else value
    return ()


def _chosen(call: Call, rank: int) -> Iterable[int]:
    asked = call.arguments.get("dim")
    if asked is None or asked == []:
        return range(rank)
    return [d % max(rank, 1) for d in ([asked] if isinstance(asked, int) else asked)]
