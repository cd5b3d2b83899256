#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# Which stage runs first, what is scored because of it, and what never depends on it: what is flagged.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 4
choose_thresholds

# have FILE STAGE: how many rows it scored.
have() {
    column "$1" "score_$2" | grep -cE ',[0-9.e-]+$'
}

expect 0 2 "${sweep_options[@]}" --out "$work/auto"
said "sampled rows pass"
expect 0 1 "${sweep_options[@]}" --out "$work/auto1"
cmp "$work/auto/plan/order.tsv" "$work/auto1/plan/order.tsv" || fail "another order on 1 rank"
awk -F'\t' 'NR == 2 && $2 != "a" { exit 1 }' "$work/auto/plan/order.tsv" ||
    fail "a passes fewer rows at the same cost and should be first: $(cat "$work/auto/plan/order.tsv")"

# A resume reads the order: it is not measured again, nor written.
rm "$work/auto/sweep.h5" "$(find "$work/auto/parts" -name '*.h5' | sort | head -n 1)"
before=$(stat -c '%Y %i' "$work/auto/plan/order.tsv")
expect 0 2 "${sweep_options[@]}" --out "$work/auto"
not_said "sampled rows pass"
[ "$before" = "$(stat -c '%Y %i' "$work/auto/plan/order.tsv")" ] || fail "order.tsv was written again"
same_sweep "$work/auto1/sweep.h5" "$work/auto/sweep.h5"
note "--order auto: the same with 1 and 2 ranks, kept by a resume"

# The stages given the other way round: auto turns them.
reversed=(scan --manifest "$manifest" --root "$root" --stage "b=$work/b.safetensors@$threshold_b"
    --stage "a=$work/a.safetensors@$threshold_a" --precision f32 --resize 72 --size 64 --threads 1 --progress none)
expect 0 0 "${reversed[@]}" --out "$work/auto-reversed"
same_sweep "$work/auto/sweep.h5" "$work/auto-reversed/sweep.h5" 'option\.stage'

expect 0 0 "${reversed[@]}" --order given --out "$work/given"
[ ! -e "$work/given/plan/order.tsv" ] || fail "--order given measures"
flagged "$work/auto/sweep.h5" >"$work/flagged"
[ "$(wc -l <"$work/flagged")" -ge 10 ] || fail "too few rows are flagged to test anything"
for other in given all; do
    [ "$other" = given ] || { rm -rf "$work/all" && expect 0 2 "${sweep_options[@]}" --all-stages --out "$work/all"; }
    flagged "$work/$other/sweep.h5" | cmp "$work/flagged" - || fail "$other flags other rows"
done
scored=$(column "$work/all/sweep.h5" status | grep -cE ',(ok|truncated)$')
[ "$(have "$work/auto/sweep.h5" a)" = "$scored" ] && [ "$(have "$work/auto/sweep.h5" b)" -lt "$scored" ] ||
    fail "auto: a should score all rows, b only what a passes"
[ "$(have "$work/given/sweep.h5" b)" = "$scored" ] && [ "$(have "$work/given/sweep.h5" a)" -lt "$scored" ] ||
    fail "given b,a: b should score all rows, a only what b passes"
[ "$(have "$work/all/sweep.h5" a)" = "$scored" ] && [ "$(have "$work/all/sweep.h5" b)" = "$scored" ] ||
    fail "--all-stages does not score all"
# Where there is a score it is the same, whatever the order.
for stage in a b; do
    for other in auto given; do
        join -t, <(column "$work/all/sweep.h5" "score_$stage") <(column "$work/$other/sweep.h5" "score_$stage") |
            awk -F, '$3 ~ /^[0-9]/ && $2 != $3 { print; bad = 1 } END { exit bad }' ||
            fail "scores of $stage in $other are not those in all"
    done
done
note "order given, reversed and --all-stages: the same $(wc -l <"$work/flagged") rows are flagged"

# A sample for judging thresholds: chosen by id alone, scored by all stages.
for ranks in 1 2 4; do
    expect 0 "$ranks" "${sweep_options[@]}" --probe 0.2 --shard-rows $((5 * ranks)) --out "$work/probe$ranks"
    [ "$ranks" = 1 ] || same_sweep "$work/probe1/sweep.h5" "$work/probe$ranks/sweep.h5"
done
flagged "$work/probe1/sweep.h5" | cmp "$work/flagged" - || fail "--probe flags other rows"
h5dump -y -w 1 -d /items/probed "$work/probe1/sweep.h5" | tr -d ' ,' | grep -E '^[01]$' >"$work/probed" ||
    fail "no /items/probed"
n_probed=$(grep -c 1 "$work/probed")
[ "$n_probed" -gt $((scored / 10)) ] && [ "$n_probed" -lt $((scored * 3 / 10)) ] ||
    fail "$n_probed of $scored rows are probed; 20 % was asked for"
paste -d, "$work/probed" <(csv "$work/probe1/sweep.h5" | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { print $at["status"] "," $at["score_a"] "," $at["score_b"] }') |
    awk -F, '$1 == 1 && ($2 == "ok" || $2 == "truncated") && !($3 ~ /^[0-9]/ && $4 ~ /^[0-9]/) { print; bad = 1 }
        END { exit bad }' || fail "a probed row has not all scores"
h5dump -A "$work/probe1/sweep.h5" | grep -q 'probe' || fail "the probe's probability is not stored"
[ "$(have "$work/probe1/sweep.h5" b)" -gt "$(have "$work/auto/sweep.h5" b)" ] || fail "--probe scores nothing more"
note "--probe 0.2: $n_probed rows, the same on 1, 2 and 4 ranks, all with all scores"
