"""The page of ``Explanation.to_html``: tables, graphs and a timeline in one file without network.

Everything that comes from the program (names, lines, paths) is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from tegula._explain import short
from tegula._explain_layout import WIDTH, lay_out

if TYPE_CHECKING:
    from tegula._explain import Explanation, Plan, Step

LINE, PADDING = 15, 8  # pixels: a line of a box's text
SHOWN, LETTERS = 6, 34  # lines that a step's box has, letters of one
TIMELINE, LANE, LABELS = 1100, 24, 110
HEADS = (
    "step", "us", "predicted us", "threads", "MB", "MFLOP", "GB/s", "GFLOP/s", "kernel", "lines",
)  # fmt: skip
COLOURS = {"tile": "#fff3d6", "matmul": "#dbe9ff", "conv": "#e0f3df", "": "#eeeeee"}

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid #e4e4e4 }
th:nth-last-child(-n+2), td.name { text-align: left }
td.name { font-family: ui-monospace, monospace; max-width: 46em; overflow-wrap: anywhere }
tr:target, tr:hover { background: #fff8dc }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid #ddd; background: #fcfcfc }
svg text { font: 11px ui-monospace, monospace; fill: #222 }
svg .title { font-weight: bold }
svg path { fill: none; stroke: #9aa4b2 }
svg a:hover rect { stroke: #b00; stroke-width: 2 }
svg path.shown { stroke: #b00; stroke-width: 2.5 }
summary { cursor: pointer; margin: .6em 0 }
pre { background: #f6f6f6; padding: .6em; overflow: auto }
"""

# The edges of the box under the pointer stand out.
SCRIPT = """
for (const box of document.querySelectorAll("a[data-step]")) {
  const edges = box.closest("svg").querySelectorAll("path." + box.dataset.step);
  for (const [event, shown] of [["mouseenter", true], ["mouseleave", false]])
    box.addEventListener(event, () => edges.forEach((e) => e.classList.toggle("shown", shown)));
}
"""


def _colour(step: Step) -> str:
    kind = step.operations.split(" ")[0].split("_")[0]
    return COLOURS.get(kind, COLOURS[""])


def _dependencies(plan: Plan) -> list[list[int]]:
    """For each step the steps whose results it reads."""
    computed = {node: step.number for step in reversed(plan.steps) for node in step.nodes}
    result = []
    for step in plan.steps:
        own = set(step.nodes)
        read = {
            int(name.split(".")[0])
            for node in step.nodes
            for name in plan.nodes[node].inputs
            if name[0].isdigit()
        }
        found, pending = set(), [node for node in read if node not in own]
        while pending:  # through views, which no step computes
            node = pending.pop()
            if node in computed:
                found.add(computed[node])
            else:
                pending += [int(n.split(".")[0]) for n in plan.nodes[node].inputs if n[0].isdigit()]
        result.append(sorted(found - {step.number}))
    return result


def _box_lines(plan: Plan, step: Step) -> list[str]:
    lines = []
    for number in step.nodes[:SHOWN]:
        node = plan.nodes[number]
        lines.append(short(f"{number} {node.operation} {' '.join(node.types)}", LETTERS))
    if len(step.nodes) > SHOWN:
        lines.append(f"… and {len(step.nodes) - SHOWN} more")
    return lines


def _curve(points: list[tuple[float, float]]) -> str:
    """A line that leaves and reaches every layer upright."""
    x0, y0 = points[0]
    path = f"M{x0:.0f} {y0:.0f}"
    for x, y in points[1:]:
        middle = (y0 + y) / 2
        path += (
            f"L{x:.0f} {y:.0f}"
            if x == x0
            else (f"C{x0:.0f} {middle:.0f} {x:.0f} {middle:.0f} {x:.0f} {y:.0f}")
        )
        x0, y0 = x, y
    return path


def _graph(index: int, plan: Plan) -> str:
    """Each step a box with the nodes fused in it, below what it reads."""
    texts = [_box_lines(plan, step) for step in plan.steps]

    def height(step: int) -> float:
        return (len(texts[step]) + 1) * LINE + 2 * PADDING

    layout = lay_out(_dependencies(plan), height)
    parts = [
        f'<path class="s{source} s{target}" d="{_curve(points)}"/>'
        for source, target, points in layout.edges
    ]
    for what, lines, (left, top) in zip(plan.steps, texts, layout.boxes, strict=True):
        x, first = left + PADDING, top + PADDING + 11
        title = f"{what.number} {what.operations.split(' ')[0]} {what.measured_us:.1f} us"
        text = f'<text class="title" x="{x:.0f}" y="{first:.0f}">{escape(title)}</text>'
        for i, line in enumerate(lines, 1):
            text += f'<text x="{x:.0f}" y="{first + LINE * i:.0f}">{escape(line)}</text>'
        dashes = ' stroke-dasharray="4 3"' if what.together > 1 else ""
        tip = "\n".join([what.operations, _width(what), *what.lines])
        parts.append(
            f'<a href="#plan{index}step{what.number}" data-step="s{what.number}">'
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{WIDTH:.0f}" '
            f'height="{height(what.number):.0f}" rx="5" fill="{_colour(what)}" stroke="#8a8a8a"'
            f"{dashes}>"
            f"<title>{escape(tip)}</title></rect>{text}</a>"
        )
    return (
        f'<div class="scroll"><svg class="graph" width="{layout.width:.0f}" '
        f'height="{layout.height:.0f}">{"".join(parts)}</svg></div>'
    )


def _width(step: Step) -> str:
    """How the step shares the machine."""
    if step.together == 1:
        return "wide: has all threads"
    return f"narrow: one of {step.together} steps of stage {step.stage}, on a thread each"


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{value}</td>" for value in values)


def _table(index: int, plan: Plan) -> str:
    rows = []
    for step in plan.steps:
        rate = max(step.measured_us, 1e-9) * 1e3
        numbers = _cells((
            str(step.number), f"{step.measured_us:.1f}", f"{step.predicted_us:.1f}",
            str(step.threads), f"{step.bytes / 1e6:.3f}", f"{step.flops / 1e6:.3f}",
            f"{step.bytes / rate:.1f}", f"{step.flops / rate:.1f}",
        ))  # fmt: skip
        chosen = f" [{escape(step.algorithm)}]" if step.algorithm else ""
        details = [
            _width(step),
            f"reads {', '.join(step.reads)}",
            f"writes {', '.join(step.writes)}",
        ]
        more = escape("\n".join([*details, step.program]))
        rows.append(
            f'<tr id="plan{index}step{step.number}">{numbers}<td class="name"><details><summary>'
            f"{escape(step.operations)}{chosen}</summary><pre>{more}</pre></details></td>"
            f'<td class="name">{"<br>".join(map(escape, step.lines))}</td></tr>'
        )
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _timeline(explanation: Explanation) -> str:
    """Runs, steps and the workers' shares, a lane for each thread."""
    events = [e for e in explanation.events if e.kind in ("plan", "step", "share", "record")]
    if not events:
        return ""
    start, end = min(e.begin for e in events), max(e.end for e in events)
    scale = TIMELINE / max(end - start, 1e-9)
    colours = {"step": "#7aa6da", "share": "#b9ca4a", "plan": "#e78c45", "record": "#c397d8"}
    bars = [
        f'<rect x="{LABELS + (e.begin - start) * scale:.2f}" y="{LANE * e.thread + 3}" '
        f'width="{max(e.microseconds * scale, 0.3):.2f}" height="{LANE - 6}" '
        f'fill="{colours[e.kind]}"><title>{escape(e.kind)}: {escape(e.name)}\n'
        f"{e.microseconds:.1f} us</title></rect>"
        for e in events
    ]
    names = [
        f'<text x="4" y="{LANE * i + 16}">{escape(name)}</text>'
        for i, name in enumerate(explanation.threads)
    ]
    height = LANE * len(explanation.threads)
    legend = ", ".join(f'<span style="color:{c}">■</span> {kind}' for kind, c in colours.items())
    return (
        f"<p>{(end - start) / 1e3:.3f} ms: {legend}</p>"
        f'<div class="scroll"><svg class="timeline" width="{TIMELINE + LABELS + 10}" '
        f'height="{height}">{"".join(names)}{"".join(bars)}</svg></div>'
    )


def page(explanation: Explanation) -> str:
    """The whole page."""
    parts = []
    for i, plan in enumerate(explanation.plans):
        leaves = "\n".join(f"{name}: {text}" for name, text in plan.leaves)
        nodes = "\n".join(
            f"{n.number}: {n.operation} [{n.attributes}] ({', '.join(n.inputs)}) -> "
            f"{', '.join(n.types)}{' kept' if n.kept else ''}  {n.line}"
            for n in plan.nodes
        )
        parts += [
            f"<h2>Plan {i}</h2><p>{escape(str(plan).splitlines()[0])}</p>",
            _table(i, plan),
            "<h3>Graph</h3><p>A box is a step with the operations fused in it; lines lead down "
            "to what reads it, and stand out under the pointer. A dashed box shares the machine "
            "with others of its stage. Click for its row.</p>",
            _graph(i, plan),
            f"<details><summary>All nodes</summary><pre>{escape(leaves)}\n{escape(nodes)}</pre>"
            "</details>",
        ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>tg.explain</title>'
        f"<style>{STYLE}</style></head><body><h1>tg.explain</h1><h2>Timeline</h2>"
        f"{_timeline(explanation)}{''.join(parts)}<script>{SCRIPT}</script></body></html>\n"
    )
