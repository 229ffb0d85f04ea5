"""Group sparsity: the gradient of the penalty, and what training with it does to the units."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from prunescope.core import plan, prune, score, trace
from prunescope.core.errors import BadInput
from prunescope.core.sparsity import GroupSparsity
from tests.core.torch_pruning_scores import LABELS, Network, X, loss
from tests.models import flattened


def importance_by_hand(model: nn.Sequential) -> torch.Tensor:
    conv, norm, after = model[0], model[1], model[3]
    parts = [conv.weight.square().sum((1, 2, 3)), conv.bias.square(), norm.weight.square(), norm.bias.square()]
    return torch.stack([*parts, after.weight.square().sum((0, 2, 3))]).sum(0)


def test_what_is_added_is_the_gradient_of_the_penalty() -> None:
    model = flattened().eval()
    sparsity = GroupSparsity(trace(model, torch.randn(1, 3, 8, 8)), strength=0.1, groups=["0"])
    (penalty,) = sparsity.update()
    values = importance_by_hand(model)
    torch.testing.assert_close(penalty.importance, values.detach())
    behind = (values.max() - values) / (values.max() - values.min())
    torch.testing.assert_close(penalty.gamma, torch.exp2(4 * behind).detach())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    sparsity.regularise()
    added = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    (0.5 * 0.1 * (penalty.gamma * importance_by_hand(model)).sum()).backward()
    for name, parameter in model.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(added[name], expected)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_units_that_are_all_equal_are_pulled_alike_and_nothing_becomes_nan(value: float) -> None:
    model = Network(norm=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    sparsity = GroupSparsity(trace(model, X))
    assert all(bool((penalty.gamma == 1).all()) for penalty in sparsity.update())
    loss(model, (X, LABELS)).backward()
    sparsity.regularise()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_growing_penalties_grow_with_every_update_for_what_matters_less() -> None:
    sparsity = GroupSparsity(trace(Network(norm=True), X), growth=0.5)
    first, second = (sparsity.update()[0] for _ in range(2))
    behind = (first.importance.max() - first.importance) / (first.importance.max() - first.importance.min())
    torch.testing.assert_close(first.gamma, 1 + 0.5 * behind)
    torch.testing.assert_close(second.gamma, 1 + behind)


def test_every_update_is_on_record_for_every_group() -> None:
    graph = trace(Network(norm=True), X)
    sparsity = GroupSparsity(graph)
    sparsity.update()
    sparsity.update()
    assert [(p.update, p.group) for p in sparsity.history] == [(n, g.name) for n in (1, 2) for g in graph.groups]


def test_trained_with_it_units_fade_and_a_cut_costs_less() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 10)
    y = (x[:, 0] * x[:, 1] > 0).long() + 2 * (x[:, 2] > 0).long()
    rise = {}
    for strength in (0.0, 3e-2):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4))
        sparsity = GroupSparsity(trace(model, x[:2]), strength=strength)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(30):
            sparsity.update()
            for start in range(0, 256, 64):
                optimizer.zero_grad()
                functional.cross_entropy(model(x[start : start + 64]), y[start : start + 64]).backward()
                sparsity.regularise()
                optimizer.step()
        graph = trace(model, x[:2])
        cut = prune(model, plan(graph, score(graph), 0.6)).model
        with torch.no_grad():
            rise[strength] = float(functional.cross_entropy(cut(x), y) - functional.cross_entropy(model(x), y))
    assert rise[3e-2] < rise[0.0] / 2


def test_numbers_out_of_range_are_refused() -> None:
    graph = trace(Network(norm=True), X)
    with pytest.raises(BadInput, match=r"strength=-1, alpha=nan|strength=-1"):
        GroupSparsity(graph, strength=-1)
    with pytest.raises(BadInput, match="alpha"):
        GroupSparsity(graph, alpha=float("nan"))
