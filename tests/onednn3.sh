#!/bin/sh
# Build kernels/ alone against oneDNN 3.x (Debian 12 has 2.6) and run its unit tests on it.
# The library comes from the Python package index, into BUILD. Exit 77: no index in reach, skipped.
# By hand: tests/onednn3.sh build/onednn3
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${1:?usage: tests/onednn3.sh BUILD}
version=2023.2.0 # carries oneDNN 3.2, built with GNU OpenMP as Debian's is
root=$build/root

mkdir -p "$build"
if ! [ -e "$root/lib/libdnnl.so" ]; then
    python3 -m venv "$build/venv" >/dev/null 2>&1 || { echo "skipped: python3 -m venv does not work here"; exit 77; }
    if ! "$build/venv/bin/python" -m pip install --quiet --no-deps --disable-pip-version-check --retries 2 \
        --prefix "$root" "onednn-cpu-gomp==$version" "onednn-devel-cpu-gomp==$version" >"$build/pip.log" 2>&1; then
        tail -n 3 "$build/pip.log"
        echo "skipped: oneDNN 3.x cannot be fetched: no package index in reach?"
        exit 77
    fi
fi
cmake -S "$top" -B "$build/kernels" -DKERNELS_ONLY=ON -DCMAKE_BUILD_TYPE=Release \
    -DONEDNN_LIBRARY="$root/lib/libdnnl.so" -DONEDNN_INCLUDE="$root/include" >"$build/cmake.log" ||
    { cat "$build/cmake.log"; exit 1; }
grep 'oneDNN 3' "$build/cmake.log"
cmake --build "$build/kernels" -j 2 >"$build/make.log" 2>&1 || { tail -n 40 "$build/make.log"; exit 1; }
LD_LIBRARY_PATH=$root/lib ctest --test-dir "$build/kernels" --no-tests=error --output-on-failure
