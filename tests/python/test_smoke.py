"""The whole stack in a few seconds: what every other test builds on, and what runs sanitized."""

import numpy as np
import pytest

import tegula as tg
from tegula import nn


def test_arithmetic():
    a = tg.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    b = tg.exp(a) * 2 + a.sum(axis=1, keepdims=True)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(b.numpy(), np.exp(x) * 2 + x.sum(1, keepdims=True), rtol=1e-6)


def test_matmul_and_indexing(rng):
    x = rng.standard_normal((17, 33)).astype(np.float32)
    w = rng.standard_normal((33, 5)).astype(np.float32)
    y = tg.asarray(x) @ tg.asarray(w)
    np.testing.assert_allclose(y[3:9, ::2].numpy(), (x @ w)[3:9, ::2], rtol=1e-4, atol=1e-5)
    y[0] = 7
    assert y[0].tolist() == [7.0] * 5


def test_gradient():
    x = tg.asarray([1.0, 2.0, 3.0], requires_grad=True)
    (x * x * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [3.0, 12.0, 27.0], rtol=1e-6)


def test_a_convolutional_network_learns():
    x = tg.random.normal((16, 1, 8, 8))
    labels = tg.asarray(np.arange(16) % 4)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 4),
    )  # fmt: skip
    optimizer = tg.optim.AdamW(model.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = loss_of(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert len(model.state_dict()) == len(list(model.state_dict()))


def test_wrong_calls_raise():
    a, b = tg.zeros((2, 3)), tg.zeros((4, 5))
    with pytest.raises(ValueError, match="matmul"):
        a @ b
    with pytest.raises(ValueError, match="add"):
        a + b
    with pytest.raises(IndexError):
        a[7]
    with pytest.raises(TypeError):
        a + "text"
    with pytest.raises((ValueError, OverflowError)):
        tg.zeros((-1, 3))
