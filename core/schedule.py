"""Pruning in steps: trace, score and cut again, with time to recover in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from prunescope.core.cost import ledger
from prunescope.core.errors import BadPlan
from prunescope.core.graph import DependencyGraph
from prunescope.core.importance import Scores, score
from prunescope.core.plan import Plan
from prunescope.core.surgery import Pruned, prune
from prunescope.core.targets import COUNTED, plan
from prunescope.core.timing import latency
from prunescope.core.trace import trace


@dataclass(frozen=True)
class Step:
    """One cut of several."""

    number: int  # from 1
    of: int
    pruned: Pruned


def prune_in_steps(
    model: nn.Module,
    example_inputs: Any,
    steps: int,
    *,
    rate: Callable[[DependencyGraph], Scores] = score,
    recover: Callable[[nn.Module], None] | None = None,
    **options: Any,
) -> Iterator[Step]:
    """Cut in steps of equal proportion, each traced, scored and verified anew. `model` is never changed.

    Args:
        model: The original.
        example_inputs: As `trace` takes them.
        steps: How many cuts at most; one that would remove nothing is left out.
        rate: Gives the scores of each step's graph, for example lambda graph: score(graph, "taylor", batches=...).
        recover: Called with each new model, in place, before it is cut again: fine-tuning or re-estimation.
        options: As `plan` takes them, the target among them; it is what holds after the last step, against `model`.

    Yields:
        Each cut, before `recover` is called on its model.

    Raises:
        BadPlan: fewer than one step, or what `plan` raises.
    """
    if steps < 1:
        raise BadPlan(
            asked=f"prune in {steps} steps",
            found="there has to be at least one",
            where="argument steps",
            what_to_do="give for example steps=5",
        )
    graph = original = trace(model, example_inputs)
    for number in range(1, steps + 1):
        made = _plan(original, graph, rate(graph), number / steps, options)
        if not made.removals:
            continue
        pruned = prune(graph.model, made, example_inputs=example_inputs)
        yield Step(number, steps, pruned)
        if recover is not None:
            recover(pruned.model)
        graph = trace(pruned.model, example_inputs)


def _plan(
    original: DependencyGraph, graph: DependencyGraph, scores: Scores, part: float, options: Mapping[str, Any]
) -> Plan:
    """The plan of the step that ends at this part of the way."""
    options = dict(options)
    for name in {*COUNTED, "latency"} & set(options):
        wanted = options.pop(name)
        # what is out of range is for `plan` to refuse
        options[name] = min(wanted**part / _left(original, graph, name), 1.0) if 0 < wanted <= 1 else wanted
    ratio = options.pop("ratio", None)
    if ratio is None:
        return plan(graph, scores, **options)
    gone = 1 - (1 - ratio) ** part if 0 <= ratio < 1 else ratio
    if options.get("scope", "local") != "local":
        before, now = (sum(group.size for group in g.groups) for g in (original, graph))
        return plan(graph, scores, max(0.0, 1 - (1 - gone) * before / now), **options)
    # counted against the original, or rounding down at every step would leave too much
    sizes = {group.name: group.size for group in original.groups}
    shares = {
        group.name: max(0, group.size - (sizes[group.name] - int(sizes[group.name] * gone + 1e-9))) / group.size
        for group in graph.groups
        if group.name in sizes
    }
    return plan(graph, scores, gone, **{**options, "ratios": {**shares, **options.get("ratios", {})}})


def _left(original: DependencyGraph, graph: DependencyGraph, name: str) -> float:
    """The share of the original's that the graph's model has."""
    if graph is original:
        return 1.0
    if name == "latency":
        before, now = latency([original.model, graph.model], original.example_inputs)
        return now.median_ms / before.median_ms
    before_of, now_of = (ledger(g).amount(name, {}) for g in (original, graph))  # type: ignore[arg-type]
    return now_of / before_of
