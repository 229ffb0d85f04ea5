"""What a page counts the costs of a cut with, while the slider moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prunescope.core import DependencyGraph, Group
from prunescope.core.cost import CountedDim, DimCounter, Product, ledger
from prunescope.core.fitting import size_ties
from prunescope.core.importance import Scores
from prunescope.core.plan import cut_groups
from prunescope.core.ranking import Scope, classes, ranking
from prunescope.core.sensitivity import Sensitivity, removal_order
from prunescope.core.targets import COUNTED, rounding_steps
from prunescope.explorer.layers import output_units


def ledger_record(
    graph: DependencyGraph,
    scores: Scores,
    ranked: Scope = "local",
    round_to: int = 1,
    swept: Sensitivity | None = None,
) -> dict[str, Any]:
    """What the page needs to say parameters and MACs while the slider moves, for cuts of the least important units.

    Returns:
        `dims`: [size, [[group, n], ...]] where n is how many indices each removed unit takes, or a list: how many the
        first 0, 1, 2 ... removed units take together. `parameters`, `macs`, `bytes`: [factor, dim, dim, ...], to be
        summed. `sizes`: group -> K. `all`: the groups that a cut of the whole model takes. `classes`: of each set of
        groups whose units are ranked together their number, and the group of each unit in the order in which they go,
        or the only group. `steps`: group -> the multiple in which its units stay, where that is not 1. `widths`: as
        `dims`, of the layers' outputs; `layers`: layer -> position in `widths`. Where a sweep is given, it ranks all
        units together. `tied`: whether the model's code has sizes that a cut has to be fitted to.
    """
    book, groups = ledger(graph), cut_groups(graph)
    order = {group.index: scores[group.name].argsort(stable=True).numpy() for group in graph.groups}
    counter = DimCounter(graph)
    layers = {
        layer.name: counter.position(units) for layer in graph.layers if (units := output_units(layer)) is not None
    }
    return {
        "dims": [_dim_record(dim, order) for dim in book.dims],
        **{name: [_product_record(product) for product in getattr(book, name)] for name in (*COUNTED, "activations")},
        "widths": [_dim_record(dim, order) for dim in counter.dims],
        "layers": layers,
        "sizes": {str(group.index): group.size for group in graph.groups},
        "all": [group.index for group in groups],
        "classes": [_swept_record(graph, swept)]
        if swept
        else [_class_record(graph, scores, peers) for peers in classes(graph, groups, ranked)],
        "tied": bool(size_ties(graph).uses),
        "steps": {str(g): step for g, step in rounding_steps(graph, round_to).items() if step > 1},
    }


def _class_record(graph: DependencyGraph, scores: Scores, peers: Sequence[Group]) -> list[Any]:
    total = sum(group.size for group in peers)
    if len(peers) == 1:
        return [total, peers[0].index]
    times = ranking(graph, scores, peers, "global", most={g.index: g.size - 1 for g in peers}, fixed={}).times
    owner = np.repeat(list(times), [found.size for found in times.values()])
    return [total, owner[np.argsort(np.concatenate(list(times.values())), kind="stable")].tolist()]


def _swept_record(graph: DependencyGraph, swept: Sensitivity) -> list[Any]:
    order = [graph.groups_by_name[name].index for name in removal_order(graph, swept)]
    return [len(order), order]


def _dim_record(dim: CountedDim, order: Mapping[int, Any]) -> list[Any]:
    parts: list[Any] = []
    for group, counts in dim.parts:
        uniform = bool((counts == counts[0]).all())
        taken = int(counts[0]) if uniform else [0, *np.cumsum(counts[order[group]]).tolist()]
        parts.append([group, taken])
    return [dim.size, parts]


def _product_record(product: Product) -> list[int]:
    return [product.factor, *product.dims]
