#!/usr/bin/env bash
# Compiles the engine for 64-bit Arm (NEON), to show that it can; needs a cross compiler.
set -euo pipefail
source "$(dirname "$0")/common.sh"

compiler=aarch64-linux-gnu-g++
if ! command -v "$compiler" >/dev/null; then
  stage "neon skipped: no $compiler (Debian: g++-aarch64-linux-gnu)"
  exit
fi
object="$(mktemp)"
trap 'rm -f "$object"' EXIT
# Highway is headers only, the same for every processor.
for file in $(git ls-files 'src/base/*.cc' 'src/runtime/*.cc' 'src/graph/*.cc' 'src/ops/*.cc' \
  'src/transform/*.cc' 'src/plan/*.cc' 'src/backend/*.cc'); do
  "$compiler" -std=c++20 -O1 -fno-math-errno -ffp-contract=off -fPIC -I src -idirafter /usr/include \
    -c "$file" -o "$object" || stop "$file does not compile for Arm."
done
