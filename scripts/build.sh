#!/usr/bin/env bash
# Builds the extension into tegula/, only what changed. Arguments go to CMake's configure step.
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ -x "$BIN/ninja" ] || stop "no build tools in .venv: run \`make setup\`."
mkdir -p "$BUILD" build/logs
# One build at a time in one folder.
exec 9>"$BUILD/.lock"
if command -v flock >/dev/null; then flock 9; fi

configure=("$BIN/cmake" -S . -B "$BUILD" -G Ninja -DCMAKE_MAKE_PROGRAM="$BIN/ninja"
  -DCMAKE_BUILD_TYPE=Release -DTEGULA_INPLACE=ON -DTEGULA_TESTS=OFF
  -DPython_EXECUTABLE="$BIN/python" "$@")
# Configured again when the options differ from last time; Ninja sees to changed CMake files.
if [ ! -f "$BUILD/build.ninja" ] || [ "${configure[*]}" != "$(cat "$BUILD/.options" 2>/dev/null)" ]
then
  quietly configure "${configure[@]}"
  grep -A3 'CMake Warning' build/logs/configure.log >&2 || true
  echo "${configure[*]}" >"$BUILD/.options"
fi

# Quiet unless there is work; then one line, on a terminal with a counter.
progress() {
  local line said=
  while IFS= read -r line; do
    [[ "$line" =~ ^(\[[0-9]+/[0-9]+\])\ (Building|Linking) ]] || continue
    [ -n "$said" ] || stage "building the extension"
    said=1
    [ ! -t 2 ] || printf '\r%s' "${BASH_REMATCH[1]}" >&2
  done
  [ -z "$said" ] || [ ! -t 2 ] || printf '\r\033[K' >&2
}
log=build/logs/build.log
"$BIN/ninja" -C "$BUILD" -k 0 -j "$JOBS" </dev/null 2>&1 | tee "$log" | progress || {
  grep -vE '^\[[0-9]+/[0-9]+\] |^ninja: Entering' "$log" | tail -n 80 >&2
  stop "the build failed (whole output in $log)."
}
# Warnings are for whoever builds to see.
grep -A3 -E 'warning:' "$log" >&2 || true
