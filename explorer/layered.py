"""Layered drawing of one level: ranks from top to bottom, the order within a rank, and columns.

Nodes are numbered 0 to n - 1. A link that spans several ranks runs through *strand* cells, one in each rank
between. All long links of one node share one strand, for they carry the same tensor: the drawing shows one
line that is tapped on its way down, and the number of cells stays in the order of nodes times ranks even
where every layer reads every earlier one. A link that closes a cycle runs up a strand of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Link = tuple[int, int]
Rows = Sequence[Sequence[int]]
SWEEPS = 8


@dataclass(frozen=True)
class Level:
    """Who stands where, without sizes. Cells below `len(ranks)` are nodes, the others are strand cells."""

    ranks: tuple[int, ...]  # of each node, counted from the top
    rows: tuple[tuple[int, ...], ...]  # the cells of each rank, from left to right
    strands: Mapping[int, tuple[int, ...]]  # node -> its strand cells, one for each rank below the node
    returns: Mapping[int, tuple[int, ...]]  # node -> cells of its upward strand, from the node's own rank up
    joints: tuple[Link, ...]  # (upper cell, lower cell) of neighbouring ranks


def level(count: int, links: Sequence[Link], tops: Collection[int], bottoms: Collection[int]) -> Level:
    """Rank and order `count` nodes; `tops` stand above and `bottoms` below all the others."""
    back = _closing(count, links)
    forward = [link for link in links if link not in back]
    order = _topological(range(count), _grouped(forward))
    ranks = _ranks(order, forward, tops, bottoms)
    strands, returns = _strands(ranks, forward, back)
    joints = _joints(ranks, strands, returns, forward)
    rows = _first_rows(order, ranks, strands, returns)
    return Level(tuple(ranks), _untangled(rows, joints), strands, returns, tuple(joints))


def _closing(count: int, links: Sequence[Link]) -> set[Link]:
    """The links that close a cycle for a search that starts at the first node."""
    targets = _grouped(links)
    state = ["new"] * count
    closing: set[Link] = set()
    for start in range(count):
        stack = [] if state[start] == "done" else [(start, iter(targets[start]))]
        while stack:
            node, rest = stack[-1]
            state[node] = "open"
            target = next(rest, None)
            if target is None:
                state[node] = "done"
                stack.pop()
            elif state[target] == "open":
                closing.add((node, target))
            elif state[target] == "new":
                stack.append((target, iter(targets[target])))
    return closing


def _grouped(links: Iterable[Link]) -> defaultdict[int, list[int]]:
    found: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in links:
        found[source].append(target)
    return found


def _topological(nodes: Iterable[int], targets: Mapping[int, Collection[int]]) -> list[int]:
    """The nodes, each before its targets."""
    waiting = dict.fromkeys(nodes, 0)
    for ends in targets.values():
        for end in ends:
            waiting[end] += 1
    ready = [node for node, count in waiting.items() if count == 0]
    for node in ready:
        for end in targets.get(node, ()):
            waiting[end] -= 1
            if waiting[end] == 0:
                ready.append(end)
    return ready


def _ranks(order: list[int], links: list[Link], tops: Collection[int], bottoms: Collection[int]) -> list[int]:
    targets = _grouped(links)
    sources = _grouped((target, source) for source, target in links)
    ranks = [0] * len(order)
    for node in order:
        ranks[node] = 0 if node in tops else 1 + max((ranks[source] for source in sources[node]), default=0)
    for node in reversed(order):
        if node not in tops and not sources[node] and targets[node]:
            ranks[node] = min(ranks[target] for target in targets[node]) - 1
    last = 1 + max((ranks[node] for node in order if node not in bottoms), default=0)
    for node in bottoms:
        ranks[node] = last
    return ranks


def _strands(
    ranks: list[int], forward: list[Link], back: Collection[Link]
) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
    lowest: dict[int, int] = {}
    highest: dict[int, int] = {}
    for source, target in forward:
        lowest[source] = max(ranks[target], lowest.get(source, 0))
    for source, target in back:
        highest[source] = min(ranks[target], highest.get(source, ranks[source]))
    free = len(ranks)
    strands: dict[int, tuple[int, ...]] = {}
    returns: dict[int, tuple[int, ...]] = {}
    for node, rank in sorted(lowest.items()):
        length = rank - ranks[node] - 1
        if length > 0:
            strands[node] = tuple(range(free, free + length))
            free += length
    for node, rank in sorted(highest.items()):
        length = ranks[node] - rank + 1
        returns[node] = tuple(range(free, free + length))
        free += length
    return strands, returns


def _joints(
    ranks: list[int],
    strands: Mapping[int, tuple[int, ...]],
    returns: Mapping[int, tuple[int, ...]],
    links: list[Link],
) -> list[Link]:
    joints: list[Link] = []
    for source, target in links:
        span = ranks[target] - ranks[source]
        joints.append((source if span == 1 else strands[source][span - 2], target))
    for node, cells in strands.items():
        joints.append((node, cells[0]))
        joints.extend(pairwise(cells))
    for cells in returns.values():
        joints.extend(zip(cells[1:], cells, strict=False))
    return joints


def _first_rows(
    order: list[int],
    ranks: list[int],
    strands: Mapping[int, tuple[int, ...]],
    returns: Mapping[int, tuple[int, ...]],
) -> list[list[int]]:
    """Nodes as they come, and to their right the strands: the one that starts last is the innermost."""
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=0) + 1)]
    for node in order:
        rows[ranks[node]].append(node)
    for node in reversed(order):
        for step, cell in enumerate(strands.get(node, ())):
            rows[ranks[node] + 1 + step].append(cell)
    for node in reversed(order):
        for step, cell in enumerate(returns.get(node, ())):
            rows[ranks[node] - step].append(cell)
    return rows


def _untangled(rows: Rows, joints: Sequence[Link]) -> tuple[tuple[int, ...], ...]:
    """The rows sorted by the mean place of each cell's neighbours, down and up, where it saves crossings."""
    below = _grouped(joints)
    above = _grouped((lower, upper) for upper, lower in joints)
    best, fewest = rows, _crossings(rows, below)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        rows = _swept(rows, above) if sweep % 2 == 0 else _swept(rows[::-1], below)[::-1]
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = rows, crossings
    return tuple(tuple(row) for row in best)


def _swept(rows: Rows, neighbours: Mapping[int, list[int]]) -> list[list[int]]:
    swept = [list(rows[0])]
    for row in rows[1:]:
        place = {cell: position for position, cell in enumerate(swept[-1])}
        wish = {cell: float(position) for position, cell in enumerate(row)}
        for cell in row:
            near = neighbours.get(cell)
            if near:
                wish[cell] = sum(place[other] for other in near) / len(near)
        swept.append(sorted(row, key=wish.__getitem__))
    return swept


def _crossings(rows: Rows, below: Mapping[int, list[int]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {cell: position for position, cell in enumerate(lower)}
        seen: list[int] = []
        for cell in upper:
            ends = sorted(place[other] for other in below.get(cell, ()))
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


@dataclass(frozen=True)
class Widths:
    """Horizontal room on a level, in pixels."""

    cells: Sequence[float]  # of each cell
    margins: Sequence[float]  # room that each cell wants to its neighbours; between two, half of both
    shifts: Mapping[Link, float]  # joint -> x of the lower cell's centre minus the upper's when it runs straight down


def columns(placed: Level, widths: Widths) -> list[float]:
    """The x of every cell's centre: strands straight, nodes under their sources (Brandes and Koepf, 2001)."""
    nodes = len(placed.ranks)
    conflicts = _conflicts(placed, nodes)
    runs: list[list[float]] = []
    for upward in (False, True):
        rows = placed.rows[::-1] if upward else placed.rows
        near = _alignable(placed, widths.shifts, upward)
        for mirrored in (False, True):
            sign = -1.0 if mirrored else 1.0
            facing = [row[::-1] for row in rows] if mirrored else rows
            roots, offsets = _aligned(facing, near, conflicts, sign)
            runs.append([sign * x for x in _packed(facing, roots, offsets, widths)])
    return _balanced(runs, widths.cells)


def _conflicts(placed: Level, nodes: int) -> set[Link]:
    """Joints that cross a strand, both ways round; they are not drawn straight at its cost."""
    by_row: defaultdict[int, list[Link]] = defaultdict(list)
    place = {cell: (rank, at) for rank, row in enumerate(placed.rows) for at, cell in enumerate(row)}
    for joint in placed.joints:
        by_row[place[joint[0]][0]].append(joint)
    found: set[Link] = set()
    for joints in by_row.values():
        inner = sorted((place[low][1], place[up][1]) for up, low in joints if up >= nodes and low >= nodes)
        lows = [low for low, _ in inner]
        for up, low in joints:
            if up >= nodes and low >= nodes:
                continue
            left = bisect_left(lows, place[low][1]) - 1
            right = bisect_right(lows, place[low][1])
            crosses_left = left >= 0 and inner[left][1] > place[up][1]
            if crosses_left or (right < len(inner) and inner[right][1] < place[up][1]):
                found |= {(up, low), (low, up)}
    return found


def _alignable(placed: Level, shifts: Mapping[Link, float], upward: bool) -> dict[int, list[tuple[int, float]]]:
    """For each cell the neighbours in the row before that it may stand under, and its x relative to them.

    A node follows a node where it can, and a strand stands under a node only if no other node wants to: so
    the main path of a residual block stays straight, and its shortcut bends.
    """
    nodes = len(placed.ranks)
    near: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    followed: set[int] = set()
    for upper, lower in placed.joints:
        shift = shifts.get((upper, lower), 0.0)
        cell, other = (upper, lower) if upward else (lower, upper)
        near[cell].append((other, -shift if upward else shift))
        if (cell >= nodes) == (other >= nodes):
            followed.add(other)
    chosen: dict[int, list[tuple[int, float]]] = {}
    for cell, others in near.items():
        alike = [other for other in others if (other[0] >= nodes) == (cell >= nodes)]
        chosen[cell] = alike or [other for other in others if other[0] not in followed]
    return chosen


def _aligned(
    rows: Rows, near: Mapping[int, list[tuple[int, float]]], conflicts: Collection[Link], sign: float
) -> tuple[dict[int, int], dict[int, float]]:
    """Cells tied into straight columns: of each cell the column's first cell and its x relative to that."""
    place = {cell: position for row in rows for position, cell in enumerate(row)}
    roots = {cell: cell for row in rows for cell in row}
    offsets = dict.fromkeys(roots, 0.0)
    for row in rows[1:]:
        taken = -1
        for cell in row:
            others = sorted(near.get(cell, ()), key=lambda other: place[other[0]])
            middle = len(others) // 2
            for other, shift in others[(len(others) - 1) // 2 : middle + 1]:
                if place[other] <= taken or (other, cell) in conflicts:
                    continue
                roots[cell] = roots[other]
                offsets[cell] = offsets[other] + sign * shift
                taken = place[other]
                break
    return roots, offsets


def _packed(rows: Rows, roots: Mapping[int, int], offsets: Mapping[int, float], widths: Widths) -> list[float]:
    """Columns as far left as they go, then each moved right to its neighbour as far as it is free to."""
    after: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for row in rows:
        for left, right in pairwise(row):
            room = (widths.cells[left] + widths.cells[right] + widths.margins[left] + widths.margins[right]) / 2
            room += offsets[left] - offsets[right]
            known = after[roots[left]].get(roots[right], room)
            after[roots[left]][roots[right]] = max(known, room)
    order = _topological(dict.fromkeys(roots.values()), after)
    x = dict.fromkeys(order, 0.0)
    for root in order:
        for right, room in after[root].items():
            x[right] = max(x[right], x[root] + room)
    for root in reversed(order):
        if after[root]:
            x[root] = max(x[root], min(x[right] - room for right, room in after[root].items()))
    return [x[roots[cell]] + offsets[cell] for cell in sorted(roots)]


def _balanced(runs: list[list[float]], widths: Sequence[float]) -> list[float]:
    """The mean of each cell's two middle positions, after the runs are laid over the narrowest of them."""
    if not runs[0]:
        return []
    spans = []
    for run in runs:
        left = min(x - width / 2 for x, width in zip(run, widths, strict=True))
        right = max(x + width / 2 for x, width in zip(run, widths, strict=True))
        spans.append((right - left, left, right))
    _, left, right = min(spans)
    moved = []
    for number, (run, span) in enumerate(zip(runs, spans, strict=True)):
        move = right - span[2] if number % 2 else left - span[1]
        moved.append([x + move for x in run])
    middle = [sorted(xs) for xs in zip(*moved, strict=True)]
    return [(xs[1] + xs[2]) / 2 for xs in middle]
