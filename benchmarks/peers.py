"""The interpreters that run each framework, and a handle on a worker process."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = "TEGULA_PEERS_PYTHON"  # environment variable: an interpreter that has PyTorch
PEERS_FOLDER = ROOT / ".venv-peers"
# Known places of an interpreter with the peers, tried before one is set up.
PREPARED = (Path("/opt/peers/bin/python"),)
TORCH = "torch==2.13.0"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


class PeerError(RuntimeError):
    """A framework is not there, or its process failed."""


def torch_python() -> Path:
    """An interpreter that can import PyTorch; sets up ``.venv-peers`` if there is none.

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
        [*pip, TORCH, "--extra-index-url", CPU_WHEELS],
    ]
    for command in commands:
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise PeerError(f"failed: {' '.join(command)}; or set {PEERS_PYTHON}")
    return own


def _has_torch(python: Path) -> bool:
    code = f"import torch, sys; sys.exit(torch.__version__.split('+')[0] != {TORCH[7:]!r})"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


class Worker:
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
        self.label, self.timeout = f"{case}: {variant}", timeout
        threads = str(len(cpus))
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", case, variant],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=os.environ
            | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
            | {"TEGULA_NUM_THREADS": threads}
            | environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        self.outputs: list[float] = self._answer()["outputs"]

    def round(self) -> dict[str, float]:
        """Each metric once."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("round\n")
        except BrokenPipeError:
            raise PeerError(f"{self.label}: the process has ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(self.timeout):
                raise PeerError(f"{self.label}: no answer within {self.timeout:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"{self.label}: failed with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if error is not None:
            self.process.kill()
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
