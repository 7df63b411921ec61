"""Optimizers against PyTorch's formulas in NumPy; schedules; state."""

import math

import numpy as np
import pytest

import tegula as tg
from tegula import nn, optim
from tegula.optim import lr_scheduler


class Sgd:
    def __init__(self, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False):
        self.__dict__.update(locals())
        self.v = None

    def step(self, p, g):
        g = (-g if self.maximize else g) + self.weight_decay * p
        if self.momentum:
            damped = (1 - self.dampening) * g
            self.v = g if self.v is None else self.momentum * self.v + damped
            g = g + self.momentum * self.v if self.nesterov else self.v
        return p - self.lr * g


class AdamReference:
    def __init__(self, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False):
        self.__dict__.update(locals())
        self.m = self.v = self.t = 0

    def step(self, p, g, decoupled=False):
        g = -g if self.maximize else g
        if decoupled:
            p = p * (1 - self.lr * self.weight_decay)
        else:
            g = g + self.weight_decay * p
        b1, b2 = self.betas
        self.t += 1
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        root = np.sqrt(self.v / (1 - b2**self.t)) + self.eps
        return p - self.lr * (self.m / (1 - b1**self.t)) / root


class AdamWReference(AdamReference):
    def step(self, p, g):
        return super().step(p, g, decoupled=True)


CASES = [
    (optim.SGD, Sgd, {"lr": 0.1}),
    (optim.SGD, Sgd, {"lr": 0.1, "weight_decay": 0.2}),
    (optim.SGD, Sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, Sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (optim.SGD, Sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    (optim.SGD, Sgd, {"lr": 0.1, "momentum": 0.8, "maximize": True}),
    (optim.Adam, AdamReference, {"lr": 0.05}),
    (optim.Adam, AdamReference, {"lr": 0.05, "betas": (0.5, 0.9), "weight_decay": 0.1}),
    (optim.Adam, AdamReference, {"lr": 0.05, "maximize": True, "eps": 1e-3}),
    (optim.AdamW, AdamWReference, {"lr": 0.05, "weight_decay": 0.1}),
    (optim.AdamW, AdamWReference, {"lr": 0.05, "betas": (0.3, 0.99), "weight_decay": 0.0}),
]


def parameters(rng, dtype=np.float64):
    return [nn.Parameter(tg.asarray(rng.standard_normal(s).astype(dtype))) for s in [(3, 2), (4,)]]


@pytest.mark.parametrize(("rule", "reference", "settings"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rule(rng, rule, reference, settings, dtype):
    params = parameters(rng, dtype)
    values = [p.numpy().astype(np.float64) for p in params]
    references = [reference(**settings) for _ in params]
    optimizer = rule(params, **settings)
    handles = [id(p) for p in params]
    for _ in range(6):
        for i, p in enumerate(params):
            grad = rng.standard_normal(p.shape).astype(dtype)
            p.grad = tg.asarray(grad)
            values[i] = references[i].step(values[i], grad.astype(np.float64))
        optimizer.step()
    assert handles == [id(p) for p in optimizer.param_groups[0]["params"]]
    for p, value in zip(params, values, strict=True):
        assert p.requires_grad
        tolerance = 2e-5 if dtype == np.float32 else 1e-9
        np.testing.assert_allclose(p.numpy(), value, rtol=tolerance, atol=tolerance)


def test_training_lowers_the_loss(rng):
    x = tg.asarray(rng.standard_normal((64, 4)).astype(np.float32))
    y = tg.asarray((rng.standard_normal((64, 4)) @ rng.standard_normal((4, 2))).astype(np.float32))
    y = x @ tg.asarray(rng.standard_normal((4, 2)).astype(np.float32))
    for rule, lr in ((optim.SGD, 0.1), (optim.Adam, 0.05), (optim.AdamW, 0.05)):
        model = nn.Linear(4, 2)
        optimizer = rule(model.parameters(), lr=lr)
        losses = []
        for _ in range(100):
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        assert losses[-1].item() < 0.05 * losses[0].item()


def test_step_returns_the_closures_loss():
    p = nn.Parameter(tg.asarray([1.0]))
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = tg.sum(p * p)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1
    assert p.item() == 0
    assert optimizer.step() is None


def test_parameters_without_gradient_fall_behind(rng):
    params = parameters(rng)
    values = [p.numpy().copy() for p in params]
    optimizer = optim.Adam(params, lr=0.1)
    references = [AdamReference(0.1), AdamReference(0.1)]
    for present in [(True, False), (True, True), (False, False), (False, True), (True, True)]:
        for i, p in enumerate(params):
            p.grad = None
            if present[i]:
                grad = rng.standard_normal(p.shape)
                p.grad = tg.asarray(grad)
                values[i] = references[i].step(values[i], grad)
        optimizer.step()
    for p, value in zip(params, values, strict=True):
        np.testing.assert_allclose(p.numpy(), value, rtol=1e-9)
    steps = [entry["step"].item() for entry in optimizer.state_dict()["state"].values()]
    assert steps == [3, 3]


def test_groups_have_their_own_settings(rng):
    a, b = parameters(rng)
    before = a.numpy().copy(), b.numpy().copy()
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    optimizer.add_param_group({"params": []})
    for p in (a, b):
        p.grad = tg.ones_like(p)
    optimizer.step()
    np.testing.assert_allclose(a.numpy(), before[0] - 0.1)
    np.testing.assert_allclose(b.numpy(), before[1] - 1.0)
    optimizer.param_groups[1]["lr"] = 0.0
    optimizer.step()
    np.testing.assert_allclose(b.numpy(), before[1] - 1.0)
    assert "group 1: 1 parameters, lr=0.0" in repr(optimizer)


def test_zero_grad(rng):
    params = parameters(rng)
    optimizer = optim.SGD(params)
    params[0].grad = tg.ones_like(params[0])
    optimizer.zero_grad(set_to_none=False)
    assert not params[0].grad.numpy().any()
    assert params[1].grad is None
    optimizer.zero_grad()
    assert params[0].grad is None


def test_bad_arguments(rng):
    p, q = parameters(rng)
    with pytest.raises(ValueError, match="no parameters"):
        optim.SGD([])
    with pytest.raises(TypeError, match="iterable of tensors, not one tensor"):
        optim.SGD(p)
    with pytest.raises(TypeError, match="SGD: parameters must be tensors, not int"):
        optim.SGD([3])
    with pytest.raises(ValueError, match="given twice"):
        optim.SGD([p, p])
    with pytest.raises(ValueError, match="result of an operation"):
        optim.SGD([p * 2])
    with pytest.raises(ValueError, match=r"unknown settings \['rate'\]"):
        optim.SGD([{"params": [p], "rate": 1}])
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        optim.SGD([p], lr=-1)
    with pytest.raises(ValueError, match="lr must be at least 0, got nan"):
        optim.Adam([p], lr=math.nan)
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        optim.SGD([p], nesterov=True)
    with pytest.raises(ValueError, match="betas must be two numbers"):
        optim.AdamW([p], betas=(0.9, 1.0))
    assert q.grad is None


# ---- state -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "reference", "settings"), CASES)
def test_state_resumes_bitwise(rng, rule, reference, settings):
    grads = [[rng.standard_normal(s) for s in [(3, 2), (4,)]] for _ in range(6)]

    def advance(params, optimizer, chosen):
        for step in chosen:
            for p, grad in zip(params, step, strict=True):
                p.grad = tg.asarray(grad)
            optimizer.step()

    one = parameters(np.random.default_rng(1))
    straight = rule(one, **settings)
    advance(one, straight, grads)
    two = parameters(np.random.default_rng(1))
    first = rule(two, **settings)
    advance(two, first, grads[:3])
    state = first.state_dict()
    advance(two, first, grads[3:])  # the state is a snapshot: this must not reach it
    three = parameters(np.random.default_rng(1))
    again = rule(three, lr=99.0, **{k: v for k, v in settings.items() if k == "momentum"})
    advance(three, rule(three, **settings), grads[:3])
    again.load_state_dict(state)
    advance(three, again, grads[3:])
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_state_is_plain_data_and_tensors(rng):
    params = parameters(rng)
    optimizer = optim.AdamW(params, lr=0.1)
    assert optimizer.state_dict()["state"] == {}
    params[1].grad = tg.ones_like(params[1])
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state["state"]) == ["1"]
    assert set(state["state"]["1"]) == {"exp_avg", "exp_avg_sq", "step"}
    assert state["param_groups"] == [
        {
            "lr": 0.1,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 1e-2,
            "maximize": False,
            "params": [0, 1],
        }
    ]


def test_bad_state(rng):
    params = parameters(rng)
    optimizer = optim.Adam(params)
    for p in params:
        p.grad = tg.ones_like(p)
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="needs the keys"):
        optimizer.load_state_dict({})
    with pytest.raises(ValueError, match=r"parameters per group: \[1\] here, \[2\] in the state"):
        optim.Adam(params[:1]).load_state_dict(state)
    with pytest.raises(ValueError, match="settings that differ"):
        optim.SGD(params).load_state_dict(state)
    del state["state"]["0"]["step"]
    with pytest.raises(ValueError, match=r"state of parameter 0: must hold .*'step'"):
        optimizer.load_state_dict(state)
    state = optimizer.state_dict()
    state["state"]["1"]["exp_avg"] = tg.zeros((5,), dtype=tg.float64)
    with pytest.raises(
        ValueError, match=r"parameter 1: shape of exp_avg must be \(4,\), is \(5,\)"
    ):
        optimizer.load_state_dict(state)


# ---- schedules -------------------------------------------------------------------------------


def rates(make, steps, lr=2.0):
    optimizer = optim.SGD([nn.Parameter(tg.zeros((1,)))], lr=lr)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        assert schedule.get_last_lr() == [optimizer.param_groups[0]["lr"]]
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    return found


def test_step_lr():
    found = rates(lambda o: lr_scheduler.StepLR(o, 2, gamma=0.5), 6)
    assert found == [2, 2, 1, 1, 0.5, 0.5]


def test_cosine():
    found = rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 4, eta_min=1.0), 9)
    expected = [1 + (1 + math.cos(math.pi * t / 4)) / 2 for t in range(9)]
    np.testing.assert_allclose(found, expected)


def test_linear():
    found = rates(lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 3), 6)
    np.testing.assert_allclose(found, [0.5, 1.0, 1.5, 2, 2, 2])


def test_lambda():
    found = rates(lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (step + 1)), 3)
    np.testing.assert_allclose(found, [2, 1, 2 / 3])


def test_sequential_and_warmup_cosine():
    def make(optimizer):
        return lr_scheduler.SequentialLR(
            optimizer,
            [
                lr_scheduler.LinearLR(optimizer, 0.5, 1.0, 2),
                lr_scheduler.CosineAnnealingLR(optimizer, 2),
                lr_scheduler.StepLR(optimizer, 1),
            ],
            milestones=[2, 4],
        )

    np.testing.assert_allclose(rates(make, 6), [1, 1.5, 2, 1, 2, 0.2])
    found = rates(lambda o: lr_scheduler.warmup_cosine(o, 3, 7, eta_min=0.5), 8)
    np.testing.assert_allclose(found[:4], [0.5, 1, 1.5, 2])
    assert found[4:] == sorted(found[4:], reverse=True)
    assert found[7] == pytest.approx(0.5)


def test_schedule_state(rng):
    def make():
        optimizer = optim.SGD([{"params": [p], "lr": i + 1} for i, p in enumerate(parameters(rng))])
        return optimizer, lr_scheduler.warmup_cosine(optimizer, 2, 10)

    optimizer, schedule = make()
    for _ in range(5):
        schedule.step()
    other, again = make()
    again.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        assert again.get_last_lr() == schedule.get_last_lr()
        assert [g["lr"] for g in other.param_groups] == [g["lr"] for g in optimizer.param_groups]
        schedule.step()
        again.step()
    with pytest.raises(ValueError, match="missing"):
        again.load_state_dict({"last_epoch": 1})
    with pytest.raises(ValueError, match="2 parameter groups here, 1 in the state"):
        again.load_state_dict({"last_epoch": 1, "base_lrs": [1]})


def test_bad_schedules():
    optimizer = optim.SGD([nn.Parameter(tg.zeros((1,)))])
    for make, message in [
        (lambda: lr_scheduler.StepLR(optimizer, 0), "step_size"),
        (lambda: lr_scheduler.CosineAnnealingLR(optimizer, 0), "T_max"),
        (lambda: lr_scheduler.LinearLR(optimizer, 0.0), "factors"),
        (lambda: lr_scheduler.LinearLR(optimizer, total_iters=0), "total_iters"),
        (lambda: lr_scheduler.LambdaLR(optimizer, []), "0 functions for 1"),
        (lambda: lr_scheduler.SequentialLR(optimizer, [], []), "one milestone fewer"),
        (lambda: lr_scheduler.warmup_cosine(optimizer, 5, 5), "1 <= warmup_steps < total_steps"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="must be an Optimizer"):
        lr_scheduler.StepLR(3, 1)
