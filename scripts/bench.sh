#!/usr/bin/env bash
# Measures Tegula beside PyTorch, JAX and ONNX Runtime and records the results. Arguments: families
# or cases, or options (--help). The peers come from .venv-peers, made at first use, or from the
# interpreter TEGULA_PEERS_PYTHON.
set -euo pipefail
source "$(dirname "$0")/common.sh"

bash scripts/build.sh -DTEGULA_BENCH=ON
exec "$BIN/python" -m benchmarks "$@"
