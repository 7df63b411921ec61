#!/usr/bin/env bash
# Measures Tegula beside PyTorch and records the results. Arguments: cases, or options (--help).
# PyTorch comes from .venv-peers, made at first use, or from the interpreter TEGULA_PEERS_PYTHON.
set -euo pipefail
source "$(dirname "$0")/common.sh"

exec "$BIN/python" -m benchmarks "$@"
