"""``torch.utils.data``: data sets, samplers and the loader, in plain Python."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from tegula import _core
from tegula.compat.torch._creation import generating
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import functions, t

T = TypeVar("T")


class Dataset(Generic[T]):
    """Items by index: ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[T]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Items one after the other: ``__iter__``."""


class TensorDataset(Dataset[Any]):
    """Rows of tensors."""

    def __init__(self, *tensors: Any) -> None:
        if any(x.shape[0] != tensors[0].shape[0] for x in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> Any:
        return tuple(x[index] for x in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class ConcatDataset(Dataset[Any]):
    """Data sets one after the other."""

    def __init__(self, datasets: Any) -> None:
        self.datasets = list(datasets)
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        index = index + len(self) if index < 0 else index
        which = bisect.bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - start]


class Subset(Dataset[Any]):
    """Some items of a data set."""

    def __init__(self, dataset: Any, indices: Any) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Any, generator: Any = None) -> list[Subset]:
    """Disjoint parts in random order; lengths may be fractions."""
    sizes = list(lengths)
    if math.isclose(sum(sizes), 1) and sum(sizes) <= 1.0001:
        counts = [math.floor(len(dataset) * f) for f in sizes]
        for i in range(len(dataset) - sum(counts)):
            counts[i % len(counts)] += 1
        sizes = counts
    if sum(sizes) != len(dataset):
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = functions["randperm"](sum(sizes), generator=generator).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[e - s : e]) for s, e in zip(sizes, ends, strict=True)]


class Sampler(Generic[T]):
    """An order of indices."""

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """In order."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """In random order."""

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: Any = None,
        generator: Any = None,
    ) -> None:
        super().__init__(data_source)
        self.replacement, self.generator = replacement, generator
        self.num_samples = num_samples or len(data_source)

    def __iter__(self) -> Iterator[int]:
        count = len(self.data_source)
        if self.replacement:
            draws = functions["randint"](count, (self.num_samples,), generator=self.generator)
            return iter(draws.tolist())
        return iter(
            functions["randperm"](count, generator=self.generator).tolist()[: self.num_samples]
        )

    def __len__(self) -> int:
        return int(self.num_samples)


class SubsetRandomSampler(Sampler[int]):
    """Given indices in random order."""

    def __init__(self, indices: Any, generator: Any = None) -> None:
        super().__init__()
        self.indices, self.generator = list(indices), generator

    def __iter__(self) -> Iterator[int]:
        order = functions["randperm"](len(self.indices), generator=self.generator).tolist()
        return iter([self.indices[i] for i in order])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices in proportion to weights."""

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        super().__init__()
        self.weights = functions["as_tensor"](weights)
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        draws = functions["multinomial"](
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        return iter(draws.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Indices in batches."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        super().__init__()
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def default_collate(batch: Any) -> Any:
    """Joins samples along a new first axis."""
    first = batch[0]
    if isinstance(first, _core.Tensor):
        return t.stack(list(batch), 0)
    if isinstance(first, (np.ndarray, np.generic)):
        return functions["from_numpy"](np.stack([np.asarray(b) for b in batch]))
    if isinstance(first, (bool, int, float)):
        return t.tensor(list(batch), dtype=_core.float64 if isinstance(first, float) else None)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([item[key] for item in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(f) for f in zip(*batch, strict=True)))
    if isinstance(first, (tuple, list)):
        return [default_collate(list(f)) for f in zip(*batch, strict=True)]
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first)}"
    )


class DataLoader:
    """Batches of a data set. Workers are accepted and not started: the caller's thread loads."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: Any = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Any = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        **_: Any,
    ) -> None:
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.generator, self.num_workers = generator, num_workers
        self.collate_fn = collate_fn or (
            default_collate if batch_size is not None or batch_sampler else lambda x: x
        )
        self.iterable = isinstance(dataset, IterableDataset)
        if self.iterable:
            self.sampler: Any = None
            self.batch_sampler: Any = None
            return
        if sampler is None:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        elif shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.iterable:
            items = iter(self.dataset)
            if self.batch_size is None:
                yield from map(self.collate_fn, items)
                return
            while batch := list(itertools.islice(items, self.batch_size)):
                if len(batch) == self.batch_size or not self.drop_last:
                    yield self.collate_fn(batch)
        elif self.batch_sampler is None:
            for index in self.sampler:
                yield self.collate_fn(self.dataset[index])
        else:
            for indices in self.batch_sampler:
                fetch = getattr(self.dataset, "__getitems__", None)
                items = fetch(indices) if fetch else [self.dataset[i] for i in indices]
                yield self.collate_fn(items)

    def __len__(self) -> int:
        if self.iterable:
            return -(-len(self.dataset) // (self.batch_size or 1))
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)


def get_worker_info() -> None:
    """None: there are no workers."""


del generating
__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "get_worker_info",
    "random_split",
]


def __getattr__(name: str) -> Any:
    raise absent("torch.utils.data", name)
