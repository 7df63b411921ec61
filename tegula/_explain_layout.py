"""Where the boxes of a graph go: in layers, what is read above what reads it.

The method of Sugiyama, Tagawa and Toda (1981): an edge over several layers passes each of them at
a point of its own, so that it runs between the boxes; rows are brought near what they read, and
what reads them, in sweeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ROW = 6  # boxes in a layer at most
SWEEPS = 6
WIDTH, POINT, GAP = 250.0, 4.0, 26.0  # of a box, of an edge that passes, between them; pixels
BETWEEN = 42.0  # layers


@dataclass
class Layout:
    """A drawing, in pixels from its upper left corner.

    Attributes:
        boxes: left and top of each.
        edges: (from, to) and the points between, from the lower rim of one to the upper of the
            other; a layer that is passed has two points.
        width: of the drawing.
        height: likewise.
    """

    boxes: list[tuple[float, float]]
    edges: list[tuple[int, int, list[tuple[float, float]]]]
    width: float
    height: float


def _depths(reads: list[list[int]]) -> list[int]:
    """The layer of each box; those that read nothing go right above their first reader."""
    depths: list[int] = []
    full: dict[int, int] = {}
    for inner in reads:
        depth = 1 + max((depths[r] for r in inner if reads[r]), default=0) if inner else -1
        while inner and full.get(depth, 0) >= ROW:
            depth += 1
        full[depth] = full.get(depth, 0) + 1
        depths.append(depth)
    first: dict[int, int] = {}
    for box, inner in enumerate(reads):
        for r in inner:
            first[r] = min(first.get(r, depths[box]), depths[box])
    return [first.get(i, 1) - 1 if not reads[i] else depth for i, depth in enumerate(depths)]


class _Rows:
    """Boxes and the points of passing edges, by layer; points are numbered after the boxes."""

    def __init__(self, reads: list[list[int]], depths: list[int]) -> None:
        self.rows: list[list[int]] = [[] for _ in range(max(depths, default=-1) + 1)]
        self.above: list[list[int]] = [[] for _ in reads]
        self.chains: list[tuple[int, int, list[int]]] = []
        for box, depth in enumerate(depths):
            self.rows[depth].append(box)
        points: dict[tuple[int, int], int] = {}  # one for all edges from a box
        for box, inner in enumerate(reads):
            for r in inner:
                chain, last = [], r
                for depth in range(depths[r] + 1, depths[box]):
                    point = points.setdefault((r, depth), len(self.above))
                    if point == len(self.above):
                        self.above.append([last])
                        self.rows[depth].append(point)
                    chain.append(point)
                    last = point
                self.above[box].append(last)
                self.chains.append((r, box, chain))
        self.below: list[list[int]] = [[] for _ in self.above]
        for item, others in enumerate(self.above):
            for other in others:
                self.below[other].append(item)
        self.sizes = [WIDTH] * len(reads) + [POINT] * (len(self.above) - len(reads))
        self.width = max((sum(map(self._step, row)) for row in self.rows), default=0.0)

    def place(self) -> list[float]:
        """The left of each."""
        left = [0.0] * len(self.above)
        for row in self.rows:
            middle = (self.width - sum(map(self._step, row))) / 2
            self._spread(row, left, dict.fromkeys(row, middle))
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            near = self.above if down else self.below
            for row in self.rows if down else reversed(self.rows):
                wished = {}
                for item in row:
                    middles = [left[o] + self.sizes[o] / 2 for o in near[item]]
                    own = self.sizes[item] / 2
                    wished[item] = sum(middles) / len(middles) - own if middles else left[item]
                self._spread(sorted(row, key=wished.__getitem__), left, wished)
        return left

    def _step(self, item: int) -> float:
        return self.sizes[item] + (GAP if self.sizes[item] > POINT else POINT)

    def _spread(self, row: list[int], left: list[float], wished: dict[int, float]) -> None:
        """Puts a row's items side by side, near where they wish to be, within the drawing."""
        at, rest = 0.0, sum(map(self._step, row))
        for item in row:
            left[item] = max(at, min(wished[item], self.width - rest))
            at = left[item] + self._step(item)
            rest -= self._step(item)


def lay_out(reads: list[list[int]], height: Callable[[int], float]) -> Layout:
    """A drawing of boxes of these heights; each reads boxes with smaller numbers."""
    depths = _depths(reads)
    rows = _Rows(reads, depths)
    left = rows.place()
    start = min(left, default=0.0) - GAP
    left = [x - start for x in left]
    tops, heights, y = [], [], GAP
    for row in rows.rows:
        heights.append(max((height(i) for i in row if i < len(reads)), default=POINT))
        tops.append(y)
        y += heights[-1] + BETWEEN
    edges = []
    for source, target, chain in rows.chains:
        points = [(left[source] + WIDTH / 2, tops[depths[source]] + height(source))]
        for depth, point in enumerate(chain, depths[source] + 1):
            x = left[point] + POINT / 2
            points += [(x, tops[depth]), (x, tops[depth] + heights[depth])]
        points.append((left[target] + WIDTH / 2, tops[depths[target]]))
        edges.append((source, target, points))
    width = max((x + size for x, size in zip(left, rows.sizes, strict=True)), default=0.0) + GAP
    return Layout([(left[i], tops[depths[i]]) for i in range(len(reads))], edges, width, y)
