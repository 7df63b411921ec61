"""The further activations and losses as modules: each is its row of the table with settings."""

import numpy as np
import pytest
import reference

import tegula as tg
from tegula import nn
from tegula.nn import functional as F


def tensor(array):
    return tg.asarray(np.asarray(array))


ACTIVATIONS = [
    (nn.ReLU6(), tg.relu6, ()),
    (nn.Hardsigmoid(), tg.hardsigmoid, ()),
    (nn.Hardswish(), tg.hardswish, ()),
    (nn.SELU(), tg.selu, ()),
    (nn.CELU(0.7), tg.celu, (0.7,)),
    (nn.Mish(), tg.mish, ()),
    (nn.LogSigmoid(), tg.log_sigmoid, ()),
    (nn.Softsign(), tg.softsign, ()),
    (nn.Tanhshrink(), tg.tanhshrink, ()),
    (nn.Hardtanh(-0.5, 2.0), tg.hardtanh, (-0.5, 2.0)),
    (nn.Softshrink(0.3), tg.softshrink, (0.3,)),
    (nn.Hardshrink(0.3), tg.hardshrink, (0.3,)),
    (nn.Threshold(0.1, 20.0), tg.threshold, (0.1, 20.0)),
    (nn.PReLU(), tg.prelu, (0.25,)),
    (nn.GLU(0), tg.glu, (0,)),
    (nn.Softmin(0), tg.softmin, (0,)),
]


@pytest.mark.parametrize(("layer", "function", "settings"), ACTIVATIONS, ids=lambda v: repr(v)[:20])
def test_activations(rng, layer, function, settings):
    x = tensor(rng.standard_normal((4, 3)).astype(np.float32) * 3)
    np.testing.assert_array_equal(layer(x).numpy(), function(x, *settings).numpy())
    assert layer.__class__.__name__ in repr(layer)


def test_slopes_at_corners_are_those_of_the_flat_side():
    corners = {
        "relu6": [0.0, 6.0], "hardtanh": [-1.0, 1.0], "hardsigmoid": [-3.0, 3.0],
        "hardswish": [-3.0], "softshrink": [-0.5, 0.5],
    }  # fmt: skip
    for name, places in corners.items():
        slopes = tg.grad(lambda x, name=name: getattr(F, name)(x).sum())(tensor(places))
        np.testing.assert_array_equal(slopes.numpy(), 0, err_msg=name)


def test_nan_stays_nan():
    for name in ("relu6", "hardtanh", "hardsigmoid", "hardswish", "selu", "celu", "hardshrink"):
        assert np.isnan(getattr(F, name)(tensor(np.nan)).numpy()), name


def test_slopes_at_zero_of_what_is_made_of_two_halves():
    half = tg.grad(lambda x: F.multilabel_soft_margin_loss(x, tensor([1.0])))(tensor([0.0]))
    np.testing.assert_array_equal(half.numpy(), [-0.5])
    half = tg.grad(lambda x: F.soft_margin_loss(x, tensor([1.0])))(tensor([0.0]))
    np.testing.assert_array_equal(half.numpy(), [-0.5])


LOSSES = [
    (nn.KLDivLoss("batchmean"), "kl_div", "x p", {"reduction": "batchmean"}),
    (nn.PoissonNLLLoss(False, True), "poisson_nll_loss", "p p", {"log_input": False, "full": True}),
    (nn.GaussianNLLLoss(True), "gaussian_nll_loss", "x y p", {"full": True}),
    (nn.BCELoss(), "binary_cross_entropy", "q q", {}),
    (nn.HingeEmbeddingLoss(0.5), "hinge_embedding_loss", "x s", {"margin": 0.5}),
    (nn.MarginRankingLoss(0.5), "margin_ranking_loss", "x y s", {"margin": 0.5}),
    (nn.SoftMarginLoss(), "soft_margin_loss", "x s", {}),
    (nn.CosineEmbeddingLoss(0.1), "cosine_embedding_loss", "x y r", {"margin": 0.1}),
    (nn.TripletMarginLoss(0.5, 1.0), "triplet_margin_loss", "x y p", {"margin": 0.5, "p": 1.0}),
    (nn.MultiMarginLoss(2, 0.5), "multi_margin_loss", "x k", {"p": 2, "margin": 0.5}),
    (nn.MultiLabelMarginLoss(), "multilabel_margin_loss", "x m", {}),
    (nn.MultiLabelSoftMarginLoss(), "multilabel_soft_margin_loss", "x q", {}),
]


@pytest.mark.parametrize(("layer", "name", "given", "settings"), LOSSES, ids=lambda v: repr(v)[:24])
def test_losses(rng, layer, name, given, settings):
    arrays = {
        "x": rng.standard_normal((6, 4)), "y": rng.standard_normal((6, 4)),
        "p": rng.uniform(0.5, 2, (6, 4)), "q": rng.uniform(0.1, 0.9, (6, 4)),
        "s": rng.choice([-1, 1], (6, 4)), "r": rng.choice([-1, 1], 6),
        "k": rng.integers(0, 4, 6), "m": rng.integers(-1, 4, (6, 4)),
    }  # fmt: skip
    args = [arrays[key] for key in given.split()]
    got = layer(*map(tensor, args)).item()
    assert got == pytest.approx(float(getattr(reference, name)(*args, **settings)))
    with pytest.raises(ValueError, match="reduction must be"):
        type(layer)(reduction="avg")


def test_ctc_loss_sums_over_alignments(rng):
    """Of a short target every alignment can be written down."""
    logp = np.log(rng.dirichlet(np.ones(3), (3, 1)))  # frames (3), classes: blank, 1, 2
    paths = [(1, 2, 0), (1, 0, 2), (0, 1, 2), (1, 1, 2), (1, 2, 2)]
    total = sum(np.exp(sum(logp[t, 0, c] for t, c in enumerate(path))) for path in paths)
    loss = nn.CTCLoss(reduction="sum")(tensor(logp), *map(tensor, ([[1, 2]], [3], [2])))
    assert loss.item() == pytest.approx(-np.log(total))


def test_ctc_loss_of_an_impossible_target():
    logp = tg.log_softmax(tg.zeros((2, 1, 3)), -1).detach().requires_grad_()
    lengths = tensor([[1, 1]]), tensor([2]), tensor([2])  # equal labels need a blank between
    assert F.ctc_loss(logp, *lengths).item() == np.inf
    loss = F.ctc_loss(logp, *lengths, zero_infinity=True)
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(logp.grad.numpy(), 0)


def test_ctc_loss_refuses():
    logp, targets = tg.zeros((4, 2, 3)), tensor([[1], [2]])
    with pytest.raises(ValueError, match="ctc_loss: blank must be a class"):
        F.ctc_loss(logp, targets, tensor([4, 4]), tensor([1, 1]), blank=3)
    with pytest.raises(ValueError, match=r"ctc_loss: input_lengths of shape \(3,\)"):
        F.ctc_loss(logp, targets, tensor([4, 4, 4]), tensor([1, 1]))
    with pytest.raises(TypeError, match="ctc_loss: targets must hold integers"):
        F.ctc_loss(logp, targets.astype("float32"), tensor([4, 4]), tensor([1, 1]))
    with pytest.raises(IndexError, match="out of bounds"):
        F.ctc_loss(logp, targets, tensor([5, 4]), tensor([1, 1])).numpy()


def test_gumbel_softmax():
    logits = tensor(np.log([[0.2, 0.3, 0.5]] * 4000)).requires_grad_()
    tg.manual_seed(4)
    soft = F.gumbel_softmax(logits, 0.5)
    np.testing.assert_allclose(soft.numpy().sum(-1), 1)
    tg.manual_seed(4)
    hard = F.gumbel_softmax(logits, 0.5, hard=True)
    np.testing.assert_array_equal(hard.numpy().argmax(-1), soft.numpy().argmax(-1))
    np.testing.assert_allclose(np.sort(hard.numpy(), -1), [[0, 0, 1]] * 4000, atol=1e-12)
    np.testing.assert_allclose(hard.numpy().mean(0), [0.2, 0.3, 0.5], atol=0.04)
    (hard * hard.detach()).sum().backward()
    assert np.abs(logits.grad.numpy()).max() > 0
    with pytest.raises(ValueError, match="tau must be positive"):
        F.gumbel_softmax(logits, 0)
