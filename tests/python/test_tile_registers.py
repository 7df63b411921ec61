"""The instruction set ``amx`` needs the system's leave to use tile registers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import tegula as tg

# Linux refuses where a thread's stack for signals is too small for the tile registers' contents.
REFUSED = """
import ctypes
class Stack(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
memory = ctypes.create_string_buffer(4096)
stack = Stack(ctypes.addressof(memory), 0, len(memory))
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0, "too small for anything"
import numpy as np
import tegula as tg
a = tg.ones((40, 70), dtype=tg.int8)
assert (tg.matmul(a, a.T, dtype=tg.int32).numpy() == 70).all()
print(tg.isa()["used"], "amx" in tg.isa()["supported"])
"""


@pytest.mark.skipif("amx" not in tg.isa()["supported"], reason="no AMX here")
def test_dot_instructions_where_the_system_refuses_tile_registers() -> None:
    free = {name: value for name, value in os.environ.items() if name != "TEGULA_ISA"}
    run = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, env=free)
    if "too small for anything" in run.stderr:
        pytest.skip("the system takes no stack of 4096 bytes")
    assert run.stdout.split() == ["avx512_dot", "False"], run.stderr
