#!/bin/bash
# shellcheck disable=SC2034,SC2154 # what lib.sh, cases.sh and tests/mpi/lib.sh use and set
# The cases of cases.sh on one virtual cluster: tests/slurm/run.sh [CASE...]; without a name, the short selection.
# By hand: EYESORE=build/eyesore tests/slurm/run.sh usr1. Exit code 77: this machine cannot run it, and why.
# EYESORE_KEEP=1 leaves the folder, as does a failure.
set -eu
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/slurm/cluster.sh
. "$tests/cluster.sh"
cluster_enter "$@"
# shellcheck source=tests/mpi/lib.sh
. "$tests/../mpi/lib.sh"
here=$tests
EYESORE=$(realpath "${EYESORE:-$tests/../../build/eyesore}")
# shellcheck source=tests/slurm/lib.sh
. "$tests/lib.sh"
# shellcheck source=tests/slurm/cases.sh
. "$tests/cases.sh"

cd "$work" # where the jobs' core files go

short=(run usr1 crash array)
[ $# != 0 ] || set -- "${short[@]}"

seconds() {
    date +%s.%N
}

# since START: seconds, with one digit.
since() {
    awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f", b - a }'
}

start=$(seconds)
cluster_start "$work/cluster"
note "cluster of $CLUSTER_NODES nodes idle ($(since "$start") s)"
start=$(seconds)
prepare
note "prepared: $n_shards shards, undisturbed sweep ($(since "$start") s)"
for name in "$@"; do
    declare -F "case_$name" >/dev/null || fail "there is no case $name"
    start=$(seconds)
    out=$work/out/$name
    "case_$name"
    note "$name: as it must be ($(since "$start") s)"
done
