#!/bin/bash
# Files beside this one crash libhdf5 1.10.8: eyesore says so and ends with exit code 2. EYESORE=build/eyesore
# tests/fuzz/hdf5/crashers.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for file in "$here"/*.h5; do
    for command in "export --all" "verdict --stage a@0.5"; do
        code=0
        # shellcheck disable=SC2086 # a command and its options
        timeout 60 "${EYESORE:-$here/../../../build/eyesore}" $command "$file" >/dev/null 2>&1 || code=$?
        [ "$code" = 2 ] || { echo "FAILED: $command $file: exit code $code, expected 2"; exit 1; }
    done
    echo "-- $(basename "$file"): refused"
done
