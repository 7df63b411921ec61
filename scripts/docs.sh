#!/usr/bin/env bash
# Generates the reference pages from the operations' own declarations and runs every page's code.
set -euo pipefail
source "$(dirname "$0")/common.sh"

if [ -f scripts/make_reference.py ]; then
  stage "reference pages"
  "$BIN/python" scripts/make_reference.py docs/reference
fi
stage "running the code of the pages"
"$BIN/pytest" tests/python/test_docs.py
