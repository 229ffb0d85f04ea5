"""Pruning in steps: the target holds after the last step, against the original."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from prunescope.core import score, trace
from prunescope.core.errors import BadPlan
from prunescope.core.measure import macs, parameters
from prunescope.core.schedule import prune_in_steps
from tests.core.torch_pruning_scores import LABELS, Network, X, loss


def test_a_ratio_in_steps_leaves_as_many_units_as_in_one_cut() -> None:
    model = Network(norm=True).eval()
    steps = list(prune_in_steps(model, X, 5, ratio=0.5))
    sizes = {group.name: group.size for group in trace(steps[-1].pruned.model, X).groups}
    assert sizes == {"first": 4, "hidden": 6}
    assert len(steps) > 2


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_target_in_steps_is_met_by_the_last_and_approached_by_the_others(scope: Any) -> None:
    model = Network(norm=True).eval()
    left = [macs(step.pruned.model, X) for step in prune_in_steps(model, X, 4, macs=0.3, scope=scope)]
    assert left == sorted(left, reverse=True)
    assert left[-1] <= 0.3 * macs(model, X)
    assert all(now > 0.3 * macs(model, X) for now in left[:-1])


def test_a_global_ratio_in_steps_counts_against_the_original() -> None:
    model = Network(norm=True).eval()
    *_, last = prune_in_steps(model, X, 3, ratio=0.5, scope="global")
    assert sum(group.size for group in trace(last.pruned.model, X).groups) == 10


def test_each_step_is_scored_on_the_model_that_was_recovered() -> None:
    seen: list[int] = []

    def rate(graph: Any) -> Any:
        seen.append(parameters(graph.model))
        assert not seen[1:] or bool((graph.model.out.weight == 7).all())
        return score(graph, "taylor", batches=[(X, LABELS)], loss=loss)

    def recover(model: nn.Module) -> None:
        with torch.no_grad():
            model.get_parameter("out.weight").fill_(7)

    model = Network(norm=True).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    list(prune_in_steps(model, X, 3, rate=rate, recover=recover, parameters=0.4))
    assert len(seen) == 3
    assert seen == sorted(seen, reverse=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("steps", "options"), [(0, {"ratio": 0.5}), (2, {}), (2, {"macs": 2.0}), (2, {"ratio": 1.0})])
def test_what_cannot_be_done_in_steps_is_refused(steps: int, options: dict[str, Any]) -> None:
    with pytest.raises(BadPlan):
        list(prune_in_steps(Network(norm=True), X, steps, **options))
