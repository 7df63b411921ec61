#!/usr/bin/env bash
# The C++ tests, or with `address` the Python tests, under sanitizers:
# sanitize.sh cpp address,undefined|thread [doctest arguments]
# sanitize.sh python address,undefined [pytest arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

what="$1" kind="$2"
shift 2
build="build/${kind//,/-}"

# One build serves both; ThreadSanitizer cannot be loaded into a Python built without it.
python=ON
case "$kind" in *thread*) python=OFF ;; esac
stage "building with $kind sanitizer"
BUILD="$build" bash scripts/build.sh -DTEGULA_TESTS=ON -DTEGULA_INPLACE=OFF \
  "-DTEGULA_PYTHON=$python" "-DTEGULA_SANITIZE=$kind" \
  "-DTEGULA_DISABLED_TARGETS=${TEGULA_DISABLED_TARGETS:-}"

export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
stage "$what tests with $kind sanitizer"
case "$what" in
  cpp)
    "$build/tegula_tests" "$@"
    ;;
  python)
    # A folder like tegula/ but for the extension, ahead of it on the path.
    site="$PWD/$build/site"
    rm -rf "$site"
    mkdir -p "$site/tegula"
    for file in tegula/*; do
      case "$file" in *.so) ;; *) ln -s "$PWD/$file" "$site/$file" ;; esac
    done
    ln -s "$PWD/$build/"_core*.so "$site/tegula/"
    ln -s "$PWD/examples" "$site/"
    # The allocator of small Python objects would hide overruns from the sanitizer, and CPython
    # itself keeps memory until the end, so leaks are looked for in the C++ tests alone.
    PYTHONPATH="$site" PYTHONMALLOC=malloc TEGULA_SANITIZED=1 \
      ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0 \
      LD_PRELOAD="$(c++ -print-file-name=libasan.so):$(c++ -print-file-name=libubsan.so)" \
      "$BIN/pytest" -p no:cacheprovider "$@"
    ;;
  *) stop "sanitize.sh: 'cpp' or 'python' expected, not '$what'." ;;
esac
