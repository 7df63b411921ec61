"""The interpreters that run each framework, and a handle on a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = "TEGULA_PEERS_PYTHON"  # environment variable: an interpreter that has PyTorch
PEERS_FOLDER = ROOT / ".venv-peers"
# Known places of an interpreter with the peers, tried before one is set up.
PREPARED = (Path("/opt/peers/bin/python"),)
TORCH = "torch==2.13.0"
OTHERS = ("jax==0.10.2", "onnxruntime==1.32.0", "onnx==1.23.2")
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


class PeerError(RuntimeError):
    """A framework is not there, or its process failed."""


def peers_python() -> Path:
    """An interpreter that can import PyTorch, and JAX and ONNX Runtime if it is our own; sets up
    ``.venv-peers`` if there is none.

    Raises:
        PeerError: it cannot be set up, or ``TEGULA_PEERS_PYTHON`` has no PyTorch.
    """
    chosen = os.environ.get(PEERS_PYTHON)
    own = PEERS_FOLDER / "bin" / "python"
    for python in (Path(chosen),) if chosen else (own, *PREPARED):
        if python.exists() and _has_torch(python):
            return python
    if chosen:
        raise PeerError(f"{PEERS_PYTHON}={chosen} is no interpreter that can import torch")
    print(f"benchmarks: installing {TORCH} into {PEERS_FOLDER.name}", file=sys.stderr)
    pip = [str(own), "-m", "pip", "install", "--disable-pip-version-check", "-q", "numpy"]
    commands = [
        [sys.executable, "-m", "venv", str(PEERS_FOLDER)],
        [*pip, TORCH, *OTHERS, "--extra-index-url", CPU_WHEELS],
    ]
    for command in commands:
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise PeerError(f"failed: {' '.join(command)}; or set {PEERS_PYTHON}")
    return own


def frameworks(python: Path) -> list[str]:
    """Those of the peers that the interpreter can import."""
    code = (
        "from importlib.util import find_spec; "
        "print(*(x for x in ('torch', 'jax', 'onnxruntime') if find_spec(x)))"
    )
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split()


def _has_torch(python: Path) -> bool:
    code = f"import torch, sys; sys.exit(torch.__version__.split('+')[0] != {TORCH[7:]!r})"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


class Process:
    """A process that answers lines with lines, pinned to the given processors."""

    def __init__(
        self,
        label: str,
        command: Sequence[str | Path],
        cpus: Sequence[int],
        timeout: float,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.label, self.timeout = label, timeout
        threads = str(len(cpus))
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=os.environ
            | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
            | {"TEGULA_NUM_THREADS": threads, "JAX_PLATFORMS": "cpu"}
            | environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )

    def ask(self, request: str) -> str:
        """The answer to a request; neither has a line's end.

        Raises:
            PeerError: the process ended, or took too long.
        """
        self.send(request)
        return self.receive()

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
        except BrokenPipeError:
            raise PeerError(f"{self.label}: the process has ended") from None

    def receive(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(self.timeout):
                raise PeerError(f"{self.label}: no answer within {self.timeout:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"{self.label}: failed with status {self.process.wait()}")
        return line.rstrip("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.process.kill()
        self.close()

    def close(self) -> None:
        """Ends the process, which does so when its input ends."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Worker(Process):
    """A process that measures one variant of one case.

    Attributes:
        outputs: what the variant computes, to be compared with the others.
    """

    def __init__(
        self,
        python: Path,
        case: str,
        variant: str,
        cpus: Sequence[int],
        environment: dict[str, str],
        timeout: float,
    ) -> None:
        command = [python, "-m", "benchmarks.worker", case, variant]
        super().__init__(f"{case}: {variant}", command, cpus, timeout, environment)
        self.outputs: list[float] = json.loads(self.receive())["outputs"]

    def round(self) -> dict[str, float]:
        """Each metric once."""
        metrics: dict[str, float] = json.loads(self.ask("round"))
        return metrics
