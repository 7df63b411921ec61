"""``DataLoader``: batches of a data set, shuffled, prefetched and resumable."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import tegula as tg
from tegula._core import Tensor
from tegula.data.dataset import permutation


def default_collate(samples: list[Any]) -> Any:
    """Joins samples along a new first axis: arrays, tensors and numbers become arrays.

    Tuples, lists and dicts are joined field by field. Python floats become float32 and ints
    int64; strings stay a list.

    Raises:
        TypeError: samples of another kind.
        ValueError: shapes that differ.
    """
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in samples):
            raise ValueError("DataLoader: the samples of a batch have different numbers of fields")
        return tuple(default_collate(list(field)) for field in zip(*samples, strict=True))
    if isinstance(first, (str, bytes)):
        return samples
    if isinstance(first, Tensor):
        samples = [sample.numpy() for sample in samples]
    elif type(first) is float:  # NumPy's float64 is a float, too, and keeps its dtype
        return np.array(samples, dtype=np.float32)
    elif not isinstance(first, (np.ndarray, np.generic, bool, int)):
        raise TypeError(
            f"DataLoader: cannot join samples of type {type(first).__name__}; "
            f"pass collate_fn, or return arrays, numbers, tuples or dicts"
        )
    shapes = sorted({np.shape(sample) for sample in samples})
    if len(shapes) > 1:
        raise ValueError(f"DataLoader: the samples of a batch have different shapes: {shapes}")
    return np.stack(samples)


def _to_tensors(batch: Any) -> Any:
    """The batch with its arrays as tensors; the rest stays as it is."""
    if isinstance(batch, np.ndarray) and batch.dtype.kind not in "OSUMm":
        return tg.asarray(batch)
    if isinstance(batch, Mapping):
        return {key: _to_tensors(value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        values = [_to_tensors(value) for value in batch]
        return type(batch)(*values) if hasattr(batch, "_fields") else type(batch)(values)
    return batch


class _Channel:
    """What the worker thread and its reader share: a bounded queue that either can end."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.items: deque[Any] = deque()
        self.changed = threading.Condition()
        self.stopped = False  # the reader wants no more
        self.ended = False  # the worker has no more
        self.error: BaseException | None = None

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.items.clear()
            self.changed.notify_all()

    def put(self, item: Any) -> bool:
        """Waits for room; False if the reader wants no more."""
        with self.changed:
            while len(self.items) >= self.room and not self.stopped:
                self.changed.wait()
            if not self.stopped:
                self.items.append(item)
                self.changed.notify_all()
            return not self.stopped

    def end(self, error: BaseException | None = None) -> None:
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()

    def get(self) -> Any:
        """Waits for an item; raises StopIteration after the last, or the worker's error."""
        with self.changed:
            while not (self.items or self.ended or self.stopped):
                self.changed.wait()
            if self.items:
                item = self.items.popleft()
                self.changed.notify_all()
                return item
            if self.error is not None:
                raise self.error
            raise StopIteration


def _work(channel: _Channel, batches: Iterator[np.ndarray], fetch: Callable[..., Any]) -> None:
    """The worker thread: fetches every batch; what goes wrong is the reader's to hear."""
    try:
        for indices in batches:
            if not channel.put(fetch(indices)):
                return
    except BaseException as error:
        channel.end(error)
    else:
        channel.end()


class _Epoch:
    """One pass over the data: the iterator that ``iter(loader)`` returns."""

    def __init__(self, loader: DataLoader, epoch: int, position: int) -> None:
        self.loader, self.epoch, self.position = loader, epoch, position
        self.process = os.getpid()
        self.finished = False
        self.fetch = loader._fetch_function()
        self.batches = loader._batches(epoch, position)
        self.channel: _Channel | None = None
        if loader.prefetch > 0:
            channel = self.channel = _Channel(loader.prefetch)
            # The thread knows the channel and not this object, so an iterator that is dropped
            # ends its thread; at interpreter exit the same happens to those still alive.
            weakref.finalize(self, channel.stop)
            threading.Thread(
                target=_work,
                args=(channel, self.batches, self.fetch),
                name="tegula-loader",
                daemon=True,
            ).start()

    def close(self) -> None:
        self.finished = True
        if self.channel is not None:
            self.channel.stop()

    def __iter__(self) -> _Epoch:
        return self

    def __len__(self) -> int:
        return len(self.loader) - self.position

    def __next__(self) -> Any:
        self.loader._check_open()
        if self.finished:
            raise StopIteration
        if os.getpid() != self.process:
            raise RuntimeError(
                "DataLoader: this iterator was made before fork() and its thread stayed in the "
                "parent process; call iter(loader) again here"
            )
        try:
            ahead = self.channel
            batch = self.fetch(next(self.batches)) if ahead is None else ahead.get()
        except StopIteration:
            self.loader._check_open()  # closed while waiting
            self.finished = True
            raise
        self.position += 1
        return batch


class DataLoader:
    """Batches of a data set; iterating over it is one epoch.

    The order of an epoch depends on the seed and the epoch's number alone. A thread prepares
    batches ahead; an error in it is raised at the batch it belongs to.

    Args:
        dataset: has ``__len__`` and ``__getitem__``, or better ``get_batch(indices)``.
        batch_size: items per batch.
        shuffle: whether each epoch has a new random order.
        drop_last: whether to leave out a last batch that is not full.
        seed: decides the orders; by default a number from Tegula's default generator, so
            ``tg.manual_seed`` decides it.
        prefetch: batches prepared ahead; 0 prepares each when it is asked for.
        collate_fn: joins a list of items to a batch; by default arrays are stacked. Arrays of
            a batch arrive as tensors.

    Attributes:
        epoch: number of the present epoch, or of the next if none is under way.

    Raises:
        TypeError: a wrong type.
        ValueError: ``batch_size`` below 1 or ``prefetch`` below 0.

    Example:
        >>> for images, labels in DataLoader(dataset, batch_size=128, shuffle=True):
        ...     ...
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
        prefetch: int = 2,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader: the dataset must have __len__ and __getitem__, "
                f"{type(dataset).__name__} has not"
            )
        for name, value, least in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0)):
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"DataLoader: {name} must be an int, got {value!r}")
            if value < least:
                raise ValueError(f"DataLoader: {name} must be at least {least}, got {value}")
        if collate_fn is not None and not callable(collate_fn):
            raise TypeError(f"DataLoader: collate_fn must be callable, got {collate_fn!r}")
        self.dataset, self.batch_size, self.shuffle = dataset, int(batch_size), bool(shuffle)
        self.drop_last, self.prefetch = bool(drop_last), int(prefetch)
        self.collate_fn = collate_fn
        if seed is None:
            seed = int(tg.random.randint(0, 2**31 - 1, shape=()).item()) if shuffle else 0
        self.seed = int(seed)
        self._first = (0, 0)  # epoch and position at which the next iteration begins
        self._latest: _Epoch | None = None
        self._alive: weakref.WeakSet[_Epoch] = weakref.WeakSet()
        self._closed = False

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        """Begins an epoch: the next, or the interrupted one after ``load_state_dict``."""
        self._check_open()
        if self._latest is not None:
            self._first = (self._latest.epoch + 1, 0)
        self._latest = epoch = _Epoch(self, *self._first)
        self._alive.add(epoch)
        return epoch

    @property
    def epoch(self) -> int:
        """Number of the present epoch, or of the next if none is under way."""
        return int(self.state_dict()["epoch"])

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: epoch, batches given out in it, seed."""
        epoch, position = self._first
        if self._latest is not None:
            epoch, position = self._latest.epoch, self._latest.position
            if position >= len(self):
                epoch, position = epoch + 1, 0
        return {"epoch": epoch, "position": position, "seed": self.seed}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Stands where ``state_dict()`` stood: the next iteration gives the batches after it.

        Raises:
            ValueError: a key is missing or out of range.
        """
        try:
            epoch, position, seed = (int(state_dict[k]) for k in ("epoch", "position", "seed"))
        except KeyError as missing:
            raise ValueError(f"DataLoader.load_state_dict: missing {missing}") from None
        if epoch < 0 or not 0 <= position <= len(self):
            raise ValueError(
                f"DataLoader.load_state_dict: epoch {epoch}, position {position} is outside "
                f"an epoch of {len(self)} batches"
            )
        self.seed = seed
        self._first, self._latest = (epoch, position), None

    def close(self) -> None:
        """Ends all iterations and their threads; using the loader afterwards is an error."""
        self._closed = True
        for epoch in tuple(self._alive):
            epoch.close()

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"DataLoader({len(self.dataset)} items in {len(self)} batches of {self.batch_size}, "
            f"shuffle={self.shuffle}, seed={self.seed})"
        )

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("DataLoader: it is closed; make a new one")

    def _batches(self, epoch: int, position: int) -> Iterator[np.ndarray]:
        """The items of each batch of an epoch from batch ``position`` on."""
        count, size, batches = len(self.dataset), self.batch_size, len(self)
        if self.shuffle:
            order = permutation(count, self.seed, epoch)
        else:
            order = np.arange(count, dtype=np.int64)
        return (order[i * size : (i + 1) * size] for i in range(position, batches))

    def _fetch_function(self) -> Callable[[np.ndarray], Any]:
        """What makes a batch of the numbers of its items."""
        dataset, collate = self.dataset, self.collate_fn
        many = getattr(dataset, "get_batch", None)
        if many is not None and collate is None:
            return lambda indices: _to_tensors(many(indices))
        join = collate or default_collate
        return lambda indices: _to_tensors(join([dataset[int(i)] for i in indices]))
