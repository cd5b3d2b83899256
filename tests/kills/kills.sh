#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# kill -9 of a random process at a random instant, then resume: no row lost, none twice, none different.
#
#   tests/kills/kills.sh [RUNS [SEED]]       (default: 8 runs, seed 1)
#   tests/kills/kills.sh 1 SEED              replays one run: run i of a series has the seed SEED + i - 1
#
# Killed is one of: a rank, the decoders' fork server, a decoder, mpirun, or the script around it. Each run
# kills up to three times, until the sweep is done. A run takes about 5 seconds.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"

runs=${1:-8} seed=${2:-1}
weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 4
threshold_a=0.5 threshold_b=0.5
options
# Slow enough to be met at work, quick enough for many runs: 200 rows at about 50 ms.
sweep_options+=(--engine null --precision auto --null-speed 1 --shard-rows 5 --order given)
expect 0 2 "${sweep_options[@]}" --null-speed 0 --out "$work/whole"

# The processes of this output: the script, mpirun, ranks, fork servers, decoders.
processes() {
    pgrep -f -- "--out $1( |\$)" | grep -vx "$$" || true
}

# What is killed, for the log: by the name that a process gives itself.
describe() {
    case $(cat "/proc/$1/comm" 2>/dev/null) in
        bash) echo script ;;
        mpirun) echo mpirun ;;
        eyesore-forks) echo "fork server" ;;
        eyesore-decode) echo decoder ;;
        eyesore) echo rank ;;
        *) echo "a process that had just ended" ;;
    esac
}

# start OUT: the script in the background, as a batch system would start it.
start() {
    rm -f "$work/log" # an orphan of the last start may still write to its own
    setsid bash -c 'shift; "$@"; exit $?' -- - "$MPIEXEC" --oversubscribe --bind-to none -n 2 "$EYESORE" \
        "${sweep_options[@]}" --out "$1" >"$work/stdout" 2>>"$work/log" </dev/null &
    script=$!
}

# Milliseconds of sleep.
pause() {
    sleep "$(awk -v ms="$1" 'BEGIN { print ms / 1000 }')"
}

# one SEED: kills, then resumes until it is done.
one() {
    local out=$work/run-$1 killed="" code n victim kind
    RANDOM=$1
    for _ in 1 2 3; do
        start "$out"
        pause $((RANDOM % 4500))
        mapfile -t all < <(processes "$out")
        n=${#all[@]}
        if [ "$n" -gt 0 ]; then
            victim=${all[RANDOM % n]}
            kind=$(describe "$victim")
            kill -9 "$victim" 2>/dev/null && killed="$killed, $kind" || true
        fi
        code=0
        { wait "$script" || code=$?; } 2>/dev/null
        case $code in
            0 | 1 | 75 | 13[0-9] | 14[0-9] | 2[0-9][0-9]) ;;
            2) grep -q "held by process" "$work/log" || fail_log "seed $1: exit code 2" ;;
            *) fail_log "seed $1: exit code $code" ;;
        esac
        [ "$code" != 0 ] || break
    done
    # Whatever was orphaned may go on for a while, and holds the output until it ends.
    for _ in $(seq 60); do
        code=0
        mpi 2 "${sweep_options[@]}" --null-speed 0 --out "$out" || code=$?
        [ "$code" = 2 ] && grep -q "held by process" "$work/log" || break
        sleep 0.5
    done
    [ "$code" = 0 ] || fail_log "seed $1: the resume ended with $code"
    same_sweep "$work/whole/sweep.h5" "$out/sweep.h5" 'option\.null-speed' || fail "seed $1"
    echo "seed $1: killed${killed:- nothing}: resumed, the same sweep.h5"
    rm -rf "$out"
}

for i in $(seq "$runs"); do
    one $((seed + i - 1))
done
for _ in $(seq 50); do
    left=$(pgrep -f -- "--out $work/run-" || true)
    [ -n "$left" ] || break
    sleep 0.2
done
[ -z "$left" ] || fail "processes are left behind: $left"
note "$runs runs from seed $seed: 0 rows lost, 0 twice, 0 different"
