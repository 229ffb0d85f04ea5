"""Drawing of one module's interior, whose children are boxes and already drawn blocks.

An edge is a *course* through cells of the level: it leaves its source downwards, runs straight through every
row it passes in a cell of its own, changes columns only in the gaps between rows, and enters its target from
above. So no edge touches a box that is not one of its ends. Edges to and from other modules end at ports on
the border.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from prunescope.explorer.layered import Level, Link, Widths, columns
from prunescope.explorer.picture import Box, Frame, Point, Route, RouteKind

BOX_MARGIN, LANE_MARGIN = 28.0, 14.0  # room wanted between neighbours
LANE = 9.0  # room of one line in a strand
RANK_GAP, BORDER_GAP = 34.0, 20.0
STUB = 6.0  # how far a line runs straight on below and above a row
STRETCH, MOST_STRETCH = 0.1, 40.0  # a gap grows with the longest way that crosses it sideways
ARRIVAL_STEP = 14.0  # between the arrow heads of one box
FRAME_SIDE, TITLE_HEIGHT = 16.0, 30.0


@dataclass(frozen=True)
class Way:
    """The part of an edge inside one module, between a box and a port on the module's border."""

    points: tuple[Point, ...]  # in the direction of the edge
    long: bool  # it passes by other rows


@dataclass(frozen=True)
class Block:
    """The drawn interior of a module; its top left corner is the origin."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]
    routes: tuple[Route, ...]
    entries: Mapping[str, Way]  # box id -> the way from the upper border down to the box
    exits: Mapping[str, Way]  # box id -> the way from the box down to the lower border

    def moved(self, dx: float, dy: float) -> Block:
        return Block(
            self.width,
            self.height,
            tuple(replace(box, x=box.x + dx, y=box.y + dy) for box in self.boxes),
            tuple(replace(frame, x=frame.x + dx, y=frame.y + dy) for frame in self.frames),
            tuple(replace(route, points=_shifted(route.points, dx, dy)) for route in self.routes),
            {key: Way(_shifted(way.points, dx, dy), way.long) for key, way in self.entries.items()},
            {key: Way(_shifted(way.points, dx, dy), way.long) for key, way in self.exits.items()},
        )


def _shifted(points: Iterable[Point], dx: float, dy: float) -> tuple[Point, ...]:
    return tuple(Point(x + dx, y + dy) for x, y in points)


def framed(block: Block, module: str, label: str, depth: int, title_width: float) -> Block:
    """The block with a border around it, and its title where no edge enters."""
    first = min((way.points[0].x for way in block.entries.values()), default=title_width)
    left = max(FRAME_SIDE, title_width + LANE_MARGIN - first)
    width = max(left + block.width + FRAME_SIDE, title_width + FRAME_SIDE)
    height = block.height + TITLE_HEIGHT - STUB
    inner = block.moved(left, TITLE_HEIGHT - STUB)
    frame = Frame(module, label, width / 2, height / 2, width, height, depth, title_width)
    entries = {key: Way((Point(way.points[0].x, 0.0), *way.points[1:]), way.long) for key, way in inner.entries.items()}
    return replace(inner, width=width, height=height, frames=(frame, *inner.frames), entries=entries)


@dataclass(frozen=True)
class Port:
    """A group of edges that cross the module's border to or from one child; a node of the level."""

    child: int
    boxes: tuple[str, ...]  # ids of the boxes at the edges' inner ends


@dataclass(frozen=True)
class Interior:
    """What is to be drawn. Nodes of the level are the parts, then the entries, then the exits."""

    level: Level
    parts: tuple[Box | Block, ...]
    entries: tuple[Port, ...]
    exits: tuple[Port, ...]
    inside: Mapping[Link, Sequence[tuple[str, str]]]  # (part, part) -> ids of the boxes that are joined
    concats: Collection[tuple[str, str]]  # pairs of boxes with an edge into a concatenation


def draw(interior: Interior) -> Block:
    """Coordinates for everything inside one module."""
    return _Drawing(interior).block()


@dataclass(frozen=True)
class _Course:
    up: int  # node it leaves
    down: int  # node it reaches
    source: str  # box id, "" if it comes from outside
    target: str  # box id, "" if it goes outside

    @property
    def lane(self) -> str:
        return self.source or self.target


class _Drawing:
    """One drawing in the making: each property is one step, computed once from those before it."""

    def __init__(self, interior: Interior) -> None:
        self.interior = interior
        self.level = interior.level
        self.parts = interior.parts

    @cached_property
    def courses(self) -> list[_Course]:
        courses = [
            _Course(up, down, source, target)
            for (up, down), pairs in self.interior.inside.items()
            for source, target in pairs
        ]
        first = len(self.parts)
        for number, port in enumerate(self.interior.entries, first):
            courses += [_Course(number, port.child, "", box) for box in port.boxes]
        for number, port in enumerate(self.interior.exits, first + len(self.interior.entries)):
            courses += [_Course(port.child, number, box, "") for box in port.boxes]
        return courses

    def goes_back(self, course: _Course) -> bool:
        return self.level.ranks[course.down] <= self.level.ranks[course.up]

    def span(self, course: _Course) -> int:
        return self.level.ranks[course.down] - self.level.ranks[course.up]

    @cached_property
    def lanes(self) -> dict[int, dict[str, float]]:
        """For ports and for nodes with a strand: lane -> its x relative to the middle of the strand."""
        used: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for course in self.courses:
            if self.span(course) != 1 or course.up >= len(self.parts):
                used[course.up][course.lane] = self.port_order(course)
            if course.down >= len(self.parts):
                used[course.down][course.lane] = self.port_order(course)
        lanes: dict[int, dict[str, float]] = {}
        for node, wishes in used.items():
            ordered = sorted(wishes, key=wishes.__getitem__)
            middle = (len(ordered) - 1) / 2
            lanes[node] = {lane: (at - middle) * LANE for at, lane in enumerate(ordered)}
        return lanes

    def port_order(self, course: _Course) -> float:
        return self.offset_in(course) if course.source == "" else self.offset_out(course)

    def offset_out(self, course: _Course) -> float:
        """Where the course leaves its upper node, relative to the node's centre."""
        if course.up >= len(self.parts):
            return self.lanes[course.up][course.lane]
        part = self.parts[course.up]
        return 0.0 if isinstance(part, Box) else part.exits[course.source].points[-1].x - part.width / 2

    def offset_in(self, course: _Course) -> float:
        if course.down >= len(self.parts):
            return self.lanes[course.down][course.lane]
        part = self.parts[course.down]
        return 0.0 if isinstance(part, Box) else part.entries[course.target].points[0].x - part.width / 2

    def strand(self, course: _Course) -> tuple[int, ...]:
        """The cells between the two ends of the course."""
        if self.goes_back(course):
            return self.level.returns[course.up][: 1 - self.span(course)]
        return self.level.strands.get(course.up, ())[: self.span(course) - 1]

    def offsets(self, course: _Course) -> list[float]:
        """Where the course stands in each of its cells, relative to the middle of the cell."""
        cells = len(self.strand(course))
        lane = self.lanes[course.up][course.lane] if cells else 0.0
        return [self.offset_out(course), *[lane] * cells, self.offset_in(course)]

    @cached_property
    def widths(self) -> Widths:
        count = sum(len(row) for row in self.level.rows)
        widths, margins = [0.0] * count, [LANE_MARGIN] * count
        for node, part in enumerate(self.parts):
            widths[node], margins[node] = part.width, BOX_MARGIN
        for node, lanes in self.lanes.items():
            cells = [*self.level.strands.get(node, ()), *self.level.returns.get(node, ())]
            for cell in cells if node < len(self.parts) else [node, *cells]:
                widths[cell] = LANE * len(lanes)
        shifts: dict[Link, float] = {}
        for course in self.courses:
            cells = [course.up, *self.strand(course), course.down]
            offsets = self.offsets(course)
            if len(cells) == 2 and max(cells) < len(self.parts):
                offsets = [_axis(self.parts[node]) for node in cells]
            for upper, lower, out, into in zip(cells, cells[1:], offsets, offsets[1:], strict=False):
                shifts.setdefault((upper, lower), out - into)
        return Widths(widths, margins, shifts)

    @cached_property
    def columns(self) -> list[float]:
        """The centre of every cell."""
        x = columns(self.level, self.widths)
        left = min((at - width / 2 for at, width in zip(x, self.widths.cells, strict=True)), default=0.0)
        return [at - left for at in x]

    @cached_property
    def tracks(self) -> dict[_Course, list[float]]:
        """The x of every course in each row from its source to its target."""
        tracks: dict[_Course, list[float]] = {}
        arriving: defaultdict[int, list[list[float]]] = defaultdict(list)
        for course in self.courses:
            cells = [course.up, *self.strand(course), course.down]
            offsets = self.offsets(course)
            tracks[course] = [self.columns[cell] + by for cell, by in zip(cells, offsets, strict=True)]
            arriving[course.down].append(tracks[course])
        for node, part in enumerate(self.parts):
            if isinstance(part, Box):
                _spread(arriving[node], self.columns[node], part.width)
        return tracks

    @cached_property
    def rows(self) -> list[tuple[float, float]]:
        """The top and the bottom of each row."""
        ranks = self.level.ranks
        heights = [0.0] * len(self.level.rows)
        for node, part in enumerate(self.parts):
            heights[ranks[node]] = max(heights[ranks[node]], part.height)
        gaps = [RANK_GAP] * len(heights)
        gaps[0] = BORDER_GAP
        if self.interior.exits and len(gaps) > 1:
            gaps[-2] = BORDER_GAP
        sideways = [0.0] * len(heights)
        for course, track in self.tracks.items():
            if not self.goes_back(course):
                for rank, (one, other) in enumerate(pairwise(track), ranks[course.up]):
                    sideways[rank] = max(sideways[rank], abs(one - other))
        rows: list[tuple[float, float]] = []
        y = 0.0
        for height, gap, way in zip(heights, gaps, sideways, strict=True):
            rows.append((y, y + height))
            y += height + gap + min(MOST_STRETCH, STRETCH * way)
        return rows

    @cached_property
    def corners(self) -> list[Point]:
        """The top left corner of each part, which stands in the middle of its row."""
        corners = []
        for node, part in enumerate(self.parts):
            top, bottom = self.rows[self.level.ranks[node]]
            corners.append(Point(self.columns[node] - part.width / 2, (top + bottom - part.height) / 2))
        return corners

    def points(self, course: _Course) -> tuple[Point, ...]:
        """The course as a line through this module's own room, between the borders of its two parts."""
        track = self.tracks[course]
        up, down = self.level.ranks[course.up], self.level.ranks[course.down]
        start = self.rows[up][1]
        if course.up < len(self.parts):
            start = self.corners[course.up].y + self.parts[course.up].height
        end = self.corners[course.down].y if course.down < len(self.parts) else self.rows[down][0]
        line = [Point(track[0], start), Point(track[0], self.rows[up][1] + STUB)]
        if self.goes_back(course):
            line += [Point(track[1], self.rows[up][1] + STUB), Point(track[-2], self.rows[down][0] - STUB)]
        else:
            for x, (top, bottom) in zip(track[1:-1], self.rows[up + 1 : down], strict=True):
                line += [Point(x, top - STUB), Point(x, bottom + STUB)]
        line += [Point(track[-1], self.rows[down][0] - STUB), Point(track[-1], end)]
        return tuple(_straightened(line))

    def block(self) -> Block:
        placed = [
            replace(part, x=corner.x + part.width / 2, y=corner.y + part.height / 2)
            if isinstance(part, Box)
            else part.moved(*corner)
            for part, corner in zip(self.parts, self.corners, strict=True)
        ]
        blocks = [part for part in placed if isinstance(part, Block)]
        lines = {course: self.whole(course, placed) for course in self.courses}
        routes = [self.route(course, way) for course, way in lines.items() if course.source and course.target]
        right = [corner.x + part.width for corner, part in zip(self.corners, self.parts, strict=True)]
        right += [point.x for way in lines.values() for point in way.points]
        return Block(
            width=max(right, default=0.0),
            height=self.rows[-1][1] + (0.0 if self.interior.exits else BORDER_GAP),
            boxes=tuple(box for part in placed for box in ([part] if isinstance(part, Box) else part.boxes)),
            frames=tuple(frame for block in blocks for frame in block.frames),
            routes=tuple(route for block in blocks for route in block.routes) + tuple(routes),
            entries={course.target: way for course, way in lines.items() if not course.source},
            exits={course.source: way for course, way in lines.items() if not course.target},
        )

    def whole(self, course: _Course, placed: Sequence[Box | Block]) -> Way:
        """The course with the ways inside the blocks at its ends."""
        points = self.points(course)
        long = self.span(course) != 1
        if course.source and isinstance(upper := placed[course.up], Block):
            inner = upper.exits[course.source]
            points, long = inner.points + points, long or inner.long
        if course.target and isinstance(lower := placed[course.down], Block):
            inner = lower.entries[course.target]
            points, long = points + inner.points, long or inner.long
        return Way(tuple(_straightened(points)), long)

    def route(self, course: _Course, way: Way) -> Route:
        concat = (course.source, course.target) in self.interior.concats
        kind: RouteKind = "concat" if concat else "skip" if way.long else "plain"
        return Route(course.source, course.target, kind, way.points, 1)


def _axis(part: Box | Block) -> float:
    """The column by which a part stands in line, relative to its centre: where its main output leaves.

    With one axis for what comes in and what goes out, a chain of equal blocks runs straight down.
    """
    if isinstance(part, Box) or not part.exits:
        return 0.0
    main = min(part.exits.values(), key=lambda way: way.long)
    return main.points[-1].x - part.width / 2


def _spread(tracks: Sequence[list[float]], middle: float, width: float) -> None:
    """Part the arrow heads at a box: those from the left arrive on its left, a straight one in the middle."""
    left = sorted((track for track in tracks if track[-2] < middle - 1), key=lambda track: -track[-2])
    right = sorted((track for track in tracks if track[-2] > middle + 1), key=lambda track: track[-2])
    if len(tracks) < 2:
        return
    step = min(ARRIVAL_STEP, (width / 2 - 12) / max(len(left), len(right), 1))
    for sign, side in ((-1, left), (1, right)):
        for number, track in enumerate(side, 1):
            track[-1] = middle + sign * step * number


def _straightened(points: Iterable[Point]) -> list[Point]:
    """The line without the points that lie between their neighbours on a straight piece."""
    line: list[Point] = []
    for point in points:
        if line and abs(point.x - line[-1].x) + abs(point.y - line[-1].y) < 0.01:
            continue
        while len(line) > 1 and _turn(line[-2], line[-1], point) < 0.01:
            line.pop()
        line.append(point)
    return line


def _turn(one: Point, two: Point, three: Point) -> float:
    return abs((two.x - one.x) * (three.y - two.y) - (two.y - one.y) * (three.x - two.x))
