#!/usr/bin/env bash
# `make test-all`: `make test`, then what takes longer. Adds a row to docs/test-all.md.
set -uo pipefail
source "$(dirname "$0")/common.sh"

report=docs/test-all.md
results=()
run() {  # run NAME COMMAND...
  local name="$1" start=$SECONDS verdict=pass status=0
  shift
  "$@" || status=$?
  case "$status" in 0) ;; "$SKIPPED") verdict=skipped ;; *) verdict=FAIL ;; esac
  results+=("$name $verdict ($((SECONDS - start)) s)")
  stage "${results[-1]}"
}
python_tests() { "$BIN/pytest" -n "$JOBS" -m 'not gpu' --timeout 1200 "$@"; }

run test bash scripts/test.sh
run asan+ubsan bash scripts/sanitize.sh cpp address,undefined
run python-asan bash scripts/sanitize.sh python address,undefined -n "$JOBS" \
  -m 'not slow and not gpu' --timeout 1200
# Threads are what this looks for: sweeps that compare values are left to the runs above.
run tsan bash scripts/sanitize.sh cpp thread "-tce=$SWEEPS"
run every-float "$BUILD/tegula_tests" -tc='math: *every float' --no-skip
export TEGULA_TILE=8
run tile-8-cpp "$BUILD/tegula_tests"
run tile-8 python_tests
unset TEGULA_TILE
for isa in baseline avx2 avx512 avx512_dot amx; do
  if TEGULA_ISA=$isa "$BIN/python" -c 'import tegula as tg; tg.eval(tg.ones(1) + 1)' 2>/dev/null
  then
    export TEGULA_ISA=$isa
    run "$isa-cpp" "$BUILD/tegula_tests"
    run "$isa" python_tests
    unset TEGULA_ISA
  else
    results+=("$isa not on this processor")
  fi
done
run neon bash scripts/neon.sh
export HYPOTHESIS_PROFILE=large
run hypothesis python_tests -k 'hypothesis or random_calls or fuzz'

if [ ! -f "$report" ]; then
  printf '# Runs of `make test-all`\n\n| date | commit | machine | results |\n|---|---|---|---|\n' \
    >"$report"
fi
joined="$(printf '%s; ' "${results[@]}")"
printf '| %s | %s | %s, %s cores | %s |\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" \
  "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)" "$JOBS" \
  "${joined%; }" >>"$report"
printf '%s\n' "${results[@]}"
if printf '%s\n' "${results[@]}" | grep -q FAIL; then stop "test-all failed; see above."; fi
