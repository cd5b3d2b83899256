#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# Each call of a kind fails in turn, over a whole small sweep: the program ends with a documented exit code and
# a message, nothing is lost, and the same command ends with the same sweep.h5.
#
#   tests/faults/calls.sh [CALL...]       write close fsync rename open mkdir link mmap fork thread malloc (default: all)
#   STRIDE=k    every k-th call only      (default 1; of malloc, which is called often, every MALLOC_STRIDE-th,
#               by default 13 times that)
#   OFFSET=n    from the n-th on          (counted from 0)
#   AT=n        that call only: replays one point, with what it says shown
#   ERRNOS=all  each point with every errno of its call (default: with one of them); ERRNOS="28 5": with these
#
# CALL_SHIM=/path/to/libcall_shim.so, or, for `malloc` in a sanitizer's build, which then looks for leaks as well,
# EYESORE_WRAPPED=/path/to/eyesore_wrapped. By hand, after a build: STRIDE=20 tests/faults/calls.sh open
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"

if [ -z "${EYESORE_WRAPPED:-}" ]; then
    CALL_SHIM=${CALL_SHIM:-$(find "$here/../../build" -name 'libcall_shim.so' | head -n 1)}
    [ -e "$CALL_SHIM" ] || skip_all "no call shim in a sanitizer's build"
    faulty_program=(env "LD_PRELOAD=$CALL_SHIM" "$EYESORE")
else
    export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$here/../../scripts/lsan.supp:print_suppressions=0}
    faulty_program=(env "ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=1:fast_unwind_on_malloc=0" "$EYESORE_WRAPPED")
    [ $# -gt 0 ] || set -- malloc
fi
[ $# -gt 0 ] || set -- write close fsync rename open mkdir link mmap fork thread malloc
# ENOSPC 28, EIO 5, EDQUOT 122, EROFS 30, ESTALE 116, EMFILE 24, EINTR 4, EACCES 13, ENOMEM 12, EAGAIN 11
declare -A errnos=([write]="28 5 122 116 4" [close]="28 5 122" [fsync]="5 122 28" [rename]="30 13 5 28 116" [open]="5 116 24 4 30"
    [mkdir]="28 122 30" [link]="5 28" [mmap]="12" [fork]="11 12" [thread]="11" [malloc]="12")

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
    FAULT_CALL="$1" FAULT_AT="$2" FAULT_ERRNO="$3" FAULT_COUNT="$work/count" \
        FAULT_PATHS="$work/out:$root:$manifest:$work/a.saf:$work/b.saf" \
        timeout -k 5 60 "${faulty_program[@]}" "${sweep_options[@]}" --out "$4" >"$work/stdout" 2>"$work/log" || code=$?
}

# blame TEXT: this point failed; the others go on.
blame() {
    local log=$work/failed-$call-$at-$errno
    cp "$work/log" "$log"
    echo "FAILED: call $at of $call, errno $errno: $* (replay: AT=$at ERRNOS=$errno tests/faults/calls.sh $call)" >&2
    grep -v 'default$\|command line$' "$log" | tail -n 25 >&2
    n_blamed=$((n_blamed + 1))
}

# resumed OUT: the same command, undisturbed, ends with the undisturbed sweep.h5. In a shell of its own, as what
# it uses leaves where that does not hold.
resumed() (
    trap - EXIT
    [ "$code" = 0 ] || expect 0 0 "${sweep_options[@]}" --out "$1"
    same_sweep "$work/whole/sweep.h5" "$1/sweep.h5"
)

# point: one fault, call $at of $call with $errno, and the resume.
point() {
    local out=$work/out-$call-$at
    rm -rf "$out"
    faulty "$call" "$at" "$errno" "$out"
    [ -z "${AT:-}" ] || grep -v 'default$\|command line$' "$work/log" || true
    codes[$code]=$((${codes[$code]:-0} + 1))
    case $code in
        0) ;;
        75 | 1 | 2) grep -q "level=error\|error:" "$work/log" || blame "exit code $code and no error said" ;;
        *) blame "exit code $code" ;;
    esac
    if resumed "$out"; then
        rm -rf "$out"
    else
        blame "not resumed to the same sweep.h5"
    fi
}

n_blamed=0
for call in "$@"; do
    at=0 errno=0
    faulty "$call" 0 0 "$work/out-count"
    [ "$code" = 0 ] || fail_log "the sweep under the shim ends with $code"
    rm -rf "$work/out-count"
    n=$(cat "$work/count")
    numbers=${ERRNOS:-one}
    [[ $numbers != all && $numbers != one ]] || numbers=${errnos[$call]}
    read -ra numbers <<<"$numbers"
    declare -A codes=()
    stride=${STRIDE:-1} n_points=0
    [ "$call" != malloc ] || stride=${MALLOC_STRIDE:-$((13 * stride))}
    for at in ${AT:-$(seq "$((1 + ${OFFSET:-0}))" "$stride" "$n")}; do
        if [ -n "${ERRNOS:-}" ]; then
            for errno in "${numbers[@]}"; do
                point
                n_points=$((n_points + 1))
            done
        else
            errno=${numbers[at % ${#numbers[@]}]}
            point
            n_points=$((n_points + 1))
        fi
    done
    said=""
    for code in "${!codes[@]}"; do said="$said, ${codes[$code]} times exit code $code"; done
    note "$call: $n calls, every $stride. failed, $n_points points${said}"
done
[ "$n_blamed" = 0 ] || fail "$n_blamed points"
note "each ended as documented, and was resumed to the same sweep.h5"
