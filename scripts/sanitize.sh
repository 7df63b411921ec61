#!/usr/bin/env bash
# C++ tests, and with `address` optionally the Python tests, under a sanitizer.
# sanitize.sh cpp address,undefined|thread [doctest arguments]
# sanitize.sh python address,undefined [pytest arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

what="$1" kind="$2"
shift 2
build="build/${kind//,/-}"

# Leaks are looked for in C++ tests only: CPython itself keeps memory until the end.
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
case "$what" in
  cpp)
    stage "building the C++ tests with $kind sanitizer"
    BUILD="$build/cpp" bash scripts/build.sh -DTEGULA_TESTS=ON -DTEGULA_PYTHON=OFF \
      "-DTEGULA_SANITIZE=$kind"
    stage "C++ tests with $kind sanitizer"
    "$build/cpp/tegula_tests" "$@"
    ;;
  python)
    stage "building the extension with $kind sanitizer"
    BUILD="$build/python" bash scripts/build.sh -DTEGULA_INPLACE=OFF "-DTEGULA_SANITIZE=$kind"
    # A folder like tegula/ but for the extension, ahead of it on the path.
    site="$PWD/$build/site"
    rm -rf "$site"
    mkdir -p "$site/tegula"
    for file in tegula/*; do
      case "$file" in *.so) ;; *) ln -s "$PWD/$file" "$site/$file" ;; esac
    done
    ln -s "$PWD/$build/python/"_core*.so "$site/tegula/"
    stage "Python tests with $kind sanitizer"
    # The allocator of small Python objects would hide overruns from the sanitizer.
    PYTHONPATH="$site" PYTHONMALLOC=malloc TEGULA_SANITIZED=1 \
      ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0 \
      LD_PRELOAD="$(c++ -print-file-name=libasan.so):$(c++ -print-file-name=libubsan.so)" \
      "$BIN/pytest" -p no:cacheprovider "$@"
    ;;
  *) stop "sanitize.sh: 'cpp' or 'python' expected, not '$what'." ;;
esac
