#!/bin/bash
# make test-faults: every fault, at length. tests/faults.sh [kills] [slurm] [calls] [soak]   (default: all)
# Each part goes on whatever became of the one before; the last lines say what failed. Seeds are printed, and
# each part says how one case of it is run again.
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=${EYESORE_BUILD:-$here/../build}
[ $# -gt 0 ] || set -- kills slurm calls soak
failed=""

# part NAME COMMAND...
part() {
    local name=$1 begun=$SECONDS
    shift
    "$@" || failed="$failed $name"
    echo "== $name: $((SECONDS - begun)) s"
}

export EYESORE=$build/eyesore
for name in "$@"; do
    case $name in
        kills) part kills "$here/kills/kills.sh" "${RUNS:-200}" "${SEED:-1}" ;;
        slurm) part slurm "$here/slurm/all.sh" "$build" ;;
        calls) part calls "$here/faults/all.sh" "$build" ;;
        soak) part soak "$here/slurm/soak.sh" "${ROWS:-2000000}" "${SEED:-1}" ;;
        *) echo "faults.sh: there is no part '$name': kills, slurm, calls, soak" >&2; exit 2 ;;
    esac
done
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
