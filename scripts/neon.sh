#!/usr/bin/env bash
# Builds the engine and its tests for 64-bit Arm (NEON) and runs the kernels' tests under QEMU.
# Needs Debian's g++-aarch64-linux-gnu and qemu-user, and installs them if it can; else it ends with
# the status for what was skipped.
set -euo pipefail
source "$(dirname "$0")/common.sh"
BUILD=build/neon  # not the one that `make` names

compiler=aarch64-linux-gnu-g++
if ! command -v "$compiler" >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
  install_packages g++-aarch64-linux-gnu qemu-user || {
    stage "neon skipped: no $compiler and qemu-aarch64 (Debian: g++-aarch64-linux-gnu, qemu-user)"
    exit "$SKIPPED"
  }
fi
mkdir -p "$BUILD/include" build/logs
# These are headers only, the same for every processor; the rest of the host's /usr/include is not.
for headers in hwy doctest; do
  [ -d "/usr/include/$headers" ] || stop "no /usr/include/$headers: see docs/quickstart.md."
  ln -sfn "/usr/include/$headers" "$BUILD/include/$headers"
done
include="$PWD/$BUILD/include"
quietly neon-configure "$BIN/cmake" -S . -B "$BUILD" -G Ninja \
  -DCMAKE_MAKE_PROGRAM="$BIN/ninja" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O1 \
  -DTEGULA_PYTHON=OFF -DTEGULA_TESTS=ON -DTEGULA_HIGHWAY_INCLUDE="$include" \
  -DTEGULA_DOCTEST_INCLUDE="$include"
stage "building for Arm"
quietly neon-build "$BIN/ninja" -C "$BUILD" -k 0 -j "$JOBS" tegula_tests

# The kernels' test files; what else tegula_tests has does not depend on the processor.
files='*matmul*,*contraction*,*convolution*,*low_precision*,*tile*,*pooling*,*optimizer*,*indexing*'
files+=',*sorting*,*random*,*isa*'
qemu-aarch64 -L /usr/aarch64-linux-gnu "$BUILD/tegula_tests" -sf="$files" "$@"
