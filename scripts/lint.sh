#!/usr/bin/env bash
# ruff, mypy and clang-format; with --fix, rewrites what can be rewritten.
set -euo pipefail
source "$(dirname "$0")/common.sh"

fix="${1:-}"
mapfile -t cpp < <(git ls-files '*.cc' '*.h')
if [ "$fix" = --fix ]; then
  "$BIN/ruff" check -q --fix-only .
  "$BIN/ruff" format -q .
  [ "${#cpp[@]}" = 0 ] || "$BIN/clang-format" -i "${cpp[@]}"
  exit
fi

failed=0
stage "lint"
"$BIN/ruff" check -q . || failed=1
"$BIN/ruff" format -q --check . ||
  { echo "ruff format: the files above are not formatted; run \`make format\`." >&2; failed=1; }
"$BIN/mypy" --no-error-summary || failed=1
[ "${#cpp[@]}" = 0 ] || "$BIN/clang-format" --dry-run --Werror "${cpp[@]}" 2>&1 |
  grep -E 'error:' | cut -d: -f1 | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)/\2: \1 places not formatted/' ||
  true
[ "${#cpp[@]}" = 0 ] || "$BIN/clang-format" --dry-run --Werror "${cpp[@]}" 2>/dev/null ||
  { echo "clang-format: the files above are not formatted; run \`make format\`." >&2; failed=1; }
exit "$failed"
