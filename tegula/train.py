"""What a training script needs around its loop: progress, a run's folder, plots, Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tegula as tg
from tegula._core import Tensor
from tegula.io import AtomicFile


class Progress:
    """Running loss and accuracy of an epoch, and one line about them.

    On a terminal the line renews itself; elsewhere it is printed a few times an epoch. The
    sums are lazy tensors that are read only when a line is due, so that the loop never waits.

    Args:
        epochs: epochs of the whole run.
        steps: steps of an epoch.
        every: steps between two readings.

    Attributes:
        epoch: the present epoch, from 0.
        step: steps done in it.
        count: examples seen in it.
    """

    def __init__(self, epochs: int, steps: int, every: int = 50) -> None:
        self.epochs, self.steps, self.every = epochs, steps, every
        self.live = sys.stdout.isatty()
        self.seconds, self.done, self.seen = 0.0, 0, 0  # of this process, evaluation left out
        self.epoch = -1
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Starts the sums of an epoch, or goes on with those of one that was restored."""
        self.clock = time.perf_counter()
        if epoch != self.epoch:
            self.epoch, self.step, self.count = epoch, 0, 0
            self.loss_sum, self.correct = tg.zeros(()), tg.zeros((), dtype=tg.int64)

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Counts one step.

        Args:
            loss: mean loss of the batch, 0-d.
            logits: (N, C).
            labels: (N,) integers.
        """
        size = labels.shape[0]
        with tg.no_grad():
            self.loss_sum = self.loss_sum + loss.detach() * size
            hits = tg.argmax(logits.detach(), axis=1) == labels
            self.correct = self.correct + tg.sum(hits.astype(tg.int64))
        self.step += 1
        self.count += size
        self.done += 1
        self.seen += size
        if self.step % self.every == 0 or self.step == self.steps:
            self._show()

    def means(self) -> dict[str, float]:
        """Mean loss and accuracy of the epoch so far; waits for them."""
        count = max(self.count, 1)
        return {"loss": self.loss_sum.item() / count, "accuracy": self.correct.item() / count}

    def state_dict(self) -> dict[str, Any]:
        """The sums and where the epoch stands."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "count": self.count,
            "loss_sum": self.loss_sum,
            "correct": self.correct,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state_dict()`` stood."""
        self.epoch, self.step, self.count = state["epoch"], state["step"], state["count"]
        self.loss_sum, self.correct = state["loss_sum"], state["correct"]

    def rate(self) -> float:
        """Examples a second since this process began."""
        return self.seen / self.seconds if self.seconds > 0 else 0.0

    def _show(self) -> None:
        means = self.means()
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        left = (self.epochs - self.epoch) * self.steps - self.step
        eta = int(left * self.seconds / self.done)
        line = (
            f"epoch {self.epoch + 1}/{self.epochs}  step {self.step:>{len(str(self.steps))}}"
            f"/{self.steps}  loss {means['loss']:.4f}  accuracy {means['accuracy']:7.2%}  "
            f"{self.rate():,.0f} images/s  {eta // 60}:{eta % 60:02d} left"
        )
        if self.live:
            print(f"\r\033[K{line}", end="", flush=True)
        elif self.step == self.steps or self.step % max(self.steps // 4, self.every) < self.every:
            print(line, flush=True)

    def report(self, text: str) -> None:
        """Prints a line below the progress line; its time does not count as training."""
        print(f"\n{text}" if self.live else text, flush=True)
        self.clock = time.perf_counter()


class Interrupt:
    """A context in which Ctrl-C is noted instead of raised, so that a step can be finished.

    The object is true once Ctrl-C was pressed; a second Ctrl-C raises KeyboardInterrupt.
    Outside the main thread it does nothing.

    Example:
        >>> with Interrupt() as interrupt:
        ...     for batch in loader:
        ...         train_step(batch)
        ...         if interrupt:
        ...             save_and_leave()
    """

    def __init__(self) -> None:
        self.pressed = False
        self._old: Any = None

    def __bool__(self) -> bool:
        return self.pressed

    def __enter__(self) -> Interrupt:
        import signal
        import threading

        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        import signal

        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)

    def _note(self, *_: object) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


class RunFolder:
    """The folder of one training run and its metrics.

    Args:
        path: the folder; made if it is not there.
        history: records to begin with, as of a run that is resumed; without them the run
            begins anew.

    Attributes:
        history: the records so far, one dict for each ``log``.
    """

    def __init__(
        self, path: str | os.PathLike[str], history: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.folder = Path(path)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.history: list[dict[str, Any]] = []
        self._write(history, "w")

    def path(self, name: str) -> Path:
        """The path of a file of the run."""
        return self.folder / name

    def log(self, **values: Any) -> None:
        """Appends one record to ``metrics.jsonl``."""
        self._write([values], "a")

    def _write(self, records: Sequence[dict[str, Any]], mode: str) -> None:
        with self.path("metrics.jsonl").open(mode, encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        self.history += records


# ---- pictures --------------------------------------------------------------------------------


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often label i was taken for class j: (classes, classes) int64."""
    pairs = np.asarray(labels) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def plot_curves(history: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draws loss and accuracy over the epochs, of training and test, as a PNG.

    Args:
        history: records with "epoch", "loss", "accuracy", "test_loss" and "test_accuracy".
        path: the picture.

    Raises:
        ImportError: the package ``matplotlib`` is not installed.
    """
    figure = _figure(9, 3.6)
    epochs = [record["epoch"] for record in history]
    for at, (name, title) in enumerate((("loss", "Loss"), ("accuracy", "Accuracy"))):
        axes = figure.add_subplot(1, 2, at + 1)
        axes.plot(epochs, [record[name] for record in history], "o-", label="training")
        axes.plot(epochs, [record[f"test_{name}"] for record in history], "s-", label="test")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    _write_figure(figure, path)


def plot_confusion(
    matrix: np.ndarray, classes: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """Draws a confusion matrix, rows true and columns predicted, as a PNG.

    Args:
        matrix: (C, C) counts.
        classes: C names.
        path: the picture.

    Raises:
        ImportError: the package ``matplotlib`` is not installed.
    """
    figure = _figure(7.2, 6.4)
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row in places:
        for column in places:
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    _write_figure(figure, path)


def plot_samples(
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    path: str | os.PathLike[str],
) -> None:
    """Draws a grid of grey images with predicted labels, wrong ones red with the true label.

    Args:
        images: (N, H, W), N at most about 40.
        labels: (N,) integers.
        predicted: (N,) integers.
        classes: names.
        path: the picture.

    Raises:
        ImportError: the package ``matplotlib`` is not installed.
    """
    columns = 8
    rows = -(-len(images) // columns)
    figure = _figure(1.35 * columns, 1.6 * rows)
    for at, (image, label, guess) in enumerate(zip(images, labels, predicted, strict=True)):
        axes = figure.add_subplot(rows, columns, at + 1)
        axes.imshow(image, cmap="gray_r")
        axes.set_axis_off()
        right = label == guess
        title = classes[guess] if right else f"{classes[guess]}\n(true: {classes[label]})"
        axes.set_title(title, fontsize=7, color="black" if right else "firebrick")
    _write_figure(figure, path)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need the package matplotlib: pip install 'tegula[demo]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _write_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    with AtomicFile(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
