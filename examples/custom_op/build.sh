#!/bin/sh
# Compiles the kernel beside itself. PYTHON and CXX choose which Python has Tegula, and the compiler.
set -e
cd "$(dirname "$0")"
include="$("${PYTHON:-python3}" -c 'import tegula; print(tegula.custom_op_include())')"
"${CXX:-c++}" -std=c++17 -O2 -fPIC -shared -ffp-contract=off -I"$include" recurrence.cc \
  -o librecurrence.so
