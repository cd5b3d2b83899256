#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# Each call of a kind fails in turn, over a whole small sweep: the program ends with a documented exit code and
# a message, nothing is lost, and the same command ends with the same sweep.h5.
#
#   tests/faults/calls.sh [CALL...]       write fsync rename open mkdir link mmap fork thread malloc (default: all)
#   STRIDE=k   every k-th call only       (default 1; `malloc` 13 times that)
#   AT=n       that call only: replays one point, with what it says shown
#
# CALL_SHIM=/path/to/libcall_shim.so. By hand, after a build: STRIDE=20 tests/faults/calls.sh open
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"

CALL_SHIM=${CALL_SHIM:-$(find "$here/../../build" -name 'libcall_shim.so' | head -n 1)}
[ -e "$CALL_SHIM" ] || skip_all "no call shim in a sanitizer's build"
[ $# -gt 0 ] || set -- write fsync rename open mkdir link mmap fork thread malloc
declare -A errnos=([write]="28 5" [fsync]="5 122" [rename]="30 13" [open]="5 116 24" [mkdir]="28" [link]="5" [mmap]="12"
    [fork]="11" [thread]="11" [malloc]="12")

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 60
threshold_a=0.5 threshold_b=0.5
options
sweep_options+=(--engine null --precision auto --shard-rows 4 --threads 2 --stall-timeout 20s)
expect 0 0 "${sweep_options[@]}" --out "$work/whole"

# faulty CALL N ERRNO OUT: sets code.
faulty() {
    code=0
    timeout -k 5 40 env LD_PRELOAD="$CALL_SHIM" FAULT_CALL="$1" FAULT_AT="$2" FAULT_ERRNO="$3" \
        FAULT_PATHS="$work/out:$root:$manifest:$work/a.saf:$work/b.saf" FAULT_COUNT="$work/count" \
        "$EYESORE" "${sweep_options[@]}" --out "$4" >"$work/stdout" 2>"$work/log" || code=$?
}

# point CALL N ERRNO: one fault, and the resume.
point() {
    local out=$work/out-$1-$2
    faulty "$1" "$2" "$3" "$out"
    [ -z "${AT:-}" ] || grep -v 'default$\|command line$' "$work/log"
    case $code in
        0) ;;
        75 | 1 | 2) grep -q "level=error\|error:" "$work/log" || fail_log "$1 $2, errno $3: exit code $code and no error said" ;;
        *) fail_log "call $2 of $1, errno $3: exit code $code (replay: AT=$2 $0 $1)" ;;
    esac
    [ "$code" = 0 ] || expect 0 0 "${sweep_options[@]}" --out "$out"
    same_sweep "$work/whole/sweep.h5" "$out/sweep.h5" || fail "call $2 of $1, errno $3 (replay: AT=$2 $0 $1)"
    codes[$code]=$((${codes[$code]:-0} + 1))
    rm -rf "$out"
}

for call in "$@"; do
    faulty "$call" 0 0 "$work/out-count"
    [ "$code" = 0 ] || fail_log "the sweep under the shim ends with $code"
    rm -rf "$work/out-count"
    n=$(cat "$work/count")
    read -ra numbers <<<"${errnos[$call]}"
    declare -A codes=()
    stride=${STRIDE:-1}
    [ "$call" != malloc ] || stride=$((13 * stride))
    for at in ${AT:-$(seq "$((1 + ${OFFSET:-0}))" "$stride" "$n")}; do
        point "$call" "$at" "${numbers[at % ${#numbers[@]}]}"
    done
    said=""
    for code in "${!codes[@]}"; do said="$said, ${codes[$code]} times $code"; done
    note "$call: $n calls, every $stride. failed${said:-, none}; all resumed to the same sweep.h5"
done
