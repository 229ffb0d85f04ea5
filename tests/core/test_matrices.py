"""The paper's matrices: what is reached through D is a group, and G says which."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import connected_components
from torch import nn

from prunescope.core import DependencyGraph, trace
from prunescope.core.matrices import NONE, matrices
from tests.explorer.traced import GRAPHS


@pytest.fixture(scope="module", params=["flattened", "digits-resnet", "digits-vit"])
def graph(request: pytest.FixtureRequest) -> DependencyGraph:
    return GRAPHS[request.param]()


def test_both_are_symmetric_and_depend_only_within_a_group(graph: DependencyGraph) -> None:
    found = matrices(graph)
    assert np.array_equal(found.dependency, found.dependency.T)
    assert np.array_equal(found.grouping, found.grouping.T)
    assert (found.grouping[found.dependency] != NONE).all()


def test_the_diagonal_of_g_is_the_group_of_the_side(graph: DependencyGraph) -> None:
    found = matrices(graph)
    named = {group.index: group for group in (*graph.groups, *graph.locked_groups)}
    for at, (layer, side) in enumerate(found.sides):
        held = [group for group in graph.groups_of(layer, side) if group.option == 0]
        assert named[found.grouping[at, at]] in held


def test_a_convolution_separates_its_sides_and_a_normalisation_joins_them() -> None:
    found = matrices(GRAPHS["digits-resnet"]())
    at = {side: number for number, side in enumerate(found.sides)}

    def depends(layer: str) -> bool:
        return bool(found.dependency[at[layer, "in"], at[layer, "out"]])

    assert not depends("layer1.0.conv1")
    assert depends("layer1.0.bn1")
    assert depends("layer1.0.relu")


class Shortcut(nn.Module):
    """Its middle layer's sides are in one group: a shortcut adds what goes in to what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.middle, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        out: torch.Tensor = self.head(x + self.middle(x))
        return out


def test_a_layer_whose_sides_are_in_one_group_has_two_schemes_all_the_same() -> None:
    found = matrices(trace(Shortcut(), torch.randn(1, 4)))
    at = {side: number for number, side in enumerate(found.sides)}
    into, out = at["middle", "in"], at["middle", "out"]
    assert found.grouping[into, out] != NONE
    assert not found.dependency[into, out]


def test_a_depthwise_convolution_has_one_scheme() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    found = matrices(trace(model, torch.randn(1, 3, 6, 6)))
    at = {side: number for number, side in enumerate(found.sides)}
    assert found.dependency[at["1", "in"], at["1", "out"]]


def test_what_is_reached_through_d_is_what_g_puts_together_where_every_side_has_one_group() -> None:
    found = matrices(GRAPHS["digits-resnet"]())
    _, component = connected_components(found.dependency)
    together = component[:, None] == component[None, :]
    assert np.array_equal(together, found.grouping != NONE)
