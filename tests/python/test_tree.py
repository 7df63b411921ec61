"""tg.tree: taking nests apart and putting them together, paths, registered containers, modules."""

import gc
import weakref
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

import tegula as tg
from tegula import nn

Point = namedtuple("Point", ["x", "y"])


@dataclass
class State:
    kind: ClassVar[str] = "state"
    weight: Any
    step: Any = 0


@dataclass(frozen=True)
class Derived:
    a: Any
    double: Any = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "double", ("computed", self.a))


class Pair:
    def __init__(self, first, second, label):
        self.first, self.second, self.label = first, second, label

    def __eq__(self, other):
        return vars(self) == vars(other)


tg.tree.register_node(
    Pair,
    lambda p: ((p.first, p.second), p.label, (".first", ".second")),
    lambda label, children: Pair(*children, label),
)


class Plain:
    """Registered without names."""

    def __init__(self, items):
        self.items = items


tg.tree.register_node(Plain, lambda p: (p.items, None), lambda _, children: Plain(list(children)))

TREES = [
    (3, 1),
    ("text", 1),
    (None, 0),
    ([], 0),
    ((), 0),
    ({}, 0),
    ([1, [2, (3,)], None], 3),
    ({"b": 1, "a": [2, 3]}, 3),
    ({1: 0, ("k", 2): {"deep": None}}, 1),
    (Point(1, [2, 3]), 3),
    (State(1.5, {"a": True}), 2),
    (Pair([1], 2, "name"), 2),
    (OrderedDict(z=1, a=[2]), 2),
    ([{"a": (Point(1, 2), None)}, State(Pair(1, 2, ""), ())], 4),
]


@pytest.mark.parametrize(("tree", "count"), TREES)
def test_flatten_and_unflatten(tree, count):
    leaves, structure = tg.tree.flatten(tree)
    assert len(leaves) == structure.num_leaves == len(structure.paths()) == count
    again = structure.unflatten(leaves)
    assert again == tree
    assert type(again) is type(tree)
    assert tg.tree.leaves(again) == leaves == tg.tree.leaves(tree)
    assert tg.tree.structure(again) == structure
    assert hash(tg.tree.structure(again)) == hash(structure)
    numbered = structure.unflatten(iter(range(count)))
    assert tg.tree.leaves(numbered) == list(range(count))


def test_leaves_are_the_objects_themselves():
    objects = [
        tg.ones(2),
        np.ones(2),
        object(),
        "text",
        2.5,
        lambda: 0,
        {1, 2},
        b"x",
        np.float32(1),
    ]
    assert all(a is b for a, b in zip(tg.tree.leaves([objects]), objects, strict=True))


def test_a_default_dict_keeps_its_factory():
    tree = defaultdict(list, a=1)
    again = tg.tree.map(lambda x: x + 1, tree)
    assert again == {"a": 2}
    assert again["new"] == []


def test_fields_that_init_does_not_take_are_set():
    again = tg.tree.map(lambda x: x if isinstance(x, str) else x + 1, Derived(1))
    assert (again.a, again.double) == (2, ("computed", 2))


def test_paths():
    tree = {"layers": [0, State(1, Point(2, 3)), Pair(4, [5], "")], 7: Plain([6])}
    assert tg.tree.paths(tree) == [
        "['layers'][0]",
        "['layers'][1].weight",
        "['layers'][1].step.x",
        "['layers'][1].step.y",
        "['layers'][2].first",
        "['layers'][2].second[0]",
        "[7][0]",
    ]
    assert tg.tree.paths(1) == [""]
    assert tg.tree.paths(OrderedDict(a=[1])) == ["['a'][0]"]


def test_repr_shows_the_structure():
    structure = tg.tree.structure({"a": [1, None], "b": (Pair(1, (2,), ""),)})
    assert repr(structure) == "Structure({'a': [*, None], 'b': (Pair(first=*, second=(*,)),)})"


def test_structures_differ_by_containers_keys_and_types():
    structures = [
        tg.tree.structure(t)
        for t in ([1, 2], (1, 2), Point(1, 2), [1, [2]], [1, None], {"a": 1, "b": 2}, {"a": 1})
    ]
    assert len(set(structures)) == len(structures)
    assert tg.tree.structure(Pair(1, 2, "a")) != tg.tree.structure(Pair(1, 2, "b"))
    assert tg.tree.structure(1) != 1


def test_map_over_several_trees():
    a = {"x": 1, "y": [2, (3,)]}
    b = {"y": [20, (30,)], "x": 10}  # keys in another order
    assert tg.tree.map(lambda p, q: p + q, a, b) == {"x": 11, "y": [22, (33,)]}
    assert tg.tree.map(lambda p: [p], [1, None]) == [[1], None]


def test_is_leaf():
    tree = {"a": (1, 2), "b": [(3, 4), None]}
    is_pair = lambda x: isinstance(x, tuple)  # noqa: E731
    assert tg.tree.leaves(tree, is_leaf=is_pair) == [(1, 2), (3, 4)]
    assert tg.tree.paths(tree, is_leaf=is_pair) == ["['a']", "['b'][0]"]
    assert tg.tree.map(sum, tree, is_leaf=is_pair) == {"a": 3, "b": [7, None]}
    assert tg.tree.map(lambda a, b: a + b, tree, tree, is_leaf=is_pair)["a"] == (1, 2, 1, 2)
    assert tg.tree.leaves([None, 1], is_leaf=lambda x: x is None) == [None, 1]
    with pytest.raises(ZeroDivisionError):
        tg.tree.leaves([1], is_leaf=lambda x: 1 / 0)


PARAMS = {"layers": [0, 1, 2, {"weight": 3.0, "bias": None}], "head": State(4, Point(5, 6))}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            "weight",
            [1],
            r"rest\[0\]\['layers'\]\[3\]\['weight'\] must be a leaf, as in tree, not list",
        ),
        ("weight", None, r"\['weight'\] must be a leaf, as in tree, not None"),
        ("bias", 3, r"rest\[0\]\['layers'\]\[3\]\['bias'\] must be None, as in tree, not int"),
        ("other", 3, r"rest\[0\]\['layers'\]\[3\]\['other'\] is not there in tree"),
    ],
)
def test_a_mismatch_names_the_place(place, value, message):
    other = tg.tree.map(lambda x: x, PARAMS)
    other["layers"][3][place] = value
    with pytest.raises(ValueError, match="tree.map: .*" + message):
        tg.tree.map(lambda a, b: a, PARAMS, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["layers"].pop(), r"rest\[1\]\['layers'\] has 3 items, but 4 in tree"),
        (lambda t: t["layers"][3].pop("weight"), r"\['layers'\]\[3\]\['weight'\] is missing"),
        (lambda t: t.update(layers=(1,)), r"rest\[1\]\['layers'\] must be a list.*not tuple"),
        (lambda t: t.update(head=Point(1, 2)), r"rest\[1\]\['head'\] must be a State.*not .*Point"),
        (lambda t: setattr(t["head"], "step", 1), r"\['head'\]\.step must be a Point.*not int"),
    ],
)
def test_a_mismatch_of_containers_names_the_place(change, message):
    other = tg.tree.map(lambda x: x, PARAMS)
    change(other)
    with pytest.raises(ValueError, match=message):
        tg.tree.map(lambda *_: 0, PARAMS, PARAMS, other)


def test_a_mismatch_of_data_is_an_error():
    with pytest.raises(ValueError, match=r"rest\[0\]\[0\] keeps other data.*'b'.*'a'"):
        tg.tree.map(lambda a, b: a, [Pair(1, 2, "a")], [Pair(1, 2, "b")])
    with pytest.raises(ValueError, match=r"rest\[0\] has 1 item, but 2 in tree"):
        tg.tree.map(lambda a, b: a, Plain([1, 2]), Plain([1]))


def test_flatten_up_to():
    structure = tg.tree.structure({"a": 0, "b": [0, None]})
    assert structure.flatten_up_to({"b": [{"deep": 1}, None], "a": (1, 2)}) == [(1, 2), {"deep": 1}]
    with pytest.raises(ValueError, match=r"flatten_up_to: axes\['b'\] must be a list.*not int"):
        structure.flatten_up_to({"a": 1, "b": 2}, name="axes")


def test_unflatten_counts():
    structure = tg.tree.structure([1, (2, 3)])
    with pytest.raises(ValueError, match="has 3 leaves, got 2"):
        structure.unflatten([1, 2])
    with pytest.raises(ValueError, match="has 3 leaves, got 4"):
        structure.unflatten(range(4))
    with pytest.raises(TypeError):
        structure.unflatten(5)


def test_depth_is_limited():
    tree: list = []
    tree.append(tree)
    for walk in (tg.tree.leaves, tg.tree.structure, tg.tree.paths):
        with pytest.raises(ValueError, match=r"tree: .*nested more than 64 deep"):
            walk(tree)
    deep: Any = 1
    for _ in range(63):
        deep = [deep]
    assert tg.tree.leaves(deep) == [1]
    assert tg.tree.paths(deep) == ["[0]" * 63]


def test_a_container_that_changes_while_it_is_read():
    for tree in ([1, 2, 3], {"a": 1, "b": 2}):
        items = list(tree.values()) if isinstance(tree, dict) else tree

        def shrink(x, tree=tree, items=items):
            if x is items[0]:
                tree.pop("b" if isinstance(tree, dict) else -1)
            return False

        with pytest.raises(RuntimeError, match="changed while it was being read"):
            tg.tree.leaves(tree, is_leaf=shrink)


def test_structures_hold_no_leaves():
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    structure = tg.tree.structure({"a": [thing]})
    del thing
    assert gone() is None
    assert structure.num_leaves == 1


def test_structures_are_collected_in_cycles():
    class Holder:
        pass

    holder = Holder()
    gone = weakref.ref(holder)
    holder.structure = tg.tree.structure(Pair(1, 2, holder))
    del holder
    gc.collect()
    assert gone() is None


# ---- registering -----------------------------------------------------------------------------


def test_registering_twice_is_refused():
    with pytest.raises(ValueError, match="Pair is registered already"):
        tg.tree.register_node(Pair, lambda p: ((), None), lambda d, c: None)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (3, "type must be a class, not int"),
        ("Pair", "type must be a class, not str"),
        (list, "list is a leaf or a container everywhere"),
        (dict, "dict is a leaf"),
        (int, "int is a leaf"),
        (type(None), "NoneType is a leaf"),
        (object, "object is a leaf"),
        (tg.Tensor, "Tensor is a leaf"),
        (nn.Parameter, "Parameter is a leaf"),
        (np.ndarray, "ndarray is a leaf"),
        (nn.Linear, "Linear is a Module"),
        (nn.Module, "Module is a Module"),
    ],
)
def test_unsuitable_types_are_refused(kind, message):
    with pytest.raises(TypeError, match=message):
        tg.tree.register_node(kind, lambda p: ((), None), lambda d, c: None)


def test_functions_must_be_callable():
    class Local:
        pass

    with pytest.raises(TypeError, match="flatten_fn must be callable, not int"):
        tg.tree.register_node(Local, 3, lambda d, c: None)
    with pytest.raises(TypeError, match="unflatten_fn must be callable, not str"):
        tg.tree.register_node(Local, lambda x: x, "text")


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (3, TypeError, r"flatten_fn of .*Bad must return a tuple \(children, data\).*not 3"),
        (((1,),), TypeError, "must return a tuple"),
        ((1, None), TypeError, "must return the children as a sequence, not int"),
        (((1, 2), None, (".a",)), ValueError, "gave 2 children, but 1 names"),
        (((1,), None, (5,)), TypeError, "must give names as str.*not int"),
    ],
)
def test_what_flatten_fn_returns_is_checked(result, error, message):
    class Bad:
        pass

    tg.tree.register_node(Bad, lambda _: result, lambda d, c: None)
    with pytest.raises(error, match=message):
        tg.tree.flatten([Bad()])


def test_errors_of_the_functions_come_through():
    class Failing:
        pass

    tg.tree.register_node(Failing, lambda _: ((1,), None), lambda d, c: 1 / 0)
    leaves, structure = tg.tree.flatten(Failing())
    with pytest.raises(ZeroDivisionError):
        structure.unflatten(leaves)


def test_a_derived_class_is_registered_by_itself():
    class Derived(Pair):
        pass

    pair = Derived(1, 2, "")
    assert tg.tree.leaves([pair]) == [pair]


def test_a_registered_dataclass_and_namedtuple_follow_the_registration():
    @dataclass
    class Sized:
        value: Any
        size: int

    Tagged = namedtuple("Tagged", ["tag", "value"])
    tg.tree.register_node(Sized, lambda s: ([s.value], s.size), lambda n, c: Sized(c[0], n))
    tg.tree.register_node(Tagged, lambda t: ([t.value], t.tag), lambda tag, c: Tagged(tag, c[0]))
    assert tg.tree.leaves([Sized(1, 2), Tagged("t", 3)]) == [1, 3]
    assert tg.tree.map(str, Tagged("t", 3)) == Tagged("t", "3")


def test_registered_containers_in_jit_grad_and_control_flow():
    pair = Pair(tg.asarray([1.0, 2.0]), tg.asarray(3.0), "label")

    @tg.jit
    def double(p):
        assert p.label == "label"
        return Pair(p.first * 2, p.second * 2, p.label)

    for _ in range(2):
        result = double(pair)
        assert result.label == "label"
        assert result.first.tolist() == [2.0, 4.0]
    assert double.cache_info()["misses"] == 1

    gradient = tg.grad(lambda p: (p.first * p.second).sum())(pair)
    assert isinstance(gradient, Pair)
    assert gradient.first.tolist() == [3.0, 3.0]
    assert gradient.second.item() == 3.0

    last, _ = tg.scan(
        lambda c, _: (Pair(c.first + c.second, c.second, c.label), None), pair, length=3
    )
    assert last.first.tolist() == [10.0, 11.0]


# ---- callbacks and graphs --------------------------------------------------------------------


def test_a_callback_gets_arrays_in_registered_containers_and_its_own_lists():
    seen, out = [], []

    def log(pair, out):
        seen.append(pair)
        out.append(1)

    tg.debug.callback(log, Pair(tg.ones(2), "text", "name"), out)
    tg.submit()
    tg.synchronize()
    assert isinstance(seen[0].first, np.ndarray)
    assert seen[0].second == "text"
    assert out == [1]


# ---- modules ---------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False))
        self.settings = {"scale": 2.0}

    def forward(self, x):
        return self.head(self.norm(self.first(x))) * self.settings["scale"]


NAMES = [
    ".first.weight",
    ".first.bias",
    ".norm.weight",
    ".norm.bias",
    ".head.1.weight",
    ".norm.running_mean",
    ".norm.running_var",
    ".norm.num_batches_tracked",
]


def test_a_module_is_a_container_of_its_parameters_and_buffers():
    net = Net()
    leaves, structure = tg.tree.flatten(net)
    assert structure.paths() == NAMES
    named = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    assert all(leaf is named[path[1:]] for leaf, path in zip(leaves, NAMES, strict=True))
    assert tg.tree.paths({"net": [net]})[0] == "['net'][0].first.weight"


def test_a_module_made_from_a_tree_leaves_the_original_alone():
    net = Net()
    x = tg.random.normal((5, 3))
    copy = tg.tree.map(lambda t: t, net)
    assert type(copy) is Net
    assert copy is not net
    assert copy.first is not net.first
    assert copy.settings is net.settings  # what is no tensor and no module is shared
    assert np.array_equal(copy(x).numpy(), net(x).numpy())
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    copy(x)
    with tg.no_grad():
        for p in copy.parameters():
            p += 1.0
    copy.eval()
    copy.extra = nn.Linear(1, 1)
    for name, value in net.state_dict().items():
        assert np.array_equal(value.numpy(), before[name]), name
    assert net.training
    assert net.head.training
    assert not hasattr(net, "extra")
    assert copy.norm.num_batches_tracked.item() == 2


def test_gradients_flow_to_the_tensors_of_the_tree():
    net = Net().eval()
    x = tg.random.normal((5, 3))
    leaves, structure = tg.tree.flatten(net)
    fresh = [t.detach() * 2 if t.dtype == tg.float32 else t for t in leaves]
    for t in fresh[:5]:
        t.requires_grad_()
    made = structure.unflatten(fresh)
    assert [n for n, _ in made.named_parameters()] == [n for n, _ in net.named_parameters()]
    made(x).sum().backward()
    assert all(t.grad is not None for t in fresh[:5])
    assert all(p.grad is None for p in net.parameters())
    assert all(p.grad is not None for p in made.parameters())


def test_hooks_of_a_copy_are_its_own():
    calls = []
    net = nn.Linear(2, 2)
    handle = net.register_forward_hook(lambda *_: calls.append("shared"))
    copy = tg.tree.map(lambda t: t, net)
    copy.register_forward_hook(lambda *_: calls.append("copy"))
    handle.remove()
    net(tg.ones(2))
    assert calls == []
    copy(tg.ones(2))
    assert calls == ["shared", "copy"]


def test_anything_may_stand_in_a_module():
    net = Net()
    structure = tg.tree.structure(net)
    names = structure.unflatten(NAMES)
    assert names.first.weight == ".first.weight"
    assert tg.tree.structure(names) == structure
    assert tg.tree.leaves(names) == NAMES
    sizes = tg.tree.map(lambda t, name: (name, t.size), net, names)
    assert sizes.first.bias == (".first.bias", 4)
    tensors = tg.tree.map(lambda _: tg.zeros(2), names)
    assert isinstance(tensors.first.weight, nn.Parameter)
    assert tg.tree.structure(tensors) == structure


def test_a_shared_parameter_is_one_leaf():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5, bias=False)
            self.out.weight = self.embed.weight
            self.again = self.out

        def forward(self, i):
            return self.again(self.embed(i))

    net = Tied()
    assert tg.tree.paths(net) == [".embed.weight"]
    copy = tg.tree.map(lambda t: t * 2, net)
    assert copy.out.weight is copy.embed.weight
    assert copy.again is copy.out
    assert np.array_equal(copy.out.weight.numpy(), 2 * net.embed.weight.numpy())


def test_modules_of_other_structure():
    a, b = nn.Linear(2, 3), nn.Linear(2, 3, bias=False)
    with pytest.raises(ValueError, match=r"rest\[0\]\['m'\]\.bias is missing"):
        tg.tree.map(lambda p, q: p, {"m": a}, {"m": b})
    with pytest.raises(ValueError, match=r"rest\[0\]\['m'\]\.bias is not there in tree"):
        tg.tree.map(lambda p, q: p, {"m": b}, {"m": a})
    with pytest.raises(ValueError, match=r"rest\[0\] must be a Linear, as in tree, not"):
        tg.tree.map(lambda p, q: p, a, nn.ReLU())
    assert tg.tree.structure(a) != tg.tree.structure(b)
    assert tg.tree.structure(a) == tg.tree.structure(nn.Linear(5, 6))
    assert tg.tree.leaves(nn.ReLU()) == []


def test_modules_in_gradients_and_in_jit():
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).eval()
    x = tg.random.normal((5, 3))
    net(x).sum().backward()

    def gradient(x):
        return tg.tree.leaves(tg.grad(lambda m: m(x).sum())(net))

    for found in (gradient(x), tg.jit(gradient)(x)):
        for p, g in zip(net.parameters(), found, strict=True):
            np.testing.assert_allclose(g.numpy(), p.grad.numpy(), rtol=1e-6)


def test_jit_sees_the_mode_of_a_module_that_is_copied():
    net = nn.Sequential(nn.BatchNorm1d(3, affine=False))
    x = tg.random.normal((50, 3)) * 3 + 1
    apply = tg.jit(lambda x: tg.tree.map(lambda t: t, net)(x))
    assert abs(apply(x).mean().item()) < 1e-5
    net.eval()
    np.testing.assert_allclose(apply(x).numpy(), x.numpy(), rtol=1e-4)
    net.train()
    assert abs(apply(x).mean().item()) < 1e-5
