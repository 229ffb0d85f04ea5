"""A layer cut alone: torch itself says what breaks; the whole group cut together runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunescope.core import DependencyGraph, plan_units, prune, trace
from prunescope.core.errors import BadPlan
from prunescope.core.naive import cut_alone
from prunescope.explorer.gallery import open_model
from tests.models import flattened, image


@pytest.fixture(scope="module")
def graph() -> DependencyGraph:
    opened = open_model("digits-resnet")
    return trace(opened.model, opened.example_inputs)


def sliced_by_hand(graph: DependencyGraph, units: list[int]) -> Exception:
    """What torch raises where the first convolution of a new model of the class has fewer channels."""
    model = type(graph.model)().eval()
    stays = [unit for unit in range(16) if unit not in units]
    model.layer1[0].conv1.weight = nn.Parameter(model.layer1[0].conv1.weight[stays])
    with pytest.raises(RuntimeError) as caught:
        model(graph.example_inputs)
    return caught.value


def test_a_layer_cut_alone_breaks_with_the_error_that_torch_raises_for_weights_sliced_by_hand(
    graph: DependencyGraph,
) -> None:
    group = graph.group("layer1.0.conv1")
    found = cut_alone(graph, group, "layer1.0.conv1", [0, 1, 2])
    assert found.error == f"RuntimeError: {sliced_by_hand(graph, [0, 1, 2])}"
    assert found.module == "layer1.0.bn1"
    assert found.source.startswith("models.py:")
    assert [(each.parameter, each.before[0], each.after[0]) for each in found.sliced] == [
        ("layer1.0.conv1.weight", 16, 13)
    ]
    assert prune(graph.model, plan_units(graph, {group.name: [0, 1, 2]})).verification is not None


def test_every_layer_of_every_group_breaks_alone_and_leaves_the_model_as_it_was(graph: DependencyGraph) -> None:
    before = {name: tensor.clone() for name, tensor in graph.model.state_dict().items()}
    for group in graph.groups:
        for layer in group.layers:
            assert not cut_alone(graph, group, layer, [0]).runs
    assert all(torch.equal(tensor, before[name]) for name, tensor in graph.model.state_dict().items())


class Alone(nn.Module):
    """Two matrices of one parameter multiplied with each other: no other layer has a part in the hidden features."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(4, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.down.T @ self.up.T


def test_the_only_layer_of_a_group_runs_alone() -> None:
    graph = trace(Alone(), torch.randn(1, 8))
    (group,) = graph.groups
    found = cut_alone(graph, group, "", [1, 3])
    assert found.runs
    assert found.alone


@pytest.mark.parametrize(("layer", "units"), [("5", [0]), ("0", []), ("0", list(range(8)))])
def test_a_layer_outside_the_group_and_a_cut_of_nothing_or_all_are_refused(layer: str, units: list[int]) -> None:
    graph = trace(flattened(), image())
    with pytest.raises(BadPlan) as caught:
        cut_alone(graph, graph.group("0"), layer, units)
    assert all(part in str(caught.value) for part in ("Asked:", "Where:", "What to do:"))
