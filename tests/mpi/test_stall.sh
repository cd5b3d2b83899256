#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# Nothing hangs and nothing crashes without a word: reads and writes that never return, ranks that are frozen,
# ranks that crash. Each ends within the stall timeout, with what is stuck named, and goes on when mended.
# FAULT_SHIM=/path/to/libfault_shim.so (built beside the tests; needs no sanitizer).
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

[ -n "${FAULT_SHIM:-}" ] || skip_all "no fault shim in a sanitizer's build"
weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 8
threshold_a=0.5 threshold_b=0.5
options
sweep_options+=(--engine null --precision auto --shard-rows 5 --order given --stall-timeout 3s)
expect 0 0 "${sweep_options[@]}" --out "$work/whole"
victim=$(tail -n 30 "$manifest" | head -n 1 | cut -f2)

# faulty N CALL PATH WHAT OUT: N ranks with the shim; sets code and took (seconds).
faulty() {
    local begun
    begun=$(date +%s) code=0
    timeout -k 5 60 "$MPIEXEC" --oversubscribe --bind-to none -n "$1" -x "LD_PRELOAD=$FAULT_SHIM" \
        -x "EYESORE_FAULT_CALL=$2" -x "EYESORE_FAULT_PATH=$3" -x "EYESORE_FAULT_ERRNO=$4" \
        ${FAULT_RANK:+-x "EYESORE_FAULT_RANK=$FAULT_RANK"} \
        "$EYESORE" "${sweep_options[@]}" --out "$5" >"$work/stdout" 2>"$work/log" || code=$?
    took=$(($(date +%s) - begun))
}

ends_with() {
    [ "$code" = "$1" ] || fail_log "exit code $code, expected $1"
    [ "$took" -le "$2" ] || fail_log "it took $took s, expected $2 at most"
}

resumes() {
    expect 0 0 "${sweep_options[@]}" --out "$1"
    same_sweep "$work/whole/sweep.h5" "$1/sweep.h5"
}

noted() {
    cat "$1"/attempts/*.log | grep -q -e "$2" || { cat "$1"/attempts/*.log >&2; fail "OUT/attempts does not say: $2"; }
}

for ranks in 1 2; do
    out=$work/fetch-$ranks
    faulty "$ranks" read "$victim" hang "$out"
    ends_with 75 12
    said "stuck at fetch $victim for"
    said "stack of the thread at fetch"
    said "read" # in the stack
    noted "$out" "event=stalled .*stage=fetch shard=[0-9]* what=$victim"
    noted "$out" "event=shard_failed .*cause=stall"
    resumes "$out"
    note "a read that never returns, $ranks ranks: 75 after $took s, named, and the same sweep.h5"
done

out=$work/write
faulty 2 write "shard-00000002" hang "$out"
ends_with 75 12
said "stuck at write"
resumes "$out"
note "a write that never returns: 75 after $took s"

out=$work/gather
faulty 2 write "sweep.h5" hang "$out"
ends_with 75 35
said "stuck at gather"
resumes "$out"
note "a gather that never returns: 75 after $took s"

# A rank that is frozen says nothing: rank 0 notices.
out=$work/frozen
"$MPIEXEC" --oversubscribe --bind-to none -n 2 "$EYESORE" "${sweep_options[@]}" --null-speed 2 --out "$out" \
    >"$work/stdout" 2>"$work/log" &
job=$!
for _ in $(seq 200); do [ "$(n_parts "$out")" -lt 2 ] || break; sleep 0.05; done
frozen=$(pgrep -f "eyesore scan .*--out $out" | while read -r pid; do
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx OMPI_COMM_WORLD_RANK=1 && echo "$pid"; done | head -n 1)
kill -STOP "$frozen"
begun=$(date +%s) code=0
wait "$job" || code=$?
took=$(($(date +%s) - begun))
kill -9 "$frozen" 2>/dev/null || true
ends_with 75 20
said "rank 1, which is not heard of"
expect 0 0 "${sweep_options[@]}" --out "$out"
same_sweep "$work/whole/sweep.h5" "$out/sweep.h5" 'option\.null-speed'
note "a frozen rank: 75 after $took s"

# One rank hangs on its first picture; the other does everything else, and that shard as well.
out=$work/overtaken
FAULT_RANK=1
sweep_options+=(--stall-timeout 25s)
faulty 2 read "$root/" hang "$out"
FAULT_RANK=
ends_with 75 45
said "rank 0 does it as well"
[ "$(n_parts "$out")" = "$(n_parts "$work/whole")" ] || fail "the straggler's shards were not all done by the other rank"
expect 0 0 "${sweep_options[@]}" --out "$out"
same_sweep "$work/whole/sweep.h5" "$out/sweep.h5" 'option\.stall-timeout'
note "a rank that hangs on a shard: the other rank did it; 75 after $took s, with nothing left to do"

# A crash names its shard.
out=$work/crash
faulty 2 read "$victim" crash "$out"
[ "$code" != 0 ] && [ "$code" != 2 ] && [ "$code" != 3 ] && [ "$code" != 4 ] || fail_log "a crash ends with $code"
noted "$out" "event=shard_failed .*cause=crash signal=SEGV stage=fetch what=$victim"
expect 0 0 "${sweep_options[@]}" --out "$out"
same_sweep "$work/whole/sweep.h5" "$out/sweep.h5" 'option\.stall-timeout'
note "a crash: $code, the shard is named in OUT/attempts, and the same sweep.h5"
