"""Losses against their formulas in NumPy; initialisers; gradient clipping."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

import tegula as tg
from tegula import nn
from tegula.nn import functional as F

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": lambda x: x}


def tensor(array):
    return tg.asarray(np.asarray(array, np.float64))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (nn.MSELoss, lambda gap: gap**2),
        (nn.L1Loss, np.abs),
        (nn.SmoothL1Loss, lambda gap: np.where(abs(gap) < 1, gap**2 / 2, abs(gap) - 0.5)),
        (nn.HuberLoss, lambda gap: np.where(abs(gap) < 1, gap**2 / 2, abs(gap) - 0.5)),
    ],
)
def test_distances(rng, loss, formula, reduction):
    x, y = rng.standard_normal((2, 5, 3)) * 2
    got = loss(reduction=reduction)(tensor(x), tensor(y)).numpy()
    np.testing.assert_allclose(got, REDUCTIONS[reduction](formula(x - y)))
    with pytest.raises(ValueError, match="must have the same shape"):
        loss()(tensor(x), tensor(y[:1]))


def test_smooth_l1_and_huber_widths(rng):
    x, y = rng.standard_normal((2, 50)) * 2
    gap = abs(x - y)
    expected = np.where(gap < 0.3, gap**2 / 0.6, gap - 0.15).mean()
    assert nn.SmoothL1Loss(beta=0.3)(tensor(x), tensor(y)).item() == pytest.approx(expected)
    expected = np.where(gap < 2, gap**2 / 2, 2 * (gap - 1)).mean()
    assert nn.HuberLoss(delta=2.0)(tensor(x), tensor(y)).item() == pytest.approx(expected)
    got = F.smooth_l1_loss(tensor(x), tensor(y), beta=0).item()
    assert got == pytest.approx(gap.mean())
    with pytest.raises(ValueError, match="delta must be positive"):
        F.huber_loss(tensor(x), tensor(y), delta=0)
    with pytest.raises(ValueError, match="reduction must be"):
        nn.MSELoss("avg")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_bce_with_logits(rng, reduction):
    x, t = rng.standard_normal((4, 3)) * 5, rng.random((4, 3))
    weight, positive = rng.random(3), np.array([0.5, 1.0, 3.0])
    log_p, log_q = scipy.special.log_expit(x), scipy.special.log_expit(-x)
    expected = -(t * log_p + (1 - t) * log_q)
    got = nn.BCEWithLogitsLoss(reduction=reduction)(tensor(x), tensor(t)).numpy()
    np.testing.assert_allclose(got, REDUCTIONS[reduction](expected))
    loss = nn.BCEWithLogitsLoss(tensor(weight), reduction, tensor(positive))
    expected = -weight * (positive * t * log_p + (1 - t) * log_q)
    got = loss(tensor(x), tensor(t)).numpy()
    np.testing.assert_allclose(got, REDUCTIONS[reduction](expected))


def test_bce_with_logits_is_stable_and_differentiable():
    x = nn.Parameter(tensor([-1000.0, 1000.0, 0.0]))
    t = tensor([1.0, 1.0, 0.5])
    loss = nn.BCEWithLogitsLoss(reduction="sum")(x, t)
    assert loss.item() == pytest.approx(1000 + math.log(2))
    loss.backward()
    expected = scipy.special.expit([-1000.0, 1000.0, 0.0]) - t.numpy()
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-12)


def cross_entropy_reference(logits, target, weight, ignore, smoothing, reduction):
    """PyTorch's definition, class axis moved last."""
    logs = scipy.special.log_softmax(np.moveaxis(logits, 1, -1), axis=-1)
    classes = logs.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    kept = target != ignore
    safe = np.where(kept, target, 0)
    hit = np.take_along_axis(logs, safe[..., None], -1)[..., 0] * weight[safe]
    even = (logs * weight).sum(-1) / classes
    loss = -np.where(kept, (1 - smoothing) * hit + smoothing * even, 0)
    if reduction == "mean":
        return loss.sum() / (weight[safe] * kept).sum()
    return loss.sum() if reduction == "sum" else loss


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2), (2, 4, 3, 2)])
def test_cross_entropy(rng, shape, weighted, smoothing, reduction):
    logits = rng.standard_normal(shape) * 3
    target = rng.integers(0, 4, (shape[0], *shape[2:]))
    target.flat[1] = -7
    weight = rng.random(4) + 0.5 if weighted else None
    loss = nn.CrossEntropyLoss(
        None if weight is None else tensor(weight),
        ignore_index=-7,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    got = loss(tensor(logits), tg.asarray(target)).numpy()
    expected = cross_entropy_reference(logits, target, weight, -7, smoothing, reduction)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_cross_entropy_gradient(rng):
    logits = nn.Parameter(tensor(rng.standard_normal((5, 3))))
    target = np.array([0, 2, -100, 1, 1])
    nn.CrossEntropyLoss(ignore_index=-100)(logits, tg.asarray(target)).backward()
    p = scipy.special.softmax(logits.numpy(), axis=1)
    expected = (p - np.eye(3)[np.maximum(target, 0)]) * (target != -100)[:, None] / 4
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label", [3, -1, 1000])
def test_labels_out_of_range_are_found(rng, label, weighted):
    x = tensor(rng.standard_normal((2, 3)))
    weight = tensor([1, 1, 1]) if weighted else None
    target = tg.asarray(np.array([0, label]))
    with pytest.raises(IndexError, match="out of bounds"):
        F.nll_loss(x, target, weight).item()
    with pytest.raises(IndexError, match=r"out of (bounds|range)"):
        F.cross_entropy(x, target, weight).item()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss(rng, reduction):
    logits = rng.standard_normal((6, 4, 2))
    logs = scipy.special.log_softmax(logits, axis=1)
    target = rng.integers(0, 4, (6, 2))
    target[0, 0] = -100
    weight = rng.random(4)
    loss = nn.NLLLoss(tensor(weight), ignore_index=-100, reduction=reduction)
    got = loss(tensor(logs), tg.asarray(target))
    expected = cross_entropy_reference(logits, target, weight, -100, 0.0, reduction)
    np.testing.assert_allclose(got.numpy(), expected)
    one = F.nll_loss(tensor(logs[0, :, 0]), tg.asarray(2))
    assert one.item() == pytest.approx(-logs[0, 2, 0])
    bytes_ = tg.asarray(np.maximum(target, 0).astype(np.uint8))
    small = F.nll_loss(tensor(logs), bytes_, ignore_index=-100)
    assert small.item() == pytest.approx(
        cross_entropy_reference(logits, np.maximum(target, 0), None, -100, 0.0, "mean")
    )


def test_class_loss_errors(rng):
    x = tensor(rng.standard_normal((4, 3)))
    with pytest.raises(ValueError, match=r"nll_loss: labels of shape \(3,\) .* \(4, 3\)"):
        F.nll_loss(x, tg.asarray([0, 1, 2]))
    with pytest.raises(ValueError, match="cross_entropy"):
        F.cross_entropy(x, tg.asarray([0, 1, 2]))
    with pytest.raises(ValueError, match=r"nll_loss: weight .*\(2,\).* 3 classes"):
        F.nll_loss(x, tg.asarray([0, 1, 2, 0]), tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="nll_loss: labels must be integers"):
        F.nll_loss(x, tensor([0, 1, 2, 0]))
    with pytest.raises(ValueError, match="label_smoothing"):
        nn.CrossEntropyLoss(label_smoothing=1.5)


# ---- initialisers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fill", "distribution"),
    [
        (lambda t: nn.init.uniform_(t, -1, 3), scipy.stats.uniform(-1, 4)),
        (lambda t: nn.init.normal_(t, 1, 2), scipy.stats.norm(1, 2)),
        (lambda t: nn.init.trunc_normal_(t), scipy.stats.truncnorm(-2, 2)),
        (
            lambda t: nn.init.trunc_normal_(t, 1, 0.5, 0, 4),
            scipy.stats.truncnorm(-2, 6, loc=1, scale=0.5),
        ),
        (
            lambda t: nn.init.kaiming_uniform_(t, nonlinearity="relu"),
            scipy.stats.uniform(-math.sqrt(6 / 100), 2 * math.sqrt(6 / 100)),
        ),
        (
            lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
            scipy.stats.norm(0, math.sqrt(2 / 200)),
        ),
        (
            lambda t: nn.init.xavier_uniform_(t, 2.0),
            scipy.stats.uniform(-2 * math.sqrt(6 / 300), 4 * math.sqrt(6 / 300)),
        ),
        (lambda t: nn.init.xavier_normal_(t), scipy.stats.norm(0, math.sqrt(2 / 300))),
    ],
)
def test_initialisers_have_their_distribution(fill, distribution):
    weight = nn.Parameter(tg.empty((200, 100)))
    assert fill(weight) is weight
    assert weight.requires_grad
    values = weight.numpy().astype(np.float64).ravel()
    assert scipy.stats.kstest(values, distribution.cdf).pvalue > 1e-4
    low, high = distribution.support()
    assert low - 1e-6 <= values.min()
    assert values.max() <= high + 1e-6


def test_initialisers_constant_and_repeatable():
    weight = nn.Parameter(tg.empty((2, 3), dtype=tg.float64))
    np.testing.assert_array_equal(nn.init.ones_(weight).numpy(), np.ones((2, 3)))
    np.testing.assert_array_equal(nn.init.zeros_(weight).numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(nn.init.constant_(weight, 2.5).numpy(), np.full((2, 3), 2.5))
    tg.manual_seed(7)
    first = nn.Linear(3, 4).weight.numpy()
    tg.manual_seed(7)
    np.testing.assert_array_equal(nn.Linear(3, 4).weight.numpy(), first)
    assert nn.init.fans(tg.empty((8, 4, 3, 5))) == (60, 120)
    assert nn.init.calculate_gain("leaky_relu", 1.0) == pytest.approx(1)
    with pytest.raises(ValueError, match="at least 2 axes"):
        nn.init.xavier_normal_(tg.empty((3,)))
    with pytest.raises(ValueError, match="unknown nonlinearity"):
        nn.init.calculate_gain("swish")
    with pytest.raises(ValueError, match="mode must be"):
        nn.init.kaiming_normal_(weight, mode="fan")


# ---- clipping --------------------------------------------------------------------------------


def with_gradients(*grads):
    params = [nn.Parameter(tg.zeros(np.shape(g), dtype=tg.float64)) for g in grads]
    for p, grad in zip(params, grads, strict=True):
        p.grad = tensor(grad)
    return params


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf])
def test_clip_grad_norm(rng, norm_type):
    grads = [rng.standard_normal((3, 2)), rng.standard_normal(4)]
    params = [*with_gradients(*grads), nn.Parameter(tg.zeros((1,)))]
    flat = np.concatenate([g.ravel() for g in grads])
    norm = np.linalg.norm(flat, norm_type)
    got = nn.utils.clip_grad_norm_(params, 0.5, norm_type)
    assert got.item() == pytest.approx(norm)
    for p, grad in zip(params, grads, strict=False):
        np.testing.assert_allclose(p.grad.numpy(), grad * (0.5 / (norm + 1e-6)))
    assert params[2].grad is None
    before = params[0].grad.numpy()
    nn.utils.clip_grad_norm_(params, 1e6, norm_type)
    np.testing.assert_array_equal(params[0].grad.numpy(), before)


def test_clip_grad_norm_nonfinite_and_empty():
    params = with_gradients([1.0, math.nan])
    with pytest.raises(ValueError, match="norm of the gradients is nan"):
        nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_clip_grad_value():
    (p,) = with_gradients([-3.0, 0.5, 2.0])
    nn.utils.clip_grad_value_(p, 1.0)
    np.testing.assert_array_equal(p.grad.numpy(), [-1, 0.5, 1])
    with pytest.raises(ValueError, match="must not be negative"):
        nn.utils.clip_grad_value_(p, -1.0)
