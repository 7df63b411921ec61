"""``tg.graph``: a function's graph as data, as text, and run in part."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from bits import same

import tegula as tg
from tegula import nn


def network(x, w, scale=1.0):
    hidden = tg.tanh(x @ w)
    return (hidden * scale).sum(axis=1)


def example():
    return tg.random.normal((4, 3)), tg.random.normal((3, 5))


def number(graph, operation):
    (found,) = [node.number for node in graph.nodes if node.operation == operation]
    return found


def test_nodes_inputs_and_results():
    graph = tg.graph(network, tg.TensorSpec((4, 3)), w=tg.TensorSpec((3, 5)), scale=2.0)
    operations = [node.operation for node in graph.nodes]
    assert operations == ["matmul", "tanh", "multiply", "sum", "reshape"]
    assert [x.alias for x in graph.inputs] == ["x", "w", "scale"]
    assert {x.origin for x in graph.inputs} == {"argument"}
    assert graph.nodes[0].inputs == ("leaf0", "leaf1")
    assert graph.nodes[0].types == ("float32(4, 5)",)
    assert re.fullmatch(r"test_graph\.py:17 in network", graph.nodes[0].line)
    assert graph.results == ("4",)
    assert graph.nodes[4].kept
    text = str(graph)
    assert "0: matmul" in text
    assert "test_graph.py:17 in network" in text
    assert "leaf0: float32(4, 3), argument x" in text


def test_nothing_is_computed_or_changed():
    total = tg.zeros(2)
    tg.eval(total)

    def add(x):
        nonlocal total
        total += x
        return total * 2

    tg.synchronize()
    before = tg.plan_cache_stats()
    graph = tg.graph(add, tg.TensorSpec((2,)))
    after = tg.plan_cache_stats()
    assert (before["hits"], before["misses"]) == (after["hits"], after["misses"])
    assert total.tolist() == [0.0, 0.0]
    assert [
        (name, x.origin) for name, _ in graph.writes for x in graph.inputs if x.name == name
    ] == [(graph.writes[0][0], "captured")]
    assert "is written to" in str(graph)


def test_values_from_others():
    x, w = example()
    graph = tg.graph(network, x, w)
    (result,) = graph.evaluate(feed={"x": x, "w": w})
    same(result, network(x, w))
    hidden = graph.evaluate(number(graph, "tanh"), {"x": x, "w": w})
    same(hidden, tg.tanh(x @ w))
    # From a value within: x and w are not needed.
    mid = number(graph, "tanh")
    cut, whole = graph.evaluate([str(graph.results[0]), mid], {mid: hidden * 2})
    same(cut, (hidden * 2).sum(axis=1))
    same(whole, hidden * 2)


def test_gradients_flow_through_parts():
    x, w = example()
    graph = tg.graph(network, x, w)
    result = tg.grad(lambda w: graph.evaluate(graph.results[0], {"x": x, "w": w}).sum())(w)
    same(result, tg.grad(lambda w: network(x, w).sum())(w))


def test_tensors_from_outside_are_taken_as_they_are_now():
    model = nn.Linear(3, 2)
    graph = tg.graph(model, tg.TensorSpec((5, 3)))
    x = tg.random.normal((5, 3))
    with tg.no_grad():
        model.weight[...] = model.weight * 2
    (y,) = graph.evaluate(feed={graph.inputs[0].alias: x})
    same(y, model(x))
    assert {i.origin for i in graph.inputs} >= {"argument", "captured"}


def test_random_numbers_and_nests_of_arguments():
    def noisy(batch, *, rate):
        return batch["a"][1] + tg.random.normal((3,)) * rate

    given = {"a": [tg.ones(2), tg.ones(3)]}
    graph = tg.graph(noisy, given, rate=0.5)
    assert {x.alias for x in graph.inputs if x.origin == "argument"} == {"batch['a'][1]", "rate"}
    tg.manual_seed(1)
    first, second = (graph.evaluate(graph.results[0], {"batch['a'][1]": tg.ones(3)}) for _ in "ab")
    tg.manual_seed(1)
    same(first, noisy(given, rate=0.5))
    assert first.tolist() != second.tolist()


def test_what_is_refused():
    x, w = example()
    graph = tg.graph(network, x, w)
    with pytest.raises(ValueError, match="leaf1 is needed and must be given"):
        graph.evaluate(feed={"x": x})
    with pytest.raises(ValueError, match="no value 'y'"):
        graph.evaluate("y")
    with pytest.raises(ValueError, match="no value 99"):
        graph.evaluate(99)
    with pytest.raises(ValueError, match=r"cannot be given as float32\(3, 5\)"):
        graph.evaluate(feed={"x": w, "w": w})
    with pytest.raises(tg.TraceError):
        tg.graph(lambda x: x if x.sum() > 0 else -x, x)
    assert tg.graph(lambda x: x, x).nodes == ()
    assert "returns no tensor" in str(tg.graph(lambda: None))


def test_a_train_step():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = tg.optim.AdamW(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    graph = tg.graph(step, tg.TensorSpec((8, 3)), tg.TensorSpec((8,), "int64"))
    assert "adam" in {node.operation for node in graph.nodes}
    assert len(graph.writes) >= 4
    x, y = tg.random.normal((8, 3)), tg.zeros(8, dtype=tg.int64)
    expected = nn.functional.cross_entropy(model(x), y)
    same(graph.evaluate(graph.results[0], {"x": x, "y": y}), expected)


def test_dot():
    x, w = example()
    text = tg.graph(network, x, w).dot()
    assert text.startswith("digraph {")
    assert text.count("->") == 7
    assert "n0 -> n1;" in text
    hostile = eval(compile("lambda x: x + 1", 'a"];evil [label="', "eval"))
    escaped = tg.graph(hostile, x).dot()
    assert '"];evil' not in escaped.replace('\\"', "")
    if dot := shutil.which("dot"):
        drawn = subprocess.run(
            [dot, "-Tsvg"], input=text, capture_output=True, text=True, check=True
        )
        assert "matmul" in drawn.stdout
