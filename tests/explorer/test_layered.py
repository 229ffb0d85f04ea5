"""Laws of one level: ranks, order and columns."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from prunescope.explorer.layered import Level, Link, Widths, columns, level


def some_links(seed: int, count: int = 14, number: int = 24) -> list[Link]:
    choose = random.Random(seed)
    links = {tuple(sorted(choose.sample(range(count), 2))) for _ in range(number)}
    return [(source, target) for source, target in sorted(links)]


def spaced(placed: Level) -> list[float]:
    count = sum(len(row) for row in placed.rows)
    return columns(placed, Widths([100.0] * count, [20.0] * count, {}))


@pytest.mark.parametrize("seed", range(20))
def test_every_joint_goes_down_one_rank(seed: int) -> None:
    placed = level(14, some_links(seed), (), ())
    rank = {cell: number for number, row in enumerate(placed.rows) for cell in row}
    assert all(rank[lower] == rank[upper] + 1 for upper, lower in placed.joints)


@pytest.mark.parametrize("seed", range(20))
def test_columns_keep_the_order_and_the_room_between_neighbours(seed: int) -> None:
    placed = level(14, some_links(seed), (), ())
    x = spaced(placed)
    for row in placed.rows:
        assert all(x[right] - x[left] >= 120 - 1e-6 for left, right in pairwise(row))


def test_a_strand_is_straight() -> None:
    placed = level(6, [(n, n + 1) for n in range(5)] + [(0, 5)], (), ())
    x = spaced(placed)
    assert len({round(x[cell], 6) for cell in placed.strands[0]}) == 1
    assert len({round(x[node], 6) for node in range(6)}) == 1


def test_long_links_of_one_node_share_a_strand() -> None:
    placed = level(6, [(n, n + 1) for n in range(5)] + [(0, 3), (0, 4), (0, 5)], (), ())
    assert {node: len(cells) for node, cells in placed.strands.items()} == {0: 4}


def test_a_link_that_closes_a_cycle_runs_up_beside_its_ends() -> None:
    placed = level(3, [(0, 1), (1, 2), (2, 0)], (), ())
    assert placed.ranks == (1, 2, 3)
    assert len(placed.returns[2]) == 3


def test_entries_stand_above_and_exits_below() -> None:
    placed = level(5, [(3, 1), (0, 1), (1, 2), (0, 4)], {3}, {4})
    assert placed.ranks[3] == 0
    assert placed.ranks[4] == max(placed.ranks)
    assert all(0 < placed.ranks[node] < placed.ranks[4] for node in (0, 1, 2))


def test_crossings_that_can_be_avoided_are_avoided() -> None:
    placed = level(4, [(0, 3), (1, 2)], (), ())
    place = {cell: position for row in placed.rows for position, cell in enumerate(row)}
    assert (place[0] < place[1]) == (place[3] < place[2])
