#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# The same sweep.h5 whatever the number of ranks and the rows of a shard.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 6
choose_thresholds
n_rows=$(($(wc -l <"$manifest") - 1))

first=
for shard_rows in 7 50 1000; do
    for ranks in 1 2 4; do
        out=$work/r$ranks-s$shard_rows
        expect 0 "$ranks" "${sweep_options[@]}" --shard-rows "$shard_rows" --out "$out"
        [ "$(n_leftovers "$out")" = 0 ] || fail "temporary files in $out"
        [ "$(rows "$out/sweep.h5" | wc -l)" = "$n_rows" ] || fail "$out: rows in are not rows out"
        if [ -z "$first" ]; then
            first=$out
            n_flagged=$(flagged "$out/sweep.h5" | wc -l)
            [ "$n_flagged" -ge 10 ] || fail "only $n_flagged rows are flagged: the thresholds test nothing"
        else
            same_sweep "$first/sweep.h5" "$out/sweep.h5"
            cmp "$first/plan/order.tsv" "$out/plan/order.tsv" || fail "$out: another order"
        fi
        [ "$ranks" = 1 ] || cmp "$work/r1-s$shard_rows/plan/shards.tsv" "$out/plan/shards.tsv" ||
            fail "$out: another plan"
    done
done
note "$n_rows rows, $n_flagged flagged: 1, 2 and 4 ranks, 7, 50 and 1000 rows a shard"

[ "$(cut -d, -f1 <<<"$(rows "$first/sweep.h5")")" = "$(sed 1d "$manifest" | cut -f1)" ] ||
    fail "rows are not in the manifest's order"
status=$(column "$first/sweep.h5" status)
grep -qx gone,missing <<<"$status" && grep -qx cut,truncated <<<"$status" ||
    fail "the odd rows are: $(grep -v ',ok$' <<<"$status")"

# Without mpirun it is a job of one rank.
timeout 100 "$EYESORE" "${sweep_options[@]}" --out "$work/alone" >"$work/stdout" 2>"$work/log" ||
    fail_log "without mpirun"
same_sweep "$first/sweep.h5" "$work/alone/sweep.h5"
grep -q '^UNTRAINED' "$work/stdout" || fail "the summary does not begin with UNTRAINED"
