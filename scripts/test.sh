#!/usr/bin/env bash
# `make test`: lint, C++ tests, Python tests with the code of the docs.
# Every part runs even if an earlier one failed; the exit code tells whether all passed.
set -uo pipefail
source "$(dirname "$0")/common.sh"

failed=()
bash scripts/lint.sh || failed+=(lint)

stage "building the C++ tests"
bash scripts/build.sh -DTEGULA_TESTS=ON || failed+=(build)
stage "C++ tests"
"$BUILD/tegula_tests" || failed+=(cpp)

stage "Python tests"
"$BIN/pytest" -n "$JOBS" -m 'not slow and not gpu' "$@" || failed+=(python)

if [ "${#failed[@]}" != 0 ]; then stop "failed: ${failed[*]}"; fi
stage "all passed"
