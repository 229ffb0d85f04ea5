"""The paper's matrices: what is reached through D is a group, and G says which."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from prunescope.core import DependencyGraph
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


def test_what_is_reached_through_d_is_what_g_puts_together_where_every_side_has_one_group() -> None:
    found = matrices(GRAPHS["digits-resnet"]())
    _, component = connected_components(found.dependency)
    together = component[:, None] == component[None, :]
    assert np.array_equal(together, found.grouping != NONE)
