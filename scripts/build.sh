#!/usr/bin/env bash
# Builds the extension into tegula/, only what changed. Arguments go to CMake's configure step.
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ -x "$BIN/ninja" ] || stop "no build tools in .venv: run \`make setup\`."
mkdir -p "$BUILD"
# One build at a time in one folder.
exec 9>"$BUILD/.lock"
if command -v flock >/dev/null; then flock 9; fi

configure=("$BIN/cmake" -S . -B "$BUILD" -G Ninja -DCMAKE_MAKE_PROGRAM="$BIN/ninja"
  -DCMAKE_BUILD_TYPE=Release -DTEGULA_INPLACE=ON -DPython_EXECUTABLE="$BIN/python" "$@")
# Configured again when the options differ from last time; Ninja sees to changed CMake files.
if [ ! -f "$BUILD/build.ninja" ] || [ "${configure[*]}" != "$(cat "$BUILD/.options" 2>/dev/null)" ]
then
  quietly configure "${configure[@]}"
  grep -A3 'CMake Warning' build/logs/configure.log >&2 || true
  echo "${configure[*]}" >"$BUILD/.options"
fi

# A dry run tells whether there is anything to announce.
if "$BIN/ninja" -C "$BUILD" -n 2>/dev/null | grep -q 'no work to do'; then exit 0; fi
stage "building the extension"
if [ -t 2 ]; then
  "$BIN/ninja" -C "$BUILD" -k 0 -j "$JOBS" >&2
else
  quietly build "$BIN/ninja" -C "$BUILD" -k 0 -j "$JOBS"
fi
