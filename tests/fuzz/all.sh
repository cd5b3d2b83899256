#!/bin/bash
# tests/fuzz/all.sh [SECONDS] [BUILD]: the long proof with bad input: each fuzz target for SECONDS (default 1800, so 3
# hours in all), then 100,000 mutated pictures by the program that BUILD (default: build) made. SEED chooses others.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=${1:-1800}
build=${2:-$root/build}
data=${EYESORE_SHARED_DATA:-$root/../shared/data}
failed=0

mutate=$build/tests/fuzz/mutate_pictures
[ -x "$mutate" ] || {
    echo "all.sh: no $mutate: run make build first" >&2
    exit 2
}
for target in decode tar manifest safetensors sweep options; do
    "$here/run.sh" "$seconds" "$target" || failed=$?
    [ "$failed" != 77 ] || break # no clang: not for the next either
done
nice "$mutate" --seed "${SEED:-4}" --count 100000 "$data" /usr/share/tuxpaint/stamps "$here/seeds/decode" || failed=1
exit "$failed"
