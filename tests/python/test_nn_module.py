"""Module: registration, traversal, state, modes, hooks, printing; the containers."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import tegula as tg
from tegula import nn


class Block(nn.Module):
    def __init__(self, size=3):
        super().__init__()
        self.fc = nn.Linear(size, size)
        self.scale = nn.Parameter(tg.ones((size,)))
        self.register_buffer("count", tg.zeros((), dtype=tg.int64))
        self.register_buffer("scratch", tg.zeros((2,)), persistent=False)

    def forward(self, x, offset=0.0):
        return self.fc(x) * self.scale + offset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.rest = nn.ModuleList([Block(), nn.ReLU()])
        self.head = nn.Linear(3, 2, bias=False)

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return self.head(x)


NAMES = [
    "first.scale",
    "first.fc.weight",
    "first.fc.bias",
    "rest.0.scale",
    "rest.0.fc.weight",
    "rest.0.fc.bias",
    "head.weight",
]


def test_parameter_is_a_leaf_with_its_own_handle():
    value = tg.asarray([1.0, 2.0])
    p = nn.Parameter(value)
    assert isinstance(p, tg.Tensor)
    assert p.requires_grad
    assert not value.requires_grad
    assert not nn.Parameter(value, requires_grad=False).requires_grad
    assert nn.Parameter([1.0, 2.0]).dtype == tg.float32
    tg.sum(p * p).backward()
    np.testing.assert_array_equal(p.grad.numpy(), [2, 4])
    assert "Parameter" in repr(p)
    assert type(p * 2) is tg.Tensor


def test_named_parameters_in_order():
    net = Net()
    assert sorted(name for name, _ in net.named_parameters()) == sorted(NAMES)
    assert [name for name, _ in net.named_parameters()][:1] == ["first.scale"]
    assert len(list(net.parameters())) == len(NAMES)
    assert [name for name, _ in net.first.named_parameters(recurse=False)] == ["scale"]
    assert next(name for name, _ in net.named_parameters(prefix="net")) == "net.first.scale"


def test_named_modules_children_buffers():
    net = Net()
    assert [name for name, _ in net.named_modules()] == [
        "",
        "first",
        "first.fc",
        "rest",
        "rest.0",
        "rest.0.fc",
        "rest.1",
        "head",
    ]
    assert [name for name, _ in net.named_children()] == ["first", "rest", "head"]
    assert list(net.children()) == [net.first, net.rest, net.head]
    names = [name for name, _ in net.named_buffers()]
    assert names == ["first.count", "first.scratch", "rest.0.count", "rest.0.scratch"]
    assert len(list(net.buffers())) == 4


def test_shared_parameter_is_listed_once_and_stays_shared():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert len(net.state_dict()) == 4
    net.to(tg.float64)
    assert net[1].weight is net[0].weight
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight
    assert twin[0].weight is not net[0].weight


def test_assignment_rules():
    block = Block()
    with pytest.raises(TypeError, match=r"cannot assign Tensor to the parameter 'scale' of Block"):
        block.scale = tg.ones((3,))
    with pytest.raises(TypeError, match=r"cannot assign float to the buffer 'count'"):
        block.count = 1.0
    block.scale = None
    assert "scale" not in dict(block.named_parameters())
    block.count = tg.asarray(5)
    assert dict(block.named_buffers())["count"].item() == 5
    block.note = "anything"
    del block.fc
    assert list(block.children()) == []


def test_registering_by_name():
    module = nn.Module()
    module.register_parameter("w", nn.Parameter(tg.ones((2,))))
    module.register_parameter("none", None)
    module.add_module("relu", nn.ReLU())
    module.register_buffer("later", None)
    assert list(module.state_dict()) == ["w"]
    module.later = tg.ones((1,))
    assert list(module.state_dict()) == ["w", "later"]
    with pytest.raises(ValueError, match="already has an attribute 'forward'"):
        module.register_buffer("forward", tg.ones((1,)))
    with pytest.raises(ValueError, match=r"without '\.'"):
        module.register_parameter("a.b", nn.Parameter(tg.ones((1,))))
    with pytest.raises(TypeError, match="must be a Tensor or None, not list"):
        module.register_buffer("x", [1])
    with pytest.raises(TypeError, match="must be a Parameter or None, not Tensor"):
        module.register_parameter("x", tg.ones((1,)))
    with pytest.raises(TypeError, match="must be a Module"):
        module.add_module("x", 3)


def test_state_dict_is_a_snapshot():
    net = Net()
    state = net.state_dict()
    assert set(state) == {*NAMES, "first.count", "rest.0.count"}
    before = state["head.weight"].numpy().copy()
    with tg.no_grad():
        net.head.weight[...] = net.head.weight + 1
    np.testing.assert_array_equal(state["head.weight"].numpy(), before)
    np.testing.assert_array_equal(net.head.weight.numpy(), before + 1)
    assert not state["head.weight"].requires_grad


def test_load_state_dict_round_trip_keeps_the_handles():
    a, b = Net(), Net()
    weight = b.head.weight
    result = b.load_state_dict(a.state_dict())
    assert result.missing_keys == []
    assert result.unexpected_keys == []
    assert b.head.weight is weight
    assert weight.requires_grad
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy(), err_msg=name)
    x = tg.asarray(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())
    b.load_state_dict({name: value.numpy() for name, value in a.state_dict().items()})


def test_load_state_dict_says_everything_that_is_wrong():
    net = Net()
    before = net.head.weight.numpy().copy()
    state = net.state_dict()
    del state["first.scale"], state["first.count"]
    state["extra"] = tg.ones((1,))
    state["head.weight"] = tg.zeros((2, 4))
    state["rest.0.scale"] = tg.zeros((3,), dtype=tg.float64)
    with pytest.raises(ValueError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: the state does not fit Net:\n"
        "  missing in the state: first.scale, first.count\n"
        "  unexpected in the state: extra\n"
        f"  dtype of rest.0.scale: {tg.float32} in the model, {tg.float64} in the state\n"
        "  shape of head.weight: (2, 3) in the model, (2, 4) in the state"
    )
    np.testing.assert_array_equal(net.head.weight.numpy(), before)
    with pytest.raises(TypeError, match="must be a mapping"):
        net.load_state_dict([1])


def test_load_state_dict_not_strict():
    net = Net()
    result = net.load_state_dict({"head.weight": tg.ones((2, 3)), "extra": 1}, strict=False)
    assert "first.scale" in result.missing_keys
    assert result.unexpected_keys == ["extra"]
    np.testing.assert_array_equal(net.head.weight.numpy(), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"shape of head\.weight"):
        net.load_state_dict({"head.weight": tg.ones((3, 2))}, strict=False)


def test_modes():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert all(module.training for module in net.modules())
    with pytest.raises(TypeError, match="mode must be a bool"):
        net.train(1)


def test_apply_goes_from_the_leaves_up():
    order = []
    net = Net()
    assert net.apply(lambda module: order.append(type(module).__name__)) is net
    assert order[-1] == "Net"
    assert order.index("Linear") < order.index("Block")


def test_requires_grad_and_zero_grad():
    net = Net()
    tg.sum(net(tg.ones((2, 3)))).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert net.requires_grad_(False) is net
    assert not net(tg.ones((2, 3))).requires_grad


def test_to_dtype():
    net = Net().to(dtype=tg.float64)
    assert {p.dtype for p in net.parameters()} == {tg.float64}
    assert net.first.count.dtype == tg.int64
    assert net.first.scratch.dtype == tg.float64
    assert net.to("cpu") is net
    assert net(tg.ones((1, 3), dtype=tg.float64)).dtype == tg.float64
    with pytest.raises(TypeError, match="must be a floating one"):
        net.to(tg.int32)


def test_hooks():
    block, calls = Block(), []
    before = block.register_forward_pre_hook(lambda m, args: calls.append("before"))
    doubled = block.register_forward_hook(lambda m, args, result: result * 2)
    x = tg.ones((1, 3))
    np.testing.assert_allclose(block(x).numpy(), 2 * block.forward(x).numpy())
    assert calls == ["before"]
    doubled.remove()
    doubled.remove()
    np.testing.assert_allclose(block(x, offset=1.0).numpy(), block.forward(x).numpy() + 1)
    replaced = block.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    np.testing.assert_allclose(block(x).numpy(), block.forward(x * 0).numpy())
    replaced.remove()
    before.remove()
    assert block._hooks is None
    with pytest.raises(TypeError, match="callable"):
        block.register_forward_hook(3)


def test_deepcopy_and_collection():
    net = Net()
    twin = copy.deepcopy(net)
    with tg.no_grad():
        twin.head.weight[...] = 0.0
    assert net.head.weight.numpy().any()
    assert {type(p) for p in twin.parameters()} == {nn.Parameter}
    net.register_forward_hook(lambda m, args, result, net=net: None)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_pickle_between_ones_own_processes():
    net = Net()
    twin = pickle.loads(pickle.dumps(net))
    assert {type(p) for p in twin.parameters()} == {nn.Parameter}
    x = tg.ones((2, 3))
    np.testing.assert_array_equal(twin(x).numpy(), net(x).numpy())
    tg.sum(twin(x)).backward()
    assert all(p.grad is not None for p in twin.parameters())


def test_to_device():
    net = Net().to("null")
    assert {p.device for p in net.parameters()} == {"null"}
    assert net(tg.ones((2, 3)).to("null")).shape == (2, 2)


def test_repr_counts_parameters():
    text = repr(nn.Sequential(nn.Linear(1000, 2), nn.ReLU(), nn.Dropout(0.1)))
    assert text == (
        "Sequential(  # 2,002 parameters\n"
        "  (0): Linear(1000, 2)  # 2,002 parameters\n"
        "  (1): ReLU()\n"
        "  (2): Dropout(p=0.1)\n"
        ")"
    )


def test_module_without_forward():
    with pytest.raises(NotImplementedError, match=r"Module defines no forward\(\)"):
        nn.Module()(1)


def test_sequential():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = tg.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    expected = net[2](tg.tanh(net[0](x)))
    np.testing.assert_array_equal(net(x).numpy(), expected.numpy())
    assert len(net) == 3
    assert net[-1] is net[2]
    assert [type(m).__name__ for m in net[:2]] == ["Linear", "Tanh"]
    net.append(nn.ReLU())
    net[1] = nn.Sigmoid()
    assert [type(m).__name__ for m in net] == ["Linear", "Sigmoid", "Linear", "ReLU"]
    net.insert(1, nn.Identity())
    del net[0]
    assert [type(m).__name__ for m in net] == ["Identity", "Sigmoid", "Linear", "ReLU"]
    assert list(net.state_dict()) == ["2.weight", "2.bias"]
    named = nn.Sequential({"fc": nn.Linear(1, 1), "act": nn.ReLU()})
    assert list(named.state_dict()) == ["fc.weight", "fc.bias"]
    assert type(named[1]) is nn.ReLU
    with pytest.raises(IndexError, match="index 4 is out of range"):
        net[4]
    with pytest.raises(TypeError, match="holds modules, not function"):
        nn.Sequential(lambda x: x)
    with pytest.raises(TypeError, match="pass them one by one"):
        nn.Sequential([nn.ReLU()])


def test_module_dict():
    layers = nn.ModuleDict({"a": nn.Linear(1, 2), "b": nn.ReLU()})
    assert list(layers) == layers.keys() == ["a", "b"]
    assert "a" in layers
    assert "c" not in layers
    layers["c"] = nn.Tanh()
    layers["a"] = nn.Linear(1, 3)
    assert len(layers) == 3
    assert dict(layers.items())["a"].out_features == 3
    assert len(layers.values()) == 3
    del layers["b"]
    assert sorted(layers) == ["a", "c"]
    with pytest.raises(KeyError):
        layers["b"]
    with pytest.raises(ValueError, match="already has an attribute 'keys'"):
        layers["keys"] = nn.ReLU()


def test_module_list():
    layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
    layers.extend([nn.ReLU()])
    assert len(layers) == 4
    assert len(list(layers.parameters())) == 6
    assert len(layers[1:3]) == 2
    with pytest.raises(NotImplementedError):
        layers(1)
