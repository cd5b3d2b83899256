#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# A pool that is not there: a folder full of other things where the pictures should be. The sweep stops with 3,
# says why, and goes on when the pictures are there. And the exit codes of what the user got wrong.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
threshold_a=0.5 threshold_b=0.5
[ -d "$STAMPS" ] || skip_all "no pictures in $STAMPS: install tuxpaint-stamps-default"
root=$work/pool
manifest=$work/pool.tsv
mkdir "$root"
echo "a pool was mounted here once" >"$root/README"
awk 'BEGIN { print "id\turi"; for (i = 0; i < 2000; i++) print i "\tpictures/" i % 10 ".png" }' >"$manifest"
options
sweep_options+=(--shard-rows 100)
for ranks in 1 2; do
    expect 3 "$ranks" "${sweep_options[@]}" --out "$work/failed$ranks"
    said "missing"
    said "more than --max-failed 5%"
    said "--root $root"
    [ "$(n_parts "$work/failed$ranks")" = 0 ] || fail "parts of failed rows are left: they would not be done again"
    [ ! -e "$work/failed$ranks/sweep.h5" ] || fail "a sweep.h5 in spite of it"
done
timeout 20 "$EYESORE" status "$work/failed2" >"$work/status" 2>&1 || fail "status: $(cat "$work/status")"
grep -q 'rows      0 of 2000 done' "$work/status" || fail "status: $(cat "$work/status")"

# The wrong root is mended; the same command does all rows.
mkdir "$root/pictures"
find "$STAMPS" -name '*.png' -size -20k | sort | head -n 10 | awk -v to="$root/pictures/" '
    { print "cp " $0 " " to NR - 1 ".png" }' | sh
expect 0 2 "${sweep_options[@]}" --out "$work/failed2"
[ "$(rows "$work/failed2/sweep.h5" | wc -l)" = 2000 ] && [ "$(column "$work/failed2/sweep.h5" status | grep -c ',ok$')" = 2000 ] ||
    fail "the resumed sweep has failed rows"

# A tenth is missing: allowed where the user says so, and the parts of before are kept.
rm "$root/pictures/3.png"
expect 3 0 "${sweep_options[@]}" --out "$work/tenth"
expect 0 0 "${sweep_options[@]}" --max-failed 0.2 --out "$work/tenth"
[ "$(column "$work/tenth/sweep.h5" status | grep -c ',missing$')" = 200 ] || fail "200 rows should be missing"
# Below 1,000 rows nothing is judged.
expect 0 0 "${sweep_options[@]}" --limit 900 --out "$work/short"
note "--max-failed: 3 with the cause, parts put aside, resumed"
