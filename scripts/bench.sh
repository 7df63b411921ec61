#!/usr/bin/env bash
# Runs every benchmark; each prints its figures, beside PyTorch's where PyTorch is installed.
set -euo pipefail
source "$(dirname "$0")/common.sh"

"$BIN/python" -c 'import torch' 2>/dev/null ||
  stage "PyTorch is not installed, so only Tegula is timed: .venv/bin/pip install -e '.[bench]'"
for file in benchmarks/bench_*.py; do
  [ -e "$file" ] || stop "benchmarks/ holds no bench_*.py."
  stage "$file"
  "$BIN/python" "$file" "$@"
done
