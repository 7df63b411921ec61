"""tg.einsum: the order of its steps, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import tegula as tg

CHAIN = "ab,bc,cd,de,ef->af"
NETWORK = "abi,acj,bdk,cdl,ijkl->"
WIDE = "ab,bc,cd,de,ef,fg,gh,hi,ij,jk->ak"  # too many for all subsets


def operands(subscripts: str, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    terms = subscripts.split("->")[0].split(",")
    sizes = {c: int(rng.integers(2, 7)) for c in sorted({*"".join(terms)})}
    return [rng.standard_normal([sizes[c] for c in term]) for term in terms]


def cheapest(sets: list[frozenset], kept: frozenset, sizes: dict[str, int]) -> float:
    """The fewest operations of all orders, by trying each."""
    if len(sets) == 1:
        return 0.0
    least = float("inf")
    for i in range(len(sets)):
        for j in range(i + 1, len(sets)):
            rest = [s for k, s in enumerate(sets) if k not in (i, j)]
            both = sets[i] | sets[j]
            left = both & kept.union(*rest)
            cost = np.prod([float(sizes[c]) for c in both]) * (2 if left != both else 1)
            least = min(least, cost + cheapest([*rest, left], kept, sizes))
    return least


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("subscripts", [CHAIN, NETWORK, "ab,bc,cd->ad", "a,ab,abc->c"])
def test_no_order_takes_fewer_operations(subscripts, seed):
    xs = operands(subscripts, seed)
    terms, result = subscripts.split("->")
    sizes = {c: n for t, x in zip(terms.split(","), xs, strict=True)
             for c, n in zip(t, x.shape, strict=True)}  # fmt: skip
    path, count = tg.einsum_path(subscripts, *xs)
    assert len(path) == len(xs) - 1
    assert count == cheapest([frozenset(t) for t in terms.split(",")], frozenset(result), sizes)


@pytest.mark.parametrize("subscripts", [CHAIN, NETWORK, WIDE])
def test_as_few_operations_as_opt_einsum(subscripts):
    oe = pytest.importorskip("opt_einsum")
    for seed in range(4):
        xs = operands(subscripts, seed)
        how = "optimal" if len(xs) <= 8 else "greedy"
        info = oe.contract_path(subscripts, *xs, optimize=how)[1]
        _, count = tg.einsum_path(subscripts, *xs)
        assert count <= float(info.opt_cost) * (1 if len(xs) <= 8 else 2)


@pytest.mark.parametrize("seed", range(3))
def test_many_operands(seed):
    xs = operands(WIDE, seed)
    path, _ = tg.einsum_path(WIDE, *xs)
    assert len(path) == len(xs) - 1
    np.testing.assert_allclose(
        tg.einsum(WIDE, *xs).numpy(), np.einsum(WIDE, *xs, optimize=True), rtol=1e-10
    )


def test_a_chain_begins_at_its_thin_end():
    tall, square, thin = np.ones((200, 100)), np.ones((100, 100)), np.ones((100, 1))
    assert tg.einsum_path("ij,jk,kl->il", tall, square, thin)[0] == [(1, 2), (0, 1)]
    plan = tg.explain(tg.einsum("ij,jk,kl->il", tall, square, thin))
    assert plan.count("matmul") == 2


def test_what_one_operand_alone_has_is_summed_first():
    a, b = np.ones((2, 3, 50)), np.ones((3, 4))
    path, count = tg.einsum_path("ijx,jk->ik", a, b)
    assert (path, count) == ([(0, 1)], 2.0 * 2 * 3 * 4)
    np.testing.assert_array_equal(tg.einsum("ijx,jk->ik", a, b).numpy(), np.full((2, 4), 150.0))


def test_dimensions_of_an_ellipsis_that_the_result_lacks_are_summed():
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    np.testing.assert_allclose(tg.einsum("...i->i", x).numpy(), x.sum((0, 1)))


def test_dtypes_promote():
    a, b = np.ones((2, 3), np.float32), np.ones((3, 2), np.float64)
    assert tg.einsum("ij,jk", a, b).dtype == tg.float64
    assert tg.einsum("ij,jk", a, tg.asarray(b).astype("bfloat16")).dtype == tg.float32
    assert tg.einsum("ij->", np.ones((2, 2), np.int8)).dtype == tg.int8


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error", "words"),
    [
        ("ij,jk", [(2, 3)], ValueError, "are of 2 operands, got 1"),
        ("ij", [(2, 3, 4)], ValueError, r"operand 0 do not fit its shape \(2, 3, 4\)"),
        ("ij,jk", [(2, 3), (4, 5)], ValueError, "axis 0 of operand 1 has size 4"),
        ("ii", [(2, 3)], ValueError, "has size 3"),
        ("ij->k", [(2, 3)], ValueError, "every letter of the result"),
        ("ij->ii", [(2, 3)], ValueError, "stand there once"),
        ("i1", [(2, 3)], ValueError, "must be letters"),
        ("i.j", [(2, 3)], ValueError, "must be letters"),
        ("...i...", [(2, 3)], ValueError, "at most one"),
        ("i,", [], ValueError, "at least one operand"),
        ("ijk...", [(2, 3)], ValueError, "do not fit"),
    ],
)
def test_refused(subscripts, shapes, error, words):
    xs = [np.ones(shape) for shape in shapes]
    with pytest.raises(error, match=words):
        tg.einsum(subscripts, *xs)


def test_refused_kinds():
    with pytest.raises(TypeError, match="bool"):
        tg.einsum("i,i", [True, False], [True, True])
    with pytest.raises(TypeError, match="'subscripts'"):
        tg.einsum(np.ones(3), np.ones(3))
    with pytest.raises(TypeError, match="'subscripts' is missing"):
        tg.einsum()
    with pytest.raises(TypeError):
        tg.einsum_path(3, np.ones(3))
    with pytest.raises(TypeError, match="unexpected"):
        tg.einsum("i", np.ones(3), optimize=True)
