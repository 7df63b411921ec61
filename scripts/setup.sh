#!/usr/bin/env bash
# From a bare machine to a .venv that can import Tegula. Does nothing that is already done.
set -euo pipefail
source "$(dirname "$0")/common.sh"
PYTHON="${PYTHON:-python3}"
PTH=_editable_skbc_tegula.pth

includes() { printf '#include <%s>\n' "$1" | c++ -std=c++20 -E -x c++ - >/dev/null 2>&1; }

# The Debian packages that hold what this system lacks, one a line.
missing_packages() {
  if ! command -v "$PYTHON" >/dev/null; then
    printf '%s\n' python3 python3-venv python3-dev
  else
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    "$PYTHON" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
      2>/dev/null || echo python3-dev
  fi
  includes span || echo g++
  includes hwy/highway.h || echo libhwy-dev
  includes doctest/doctest.h || echo doctest-dev
  [ -d /usr/share/datasets/fashion-mnist ] ||
    echo dataset-fashion-mnist
}

system_packages() {
  local packages needed
  mapfile -t packages < <(missing_packages)
  [ "${#packages[@]}" = 0 ] && return
  install_packages "${packages[@]}" || true
  # The dataset can also be downloaded, and doctest is for the C++ tests alone.
  mapfile -t needed < <(missing_packages | grep -v -e dataset-fashion-mnist -e doctest-dev)
  [ "${#needed[@]}" = 0 ] ||
    stop "please install ${needed[*]} (Debian's names), then run this again."
}

mkdir -p build
if [ ! -f build/.system ]; then
  system_packages
  touch build/.system
fi

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  stop "Python 3.10 or later is needed; $PYTHON is $("$PYTHON" --version). Set PYTHON=<another>."

if [ ! -x "$BIN/python" ]; then
  stage "creating .venv"
  quietly venv "$PYTHON" -m venv .venv
fi

# The packages depend on pyproject.toml alone.
if ! cmp -s pyproject.toml .venv/installed.toml; then
  stage "installing Python packages into .venv"
  quietly pip-build "$BIN/pip" install --disable-pip-version-check \
    "scikit-build-core==$(sed -nE 's/.*"scikit-build-core==([0-9.]+)".*/\1/p' pyproject.toml | head -1)"
  # Only the package's metadata, path and command: `make build` makes the extension.
  quietly pip-install "$BIN/pip" install --disable-pip-version-check --no-build-isolation \
    -C wheel.cmake=false -e '.[dev]'
  # A plain path instead of the import hook: quicker to start, and new files need no reinstall.
  pwd >"$("$BIN/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/$PTH"
  cp pyproject.toml .venv/installed.toml
fi

bash scripts/build.sh
