"""nn.functional_call: a module with other tensors in place of its own."""

import numpy as np
import pytest

import tegula as tg
from tegula import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.register_buffer("shift", tg.zeros(2))
        self.register_buffer("calls", tg.zeros((), dtype=tg.int64))

    def forward(self, x, scale=1.0):
        self.calls += 1
        return self.fc(x) * scale + self.shift


X = np.arange(6, dtype=np.float32).reshape(2, 3)


def by_hand(params, x, scale=1.0):
    w, b, s = (np.asarray(params[n]) for n in ("fc.weight", "fc.bias", "shift"))
    return (x @ w.T + b) * scale + s


def own(net):
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


def fresh():
    rng = np.random.default_rng(0)
    shapes = {"fc.weight": (2, 3), "fc.bias": (2,), "shift": (2,)}
    return {n: tg.asarray(rng.normal(size=s).astype(np.float32)) for n, s in shapes.items()}


def test_it_computes_with_the_tensors_given():
    net, params = Net(), fresh()
    before = own(net)
    y = nn.functional_call(net, params, tg.asarray(X), scale=3.0)
    np.testing.assert_allclose(y.numpy(), by_hand(params, X, 3.0), rtol=1e-5)
    assert all(own(net)[n] is before[n] for n in before)
    assert list(own(net)) == list(before)


def test_what_is_not_named_stays():
    net = Net()
    params = {**{n: t.detach() for n, t in own(net).items()}, "fc.bias": tg.asarray([5.0, 6.0])}
    y = nn.functional_call(net, {"fc.bias": params["fc.bias"]}, tg.asarray(X))
    np.testing.assert_allclose(y.numpy(), by_hand(params, X), rtol=1e-5)
    z = nn.functional_call(net, dict(net.named_parameters()), tg.asarray(X))
    np.testing.assert_array_equal(z.numpy(), net(tg.asarray(X)).numpy())


def test_a_module_and_several_mappings_serve():
    net = Net()
    other = tg.tree.map(lambda t: t + 1, net)
    expected = by_hand({n: t.detach().numpy() for n, t in own(other).items()}, X)
    y = nn.functional_call(net, other, tg.asarray(X))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5)
    both = (dict(other.named_parameters()), dict(other.named_buffers()))
    y = nn.functional_call(net, both, tg.asarray(X))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5)


def test_buffers_given_are_written():
    net = Net()
    calls = tg.asarray(7)
    nn.functional_call(net, {"calls": calls}, tg.asarray(X))
    assert calls.item() == 8
    assert net.calls.item() == 0


def test_gradients_flow_to_the_tensors_given():
    net, params = Net(), fresh()
    for t in params.values():
        t.requires_grad_()
    nn.functional_call(net, params, tg.asarray(X)).sum().backward()
    np.testing.assert_allclose(params["fc.weight"].grad.numpy(), np.tile(X.sum(0), (2, 1)))
    assert params["fc.bias"].grad.tolist() == [2.0, 2.0]
    assert params["shift"].grad.tolist() == [2.0, 2.0]
    assert net.fc.weight.grad is None


def test_under_grad_and_jit():
    net = Net()
    x = tg.asarray(X)

    def loss(params):
        return (nn.functional_call(net, params, x) ** 2).mean()

    (net(x) ** 2).mean().backward()
    params = {n: t.detach() for n, t in net.named_parameters()}
    for gradient in (tg.grad(loss), tg.jit(tg.grad(loss))):
        found = gradient(params)
        for name, p in net.named_parameters():
            np.testing.assert_allclose(found[name].numpy(), p.grad.numpy(), rtol=1e-6)


def test_parameters_are_listed_within():
    class Penalty(Net):
        def forward(self, x):
            return sum((p**2).sum() for p in self.parameters())

    net, params = Penalty(), fresh()
    expected = sum(float((params[n].numpy() ** 2).sum()) for n in ("fc.weight", "fc.bias"))
    assert nn.functional_call(net, params, None).item() == pytest.approx(expected, rel=1e-6)


def test_tensors_are_restored_whatever_happens():
    class Failing(Net):
        def forward(self, x):
            self.shift = self.shift + 1  # another tensor, as long as the call lasts
            raise KeyError("inside")

    net = Failing()
    before = own(net)
    for error, given in ((KeyError, fresh()), (ValueError, {**fresh(), "fc.bias": tg.ones(3)})):
        with pytest.raises(error):
            nn.functional_call(net, given, tg.asarray(X))
        assert all(own(net)[n] is before[n] for n in before)


def test_nested_calls():
    net = Net()
    one, two = fresh(), {n: t * 2 for n, t in fresh().items()}

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            inner = nn.functional_call(self.net, two, x)
            return inner + self.net(x)

    given = {f"net.{n}": t for n, t in one.items()}
    y = nn.functional_call(Outer(), given, tg.asarray(X))
    expected = by_hand(one, X) + by_hand({n: t.numpy() for n, t in two.items()}, X)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(3, 2)
        self.out = nn.Linear(2, 3, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, i):
        return self.out(self.embed(i))


@pytest.mark.parametrize("name", ["embed.weight", "out.weight"])
def test_a_shared_tensor_is_replaced_everywhere(name):
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    net = Tied()
    y = nn.functional_call(net, {name: tg.asarray(w)}, tg.asarray([0, 2]))
    np.testing.assert_array_equal(y.numpy(), w[[0, 2]] @ w.T)
    assert net.out.weight is net.embed.weight


def test_a_shared_tensor_has_one_value():
    w = tg.ones((3, 2))
    given = {"embed.weight": w, "out.weight": w}
    assert nn.functional_call(Tied(), given, tg.asarray([0])).shape == (1, 3)
    with pytest.raises(ValueError, match=r"embed\.weight and out.weight of Tied are one tensor"):
        nn.functional_call(Tied(), {**given, "out.weight": w * 2}, tg.asarray([0]))


def test_another_floating_dtype_may_be_given():
    net = nn.Linear(3, 2)
    params = {n: t.detach().astype("float64") for n, t in net.named_parameters()}
    assert nn.functional_call(net, params, tg.asarray(X, dtype="float64")).dtype == tg.float64


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"fc.weigth": tg.ones((2, 3))},
            ValueError,
            "Net has no parameter or buffer fc.weigth; it has fc.weight",
        ),
        ({"fc": tg.ones(1)}, ValueError, "no parameter or buffer fc;"),
        ({5: tg.ones(1)}, ValueError, "no parameter or buffer 5;"),
        (
            {"fc.weight": tg.ones((3, 2))},
            ValueError,
            r"fc.weight has shape \(2, 3\) in Net, .* \(3, 2\)",
        ),
        ({"calls": tg.ones(())}, TypeError, "calls is int64 in Net, the tensor given float32"),
        ({"fc.bias": tg.ones(2, dtype="int64")}, TypeError, "fc.bias is float32 in Net, .* int64"),
        ({"fc.bias": [1.0, 2.0]}, TypeError, "fc.bias must be a Tensor, not list"),
        ([tg.ones(2)], TypeError, "must be a mapping of names to tensors or a Module, not Tensor"),
        (3, TypeError, "must be a mapping of names to tensors or a Module, not int"),
        (({"shift": tg.ones(2)}, {"shift": tg.ones(2)}), ValueError, "given twice: shift"),
    ],
)
def test_bad_tensors(given, error, message):
    with pytest.raises(error, match="functional_call: .*" + message):
        nn.functional_call(Net(), given, tg.asarray(X))


def test_the_module_must_be_one():
    with pytest.raises(TypeError, match="module must be a Module, not function"):
        nn.functional_call(lambda x: x, {}, 3)
