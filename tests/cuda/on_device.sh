#!/bin/sh
# The CUDA engine's parity tests on a machine that has a GPU. Needs nvcc, cuDNN, cmake and a C compiler, nothing else:
# kernels/ builds alone. Exit 77: built, but there is no GPU.
#   tests/cuda/on_device.sh [BUILD] [NETWORK...]     (default: build-on-device; all networks)
# Takes some minutes: untrained weights are made, cuDNN plans chosen by timing, then compared and timed.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build-on-device}
[ $# -eq 0 ] || shift

mkdir -p "$build"
log=$build/cmake.log
command -v cmake >/dev/null || { echo "cmake is needed" >&2; exit 2; }
cmake -S "$top" -B "$build" -DCMAKE_BUILD_TYPE=Release -DKERNELS_ONLY=ON -DWITH_CUDA=ON -DWITH_ONEDNN=OFF \
    -DBUILD_TESTING=OFF >"$log" 2>&1 || { cat "$log" >&2; exit 1; }

cmake --build "$build" --target cuda_parity -j "$(getconf _NPROCESSORS_ONLN)" >"$build/make.log" 2>&1 ||
    { tail -n 40 "$build/make.log" >&2; exit 1; }
mkdir -p "$build/weights"
exec "$build/tests/cuda/device/cuda_parity" "$build/weights" "$@"
