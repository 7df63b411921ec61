"""The page of ``Explanation.to_html``: tables, graphs and a timeline in one file without network.

Everything that comes from the program (names, lines, paths) is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tegula._explain import Explanation, Plan, Step

BOX, GAP, LINE, PADDING = 250, 26, 15, 8  # pixels: a step's width, between steps, a line of text
SHOWN = 6  # nodes that a step's box lists
SWEEPS = 4  # over the layers, to bring steps near those they read
TIMELINE, LANE, LABELS = 1100, 24, 110
HEADS = (
    "step", "us", "predicted us", "threads", "MB", "MFLOP", "GB/s", "GFLOP/s", "kernel", "lines",
)  # fmt: skip
COLOURS = {"tile": "#fff3d6", "matmul": "#dbe9ff", "conv": "#e0f3df", "": "#eeeeee"}

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid #e4e4e4 }
th:last-child, td:last-child, td.name { text-align: left }
td.name { font-family: ui-monospace, monospace; max-width: 46em; overflow-wrap: anywhere }
tr:target, tr:hover { background: #fff8dc }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid #ddd; background: #fcfcfc }
svg text { font: 11px ui-monospace, monospace; fill: #222 }
svg .title { font-weight: bold }
svg path { fill: none; stroke: #9aa4b2 }
svg a:hover rect { stroke: #b00; stroke-width: 2 }
summary { cursor: pointer; margin: .6em 0 }
pre { background: #f6f6f6; padding: .6em; overflow: auto }
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


def _layers(dependencies: list[list[int]]) -> list[list[int]]:
    """Steps by depth; within a layer near the steps that they read."""
    depths: list[int] = []
    for reads in dependencies:
        depths.append(1 + max((depths[r] for r in reads if r < len(depths)), default=-1))
    layers: list[list[int]] = [[] for _ in range(max(depths, default=-1) + 1)]
    for step, depth in enumerate(depths):
        layers[depth].append(step)
    for _ in range(SWEEPS):
        place = {step: i for layer in layers for i, step in enumerate(layer)}
        for layer in layers:
            means = {
                step: sum(place[r] for r in dependencies[step]) / len(dependencies[step])
                if dependencies[step]
                else place[step]
                for step in layer
            }
            layer.sort(key=means.__getitem__)
    return layers


def _box_lines(plan: Plan, step: Step) -> list[str]:
    lines = []
    for number in step.nodes[:SHOWN]:
        node = plan.nodes[number]
        lines.append(f"{number} {node.operation} {' '.join(node.types)}"[:38])
    if len(step.nodes) > SHOWN:
        lines.append(f"… and {len(step.nodes) - SHOWN} more")
    return lines


def _graph(index: int, plan: Plan) -> str:
    """Each step a box with the nodes fused in it; below what it reads."""
    dependencies = _dependencies(plan)
    at: dict[int, tuple[float, float, float]] = {}  # left, top, height
    y, width = float(GAP), 0.0
    for layer in _layers(dependencies):
        tallest = 0.0
        for i, step in enumerate(layer):
            height = (len(_box_lines(plan, plan.steps[step])) + 1) * LINE + 2 * PADDING
            at[step] = (GAP + i * (BOX + GAP), y, height)
            tallest = max(tallest, height)
        width = max(width, GAP + len(layer) * (BOX + GAP))
        y += tallest + 1.6 * GAP
    parts = []
    for step, reads in enumerate(dependencies):
        left, top, _ = at[step]
        for read in reads:
            from_left, from_top, from_height = at[read]
            x0, y0 = from_left + BOX / 2, from_top + from_height
            x1, bend = left + BOX / 2, max(18.0, (top - y0) / 2)
            far = ' stroke-dasharray="3 4"' if top - y0 > 400 else ""
            parts.append(
                f'<path d="M{x0:.0f} {y0:.0f} C{x0:.0f} {y0 + bend:.0f} {x1:.0f} '
                f'{top - bend:.0f} {x1:.0f} {top:.0f}"{far}/>'
            )
    for what in plan.steps:
        left, top, tall = at[what.number]
        first = top + PADDING + 11
        title = f"{what.number} {what.operations.split(' ')[0]} {what.measured_us:.1f} us"
        text = f'<text class="title" x="{left + PADDING}" y="{first}">{escape(title)}</text>'
        for i, line in enumerate(_box_lines(plan, what), 1):
            text += f'<text x="{left + PADDING}" y="{first + LINE * i}">{escape(line)}</text>'
        tip = "\n".join([what.operations, *what.lines])
        parts.append(
            f'<a href="#plan{index}step{what.number}"><rect x="{left}" y="{top}" width="{BOX}" '
            f'height="{tall}" rx="5" fill="{_colour(what)}" stroke="#8a8a8a">'
            f"<title>{escape(tip)}</title></rect>{text}</a>"
        )
    return (
        f'<div class="scroll"><svg class="graph" width="{width:.0f}" height="{y:.0f}">'
        f"{''.join(parts)}</svg></div>"
    )


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
        details = [f"reads {', '.join(step.reads)}", f"writes {', '.join(step.writes)}"]
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
            "<h3>Graph</h3><p>A box is a step with the operations fused in it; arrows lead from "
            "what it reads. Click for its row.</p>",
            _graph(i, plan),
            f"<details><summary>All nodes</summary><pre>{escape(leaves)}\n{escape(nodes)}</pre>"
            "</details>",
        ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>tg.explain</title>'
        f"<style>{STYLE}</style></head><body><h1>tg.explain</h1><h2>Timeline</h2>"
        f"{_timeline(explanation)}{''.join(parts)}</body></html>\n"
    )
