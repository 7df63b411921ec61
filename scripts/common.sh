# Shared by the scripts: the folder, one calm line per stage, and output only when it fails.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BUILD="${BUILD:-build/release}"
JOBS="${JOBS:-$(nproc 2>/dev/null || echo 2)}"
BIN="$PWD/.venv/bin"
SKIPPED=77  # the exit status of a script that could not run here

stage() {
  if [ -t 2 ]; then printf '\033[1mtegula: %s\033[0m\n' "$*" >&2; else printf 'tegula: %s\n' "$*" >&2; fi
}
stop() { printf 'tegula: %s\n' "$*" >&2; exit 1; }

# quietly LOG COMMAND...: runs the command; its output is shown only if it fails.
quietly() {
  local log="build/logs/$1.log"
  shift
  mkdir -p build/logs
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 60 "$log" >&2
    printf 'tegula: failed: %s (whole output in %s)\n' "$*" "$log" >&2
    return 1
  fi
}

# Installs Debian packages; fails where that is not possible without asking.
install_packages() {
  local root=()
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || return 1
    root=(sudo -n)
  fi
  stage "installing $*"
  # A source of the system's own that fails to answer must not stop us, if the rest has it.
  quietly apt-update "${root[@]}" apt-get update -qq || true
  quietly apt-install "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@"
}

# C++ test cases that compare values over large spaces: hours under a sanitizer.
SWEEPS="math: *,histogram*,topk*,tile: every*,tile: long runs*,*against the definition*,\
matmul: shapes*,matmul: every*,*exact against*,winograd: operands*,winograd: forward*,\
low precision: 16-bit*,low precision: 8-bit*"
