#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# A shard that fails on three hosts is set aside with its rows as failed, and the rest is finished; when the
# whole pool fails, nothing is set aside. Hosts are host names of their own (UTS namespaces): root is needed.
# FAULT_SHIM=/path/to/libfault_shim.so (built beside the tests; needs no sanitizer).
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

[ -n "${FAULT_SHIM:-}" ] || skip_all "no fault shim in a sanitizer's build"
unshare --uts true 2>/dev/null || skip_all "no namespaces without root"
weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 8
threshold_a=0.5 threshold_b=0.5
options
sweep_options+=(--engine null --precision auto --shard-rows 5 --order given)
expect 0 0 "${sweep_options[@]}" --out "$work/whole"
victim=$(tail -n 30 "$manifest" | head -n 1 | cut -f2)
victim_row=$(($(grep -nF "	$victim	" "$manifest" | cut -d: -f1) - 2))
victim_shard=$(awk -v row="$victim_row" 'NR > 1 && row >= $2 && row < $2 + $3 { print $1 }' "$work/whole/plan/shards.tsv")
n_rows=$(awk -v row="$victim_row" 'NR > 1 && row >= $2 && row < $2 + $3 { print $3 }' "$work/whole/plan/shards.tsv")
n_parts=$(n_parts "$work/whole")

# on HOST CODE PATH WHAT ARGUMENT...: the program on a host of that name, reads of PATH failing with WHAT.
on() {
    local code=0
    rm -f "${!#}/lock" # of a host that crashed: would be watched for 15 s
    # shellcheck disable=SC2016 # for the inner shell
    timeout -k 5 60 unshare --uts bash -c 'hostname "$1"; shift; exec "$@"' - "$1" \
        env LD_PRELOAD="$FAULT_SHIM" EYESORE_FAULT_CALL=read EYESORE_FAULT_PATH="$3" EYESORE_FAULT_ERRNO="$4" \
        "$EYESORE" "${@:5}" >"$work/stdout" 2>"$work/log" || code=$?
    case $2 in
        crash) [ "$code" -gt 128 ] || fail_log "exit code $code on $1, expected a signal's" ;;
        *) [ "$code" = "$2" ] || fail_log "exit code $code on $1, expected $2" ;;
    esac
}

for fault in 5 crash; do
    out=$work/shard-$fault
    code=75
    [ "$fault" != crash ] || code=crash
    for host in h1 h1 h2 h3; do # h1 twice: it counts once
        on "$host" "$code" "$victim" "$fault" "${sweep_options[@]}" --out "$out"
        not_said "set aside"
    done
    on h4 0 "$victim" "$fault" "${sweep_options[@]}" --out "$out"
    said "shard $victim_shard failed on 3 hosts: it is set aside, its $n_rows rows get the status set_aside"
    [ "$(n_parts "$out")" = "$n_parts" ] || fail "parts are missing"
    [ "$(column "$out/sweep.h5" status | grep -c ',set_aside$')" = "$n_rows" ] || fail "not $n_rows rows are set aside"
    cmp <(column "$work/whole/sweep.h5" status | grep -vFf <(column "$out/sweep.h5" status |
        sed -n 's/,set_aside$/,/p')) <(column "$out/sweep.h5" status | grep -v ',set_aside$') || fail "other rows differ"
    note "fault $fault on three hosts: $n_rows rows set aside, the rest as ever"

    # To try it once more: remove its part and the sweep.
    rm "$out"/parts/*/shard-"$(printf %08d "$victim_shard")"-*.h5 "$out/sweep.h5" "$out"/attempts/*
    expect 0 0 "${sweep_options[@]}" --out "$out"
    same_sweep "$work/whole/sweep.h5" "$out/sweep.h5"
done

# The pool fails, whatever the picture: on however many hosts, nothing is given up.
out=$work/pool
on h1 75 "$victim" 5 "${sweep_options[@]}" --out "$out"
for host in h2 h3 h4 h5 h6; do
    on "$host" 75 "$root" 5 "${sweep_options[@]}" --out "$out"
done
expect 0 0 "${sweep_options[@]}" --out "$out"
same_sweep "$work/whole/sweep.h5" "$out/sweep.h5"
note "a pool that fails on six hosts: nothing set aside"
