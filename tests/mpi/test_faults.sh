#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# Faults of the place (storage, descriptors, a root that is gone, a full disk) are never a row: the job ends
# with 75 and goes on with the same command when the fault is mended.
# FAULT_SHIM=/path/to/libfault_shim.so for the failing reads (built beside the tests; needs no sanitizer).
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 8
choose_thresholds
options
sweep_options+=(--shard-rows 10)
expect 0 0 "${sweep_options[@]}" --out "$work/whole"
n_shards=$(($(wc -l <"$work/whole/plan/shards.tsv") - 1))

# mended OUT: the same command now ends the sweep as if nothing had been.
mended() {
    expect 0 0 "${sweep_options[@]}" --out "$1"
    same_sweep "$work/whole/sweep.h5" "$1/sweep.h5"
}

# shimmed CALL PATH ERRNO ARGUMENT...: two ranks for which that call fails on files with PATH in their path.
# The exit code must be 75.
shimmed() {
    local code=0
    timeout -k 5 100 "$MPIEXEC" --oversubscribe --bind-to none -n 2 -x "LD_PRELOAD=$FAULT_SHIM" \
        -x "EYESORE_FAULT_CALL=$1" -x "EYESORE_FAULT_PATH=$2" -x "EYESORE_FAULT_ERRNO=$3" \
        "$EYESORE" "${@:4}" >"$work/stdout" 2>"$work/log" || code=$?
    [ "$code" = 75 ] || fail_log "errno $3 when $1 is called for $2: exit code $code, expected 75"
}

# The last row but five, and its shard.
victim=$(tail -n 5 "$manifest" | head -n 1 | cut -f2)
victim_row=$(($(grep -nF "	$victim	" "$manifest" | cut -d: -f1) - 2))
victim_shard=$(awk -v row="$victim_row" 'NR > 1 && row >= $2 && row < $2 + $3 { print $1 }' "$work/whole/plan/shards.tsv")

if [ -n "${FAULT_SHIM:-}" ]; then
    for fault in "read 5 Input/output error" "open 116 Stale file handle" "open 24 Too many open files"; do
        read -r call number text <<<"$fault"
        out=$work/shim-$number
        shimmed "$call" "$victim" "$number" "${sweep_options[@]}" --order given --out "$out"
        said "$text"
        said "$victim"
        said "run the same command again"
        ! compgen -G "$out/parts/*/shard-$(printf %08d "$victim_shard")-*.h5" >/dev/null ||
            fail "$text: shard $victim_shard was committed"
        [ ! -e "$out/sweep.h5" ] || fail "$text: a sweep.h5 in spite of it"
        n=$(n_parts "$out")
        expect 0 0 "${sweep_options[@]}" --order given --out "$out"
        [ -e "$work/given/sweep.h5" ] || expect 0 0 "${sweep_options[@]}" --order given --out "$work/given"
        same_sweep "$work/given/sweep.h5" "$out/sweep.h5"
        note "$text in $call: 75, $n of $n_shards parts, mended: the same sweep.h5"
    done

    # The same while the order is measured.
    out=$work/shim-order
    shimmed read .png 5 "${sweep_options[@]}" --out "$out"
    [ ! -e "$out/plan/order.tsv" ] || fail "an order was written without its sample"
    mended "$out"
    note "Input/output error in the order's sample: 75, no order.tsv, mended: the same sweep.h5"
else
    note "SKIPPED: failing reads, FAULT_SHIM is not set"
fi

mv "$root" "$root.away"
expect 75 2 "${sweep_options[@]}" --out "$work/root"
said "is it mounted"
mkdir "$root"
expect 75 2 "${sweep_options[@]}" --out "$work/root"
said "the folder is empty"
rmdir "$root"
mv "$root.away" "$root"
mended "$work/root"
note "--root missing, --root empty: 75; mended: the same sweep.h5"

# The pool goes away in the middle, as an unmounted file system does.
out=$work/emptied
timeout -k 5 100 "$MPIEXEC" --oversubscribe --bind-to none -n 2 "$EYESORE" "${sweep_options[@]}" --out "$out" \
    >"$work/stdout" 2>"$work/log" &
waiter=$!
for ((i = 0; i < 3000 && $(n_parts "$out") < 2; i++)); do sleep 0.01; done
mv "$root" "$root.away"
mkdir "$root"
code=0
wait "$waiter" || code=$?
rmdir "$root"
mv "$root.away" "$root"
n=$(n_parts "$out")
[ "$code" = 75 ] && [ "$n" -lt "$n_shards" ] || fail_log "root emptied: exit code $code, $n of $n_shards parts"
mended "$out"
note "root emptied after $n of $n_shards parts: 75; mended: the same sweep.h5"

# A full disk: writes that fail, and a file system of its own where one can be mounted.
if [ -n "${FAULT_SHIM:-}" ]; then
    for what in parts/0000/shard-00000003 sweep.h5 plan/run.txt plan/order.tsv; do
        out=$work/full-shim-${what//\//-}
        shimmed write "/$what" 28 "${sweep_options[@]}" --out "$out"
        said "No space left on device"
        [ ! -e "$out/sweep.h5" ] || fail "a sweep.h5 in spite of a full disk"
        n=$(n_parts "$out")
        mended "$out"
        [ "$(n_leftovers "$out")" = 0 ] || fail "full disk: temporary files are left"
        note "No space left on device for $what: 75 with $n of $n_shards parts, mended: the same sweep.h5"
    done
fi
out=$work/full
mkdir "$out"
if mount -t tmpfs -o size=256k none "$out" 2>/dev/null; then
    code=0
    mpi 2 "${sweep_options[@]}" --out "$out" || code=$?
    mount -o remount,size=64m "$out" || true
    [ "$code" = 75 ] || { umount "$out"; fail_log "full disk: exit code $code, expected 75"; }
    n=$(n_parts "$out")
    code=0
    mpi 2 "${sweep_options[@]}" --out "$out" || code=$?
    mkdir "$work/full-copy"
    cp "$out/sweep.h5" "$work/full-copy/" || true
    umount "$out"
    [ "$code" = 0 ] || fail_log "after the full disk: exit code $code"
    same_sweep "$work/whole/sweep.h5" "$work/full-copy/sweep.h5"
    note "full disk (tmpfs): 75 with $n of $n_shards parts; with room: the same sweep.h5"
else
    note "SKIPPED: a real full disk, no tmpfs can be mounted here"
fi
