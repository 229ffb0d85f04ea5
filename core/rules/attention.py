"""Fused attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from prunescope.core.labels import Dim, Dims, Fixed
from prunescope.core.rules.elementwise import joined
from prunescope.core.rules.normalisation import PER_CHANNEL
from prunescope.core.rules.table import Call, register


@register(
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_fused_attention_overrideable",
)
def scaled_dot_product(call: Call) -> Sequence[Dims]:
    """q and k (batch, heads, tokens, width), v (batch, heads, tokens, width of v) -> as q, with the width of v."""
    q, k, v = (call.labels(call[name]) for name in ("query", "key", "value"))
    batch: list[Dim] = [_heads(call, q, k, v, d) for d in range(len(q) - 2)]
    _join_mask(call, (*batch, q[-2], k[-2]))
    call.space.join(q[-1], k[-1])
    call.space.join(k[-2], v[-2])
    call.space.lock(k[-2], "attention's softmax runs over it")
    if call.arguments.get("is_causal"):
        call.space.lock(q[-2], "attention masks by its position")
    _count(call, batch, q, k, v)
    first = (*batch, q[-2], v[-1])
    return [first, *(_statistics(call, tensor, first) for tensor in call.outputs[1:])]


def _statistics(call: Call, tensor: Tensor, first: Dims) -> Dims:
    """The sum of every query's weights, for the backward pass; what else there is has no units."""
    of_queries = tensor.shape == call["query"].shape[:-1]
    return first[:-1] if of_queries else tuple(PER_CHANNEL for _ in tensor.shape)


def _join_mask(call: Call, scores: Dims) -> None:
    """A mask or bias is added to the scores (batch, heads, tokens, tokens); it may have fewer dimensions."""
    mask = call.arguments.get("attn_mask", call.arguments.get("attn_bias"))
    if mask is None:
        return
    dims = call.labels(mask)
    for d in range(-len(dims), 0):
        if mask.shape[d] != 1:
            call.space.join(scores[d], dims[d])


def _heads(call: Call, q: Dims, k: Dims, v: Dims, d: int) -> Dim:
    """Where several heads of q share one of k and v (grouped-query attention), they go together."""
    query, key = call["query"], call["key"]
    share = query.shape[d] // max(key.shape[d], 1)
    others = [dim if isinstance(dim, Fixed) else np.repeat(dim, share) for dim in (k[d], v[d])]
    return joined(call.space, [q[d], *others])


def _count(call: Call, batch: Sequence[Dim], q: Dims, k: Dims, v: Dims) -> None:
    query, key, value = call["query"], call["key"], call["value"]
    outer = [*zip(batch, query.shape[:-2], strict=True), (q[-2], query.shape[-2]), (k[-2], key.shape[-2])]
    call.space.multiply_accumulates(1, [*outer, _width(q[-1], k[-1], query)])
    call.space.multiply_accumulates(1, [*outer, (v[-1], value.shape[-1])])


def _width(one: Dim, other: Dim, query: Tensor) -> tuple[Dim, int]:
    return (other if isinstance(one, Fixed) else one), query.shape[-1]
