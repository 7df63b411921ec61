"""Data sets: anything with a length and items by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import tegula as tg
from tegula._core import Tensor


class Dataset:
    """Base class of data sets.

    A subclass defines ``__len__`` and ``__getitem__``. One that can fetch many items at once
    defines ``get_batch(indices)`` as well, which the loader then calls instead.
    """

    get_batch: Callable[[np.ndarray], Any] | None = None

    def __len__(self) -> int:
        """The number of items."""
        raise NotImplementedError(f"{type(self).__name__} defines no __len__()")

    def __getitem__(self, index: int) -> Any:
        """One item: an array, a number, or a tuple or dict of them."""
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__()")


class TensorDataset(Dataset):
    """Items that are slices of arrays along their first axis.

    Args:
        arrays: tensors or NumPy arrays of the same length. NumPy arrays are borrowed, not
            copied: do not write to them while the data set is in use.

    Raises:
        TypeError: one is neither.
        ValueError: there are none, one is 0-d, or lengths differ.
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ValueError("TensorDataset: needs at least one array")
        kept = []
        for array in arrays:
            if isinstance(array, Tensor):
                array = array.detach().numpy()
            if not isinstance(array, np.ndarray):
                raise TypeError(
                    f"TensorDataset: items must be tensors or NumPy arrays, "
                    f"not {type(array).__name__}"
                )
            if array.ndim == 0:
                raise ValueError("TensorDataset: an array must have a first axis, got a 0-d one")
            view = array.view()
            view.flags.writeable = False
            kept.append(view)
        lengths = [len(array) for array in kept]
        if len(set(lengths)) > 1:
            raise ValueError(f"TensorDataset: the arrays' lengths differ: {lengths}")
        self.arrays: tuple[np.ndarray, ...] = tuple(kept)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The whole arrays as tensors."""
        return tuple(tg.asarray(array) for array in self.arrays)

    def __len__(self) -> int:
        """The length of the first axis."""
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        """The slice of every array, as tensors."""
        return tuple(tg.asarray(array[index]) for array in self.arrays)

    def get_batch(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """The items ``indices`` (int64, 1-D) of every array."""
        return tuple(np.take(array, indices, axis=0) for array in self.arrays)


class Subset(Dataset):
    """The items of a data set at given places.

    Args:
        dataset: the data set.
        indices: places in it; any order, repeats allowed.

    Raises:
        IndexError: a place outside the data set.
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        places = np.asarray(indices, dtype=np.int64).reshape(-1)
        count = len(dataset)
        if places.size and (places.min() < 0 or places.max() >= count):
            wrong = places[(places < 0) | (places >= count)][0]
            raise IndexError(f"Subset: index {wrong} is out of range for {count} items")
        self.dataset, self.indices = dataset, places
        inner = getattr(dataset, "get_batch", None)
        if inner is not None:
            self.get_batch = lambda chosen: inner(places[chosen])

    def __len__(self) -> int:
        """The number of places."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        """The item at place ``index`` of the subset."""
        return self.dataset[int(self.indices[index])]


def random_split(dataset: Any, lengths: Sequence[int | float], seed: int = 0) -> list[Subset]:
    """Cuts a data set at random into parts that do not overlap.

    Args:
        dataset: the data set.
        lengths: the size of each part, or fractions that add up to 1 (the first parts take
            what rounding leaves over).
        seed: decides who goes where.

    Raises:
        ValueError: the sizes are negative or do not add up.
    """
    count = len(dataset)
    sizes = [int(size) for size in lengths]
    if sizes != list(lengths):
        if abs(sum(lengths) - 1) > 1e-6:
            raise ValueError(f"random_split: fractions must add up to 1, got {list(lengths)}")
        sizes = [int(count * share) for share in lengths]
        for i in range(count - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if any(size < 0 for size in sizes) or sum(sizes) != count:
        raise ValueError(
            f"random_split: sizes must add up to the {count} items, got {list(lengths)}"
        )
    order = permutation(count, seed, 0)
    edges = np.cumsum([0, *sizes])
    return [Subset(dataset, order[a:b]) for a, b in pairwise(edges)]


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of epoch ``epoch``: depends on its arguments alone (NumPy's Philox), int64."""
    key = np.array([seed % 2**64, epoch], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count)
