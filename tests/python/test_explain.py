"""tg.explain: graphs, plans and measured steps, as data, text and a page."""

import html.parser
import os
import re
import shutil
import subprocess
import sys

import pytest

import tegula as tg
from tegula import nn


class Elements(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.count, self.links = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "br", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "path"):
            assert self.open.pop() == tag


def training_step():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    x, y = tg.random.normal((8, 16)), tg.zeros(8, dtype=tg.int64)

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    tg.synchronize()
    return step


def test_a_call_is_explained_as_data():
    x = tg.random.normal((64, 32))
    tg.synchronize()

    def product(a, scale=1.0):
        return tg.tanh(a @ a.T) * scale

    explained = tg.explain(product, x, scale=2.0)
    assert explained.result.shape == (64, 64)
    (plan,) = explained.plans
    assert plan.device == "cpu"
    assert plan.runs == 1
    operations = [node.operation for node in plan.nodes]
    assert {"matmul", "tanh", "multiply"} <= set(operations)
    assert plan.nodes[-1].kept
    assert plan.nodes[-1].types == ("float32(64, 64)",)
    computed = [number for step in plan.steps for number in step.nodes]
    assert {operations[number] for number in computed} >= {"matmul", "tanh", "multiply"}
    first = plan.steps[0]
    assert first.operations.startswith("matmul")
    assert first.flops >= 2 * 64 * 64 * 32
    assert first.measured_us > 0
    assert first.predicted_us > 0
    assert first.threads >= 1
    assert "test_explain.py" in first.lines[0]
    assert "matmul" in str(explained)
    assert dict(plan.leaves)["leaf0"] == "float32(64, 32)"


def test_every_plan_of_a_call_is_there_and_repeats_are_one():
    x = tg.ones(8)
    tg.synchronize()

    def several():
        for _ in range(3):
            tg.eval(tg.exp(x))
        return tg.eval(tg.sum(x))

    plans = tg.explain(several).plans
    assert [plan.runs for plan in plans] == [3, 1]
    assert str(tg.explain(lambda: None)) == "nothing was computed"


def test_what_was_pending_before_is_not_the_functions():
    before = tg.exp(tg.ones(3))
    (plan,) = tg.explain(lambda: tg.eval(tg.ones(5) + 1)).plans
    assert "exp" not in [node.operation for node in plan.nodes]
    assert before.shape == (3,)


def test_a_jitted_function_shows_the_plan_it_replays():
    step = tg.jit(training_step())
    step()
    (plan,) = tg.explain(step).plans
    assert plan.runs == 1
    assert "sgd" in [node.operation for node in plan.nodes]


def test_the_algorithm_of_a_convolution_is_named():
    x, w = tg.random.normal((2, 32, 32, 32)), tg.random.normal((32, 32, 3, 3))
    tg.synchronize()

    def algorithms():
        (plan,) = tg.explain(lambda: tg.eval(tg.conv2d(x, w, padding=1))).plans
        return [step.algorithm for step in plan.steps if step.operations.startswith("conv")]

    chosen = tg.get_conv_algorithm()
    try:
        tg.set_conv_algorithm("direct")
        assert algorithms() == ["direct"]
        tg.set_conv_algorithm("winograd2")
        assert algorithms() == ["Winograd F(2x2)"]
    finally:
        tg.set_conv_algorithm(chosen)


def test_what_is_made_again_is_shown():
    norm = nn.BatchNorm2d(64)
    x, w = tg.random.normal((16, 64, 32, 32)), tg.random.normal((64, 64, 1, 1))
    x.requires_grad_()

    def passes():
        (tg.conv2d(tg.relu(norm(x)), w) ** 2).sum().backward()
        gradient, x.grad = x.grad, None
        tg.eval(gradient)

    explained = tg.explain(passes)
    (plan,) = explained.plans
    again = [(step, n) for step in plan.steps for n in step.again]
    assert again
    for step, n in again:
        assert any(n in earlier.nodes for earlier in plan.steps[: step.number])
    assert re.search(r"\(again: .*subtract", str(explained))


def debugged(level):
    code = "import tegula as tg; print(tg.tanh(tg.ones(3)).sum().item())"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "TEGULA_DEBUG": level},
    )


@pytest.mark.parametrize(
    ("level", "plans", "programs"), [("", 0, 0), ("0", 0, 0), ("1", 1, 0), ("2", 1, 1)]
)
def test_levels_of_debugging(level, plans, programs):
    result = debugged(level)
    assert result.stdout.startswith("2.28")
    assert result.stderr.count("plan on cpu") == plans
    assert ("v1 = tanh float32 v0" in result.stderr) == programs
    assert len(re.findall(r"us .*GB/s .*GFLOP/s +tile tanh", result.stderr)) == programs


def test_a_level_that_is_none():
    result = debugged("verbose")
    assert result.returncode == 1
    assert "TEGULA_DEBUG must be 0, 1 or 2, got 'verbose'" in result.stderr


def test_an_error_in_the_function_leaves_nothing_open():
    with pytest.raises(ZeroDivisionError):
        tg.explain(lambda: 1 / 0)
    assert tg.explain(lambda: tg.eval(tg.ones(2) + 1)).plans
    with pytest.raises(TypeError, match="unexpected argument 'wrong'"):
        tg.explain(tg.ones(2) + 1, wrong=True)


def test_the_page_is_whole_and_needs_no_network(tmp_path):
    explained = tg.explain(training_step())
    path = tmp_path / "page.html"
    text = explained.to_html(path)
    assert path.read_text(encoding="utf-8") == text
    elements = Elements()
    elements.feed(text)
    assert elements.open == []
    steps = sum(len(plan.steps) for plan in explained.plans)
    assert elements.count["rect"] >= 2 * steps  # a box and a bar for each
    assert all(link.startswith("#plan") for link in elements.links)
    assert "http" not in re.sub(r"http-equiv", "", text)


def test_names_from_the_program_are_escaped():
    code = compile("lambda: tg.eval(tg.ones(3) + 1)", "<script>alert(1).py", "eval")
    text = tg.explain(eval(code, {"tg": tg})).to_html()
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


def large_step():
    """Two transformer layers and an optimizer: several hundred nodes."""
    layers = [nn.TransformerEncoderLayer(16, 2, 32) for _ in range(2)]
    model = nn.Sequential(*layers, nn.Linear(16, 4))
    optimizer = tg.optim.AdamW(model.parameters())
    x = tg.random.normal((2, 8, 16))

    def step():
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()

    step()
    tg.synchronize()
    return step


# What the browser has laid out, written where it can be read: how many boxes there are, have a
# readable size, lie inside the drawing, overlap another; lines; and bars of the timeline.
PROBE = """<script>
const area = document.querySelector('svg.graph').getBoundingClientRect();
const a = [...document.querySelectorAll('svg.graph rect')].map(r => r.getBoundingClientRect());
const inside = r => r.left >= area.left && r.right <= area.right && r.bottom <= area.bottom;
const meet = (p, q) => p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom;
const texts = [...document.querySelectorAll('svg.graph a')].filter(
  a => a.getBBox().width > a.querySelector('rect').getBBox().width);
document.title = [
  a.length, a.filter(r => r.width > 100 && r.height > 20).length, a.filter(inside).length,
  a.filter((r, i) => a.some((q, j) => j < i && meet(r, q))).length, texts.length,
  document.querySelectorAll('svg.graph path').length > 0,
  document.querySelectorAll('svg.timeline rect').length > 0].join(' ');
</script>"""


@pytest.mark.parametrize("make", [training_step, large_step])
def test_a_browser_draws_the_page(tmp_path, make):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium on this machine")
    explained = tg.explain(make())
    path = tmp_path / "page.html"
    path.write_text(explained.to_html().replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        f"file://{path}",
    ]
    # Not with a sanitizer that is loaded into this process.
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env).stdout
    # Only the plan that the browser's first drawing shows is looked at.
    (plan,) = explained.plans
    steps = len(plan.steps)
    title = re.search("<title>(.*?)</title>", dom)
    assert title
    assert title[1] == f"{steps} {steps} {steps} 0 0 true true"


def test_the_layout_of_a_large_graph():
    from tegula._explain_layout import BETWEEN, ROW, lay_out

    reads = [[] if i % 5 == 0 else sorted({i - 1, (7 * i) % i}) for i in range(300)]
    drawn = lay_out(reads, lambda box: 40.0 + box % 3)
    assert len(drawn.boxes) == 300
    assert len(drawn.edges) == sum(map(len, reads))
    rows = {}
    for left, top in drawn.boxes:
        assert 0 <= left <= drawn.width
        rows.setdefault(top, []).append(left)
    assert max(map(len, rows.values())) <= 2 * ROW  # boxes that read nothing come beside
    for source, target, points in drawn.edges:
        ys = [y for _, y in points]
        assert ys == sorted(ys)  # always down
        assert ys[-1] == drawn.boxes[target][1] >= drawn.boxes[source][1] + BETWEEN
    empty = lay_out([], lambda box: 0.0)
    assert empty.boxes == []
