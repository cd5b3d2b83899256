#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# What goes in in another way gives the same sweep: CSV, JSON Lines, tar members, a config file. And what is
# kept of it: --carry, --limit, --heatmaps, class sets.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 8
choose_thresholds
expect 0 0 "${sweep_options[@]}" --out "$work/tsv"

# A dry run shows the plan and leaves nothing.
expect 0 2 "${sweep_options[@]}" --dry-run --shard-rows 30 --out "$work/dry"
[ ! -e "$work/dry" ] || fail "--dry-run wrote $(find "$work/dry")"
grep -q "^rows      $(($(wc -l <"$manifest") - 1))$" "$work/stdout" || fail "--dry-run: $(cat "$work/stdout")"
find "$work/tsv" -printf '%p %T@\n' | sort >"$work/before"
expect 0 0 "${sweep_options[@]}" --dry-run --out "$work/tsv"
find "$work/tsv" -printf '%p %T@\n' | sort | cmp "$work/before" - || fail "--dry-run changed a finished sweep"
[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'eyesore-plan-*' -newer "$manifest" -user "$(id -u)")" ] ||
    fail "--dry-run leaves its scratch folder"
note "--dry-run: the plan, and nothing written"

awk -F'\t' '{ print "\"" $1 "\"," $2 "," $3 "," $4 "\r" }' "$manifest" >"$work/catalogue.csv"
awk -F'\t' 'NR > 1 { print "{\"id\": \"" $1 "\", \"label\": \"" $4 "\", \"uri\": \"" $2 "\", \"category\": \"" $3 "\"}" }' \
    "$manifest" >"$work/catalogue.jsonl"
for kind in csv jsonl; do
    manifest=$work/catalogue.$kind
    options
    expect 0 2 "${sweep_options[@]}" --carry category,label --out "$work/$kind"
    rows "$work/$kind/sweep.h5" | sort | cmp - <(rows "$work/tsv/sweep.h5" | sort) || fail "$kind: other rows"
    # All but the hash of the manifest itself, the one attribute outside /run that tells them apart.
    timeout 60 h5diff --exclude-path /run "$work/tsv/sweep.h5" "$work/$kind/sweep.h5" >"$work/h5diff" || true
    grep -E '^(attribute|dataset)' "$work/h5diff" | grep -vE 'manifest_hash|run_fingerprint|failures|not comparable' &&
        fail "$kind: $(cat "$work/h5diff")"
done
manifest=$work/catalogue.tsv
options
note "TSV, CSV and JSON Lines: the same sweep"

# The same pictures in tars, two of them; tars are found under --root as well.
(cd "$root" && tar -cf animals.tar animals && tar --format=ustar --exclude=animals --exclude='*.tar' -cf rest.tar -- *)
awk -F'\t' 'BEGIN { OFS = FS } NR > 1 { $2 = ($2 ~ /^animals\// ? "animals" : "rest") ".tar#" $2 } 1' \
    "$manifest" >"$work/tar.tsv"
manifest=$work/tar.tsv
options
expect 0 2 "${sweep_options[@]}" --out "$work/tar"
for name in status verdict width height score_a score_b; do
    cmp <(column "$work/tsv/sweep.h5" "$name") <(column "$work/tar/sweep.h5" "$name") || fail "tar: another $name"
done
cmp <(h5dump -d /items/content_hash "$work/tsv/sweep.h5" | sed 1d) \
    <(h5dump -d /items/content_hash "$work/tar/sweep.h5" | sed 1d) || fail "tar: other hashes"
# A tar that ends in the middle: its other members are read, the lost ones are rows with a status.
size=$(stat -c %s "$root/rest.tar")
truncate -s $((size / 2)) "$root/rest.tar"
expect 0 0 "${sweep_options[@]}" --out "$work/cut-tar"
cut=$(column "$work/cut-tar/sweep.h5" status | cut -d, -f2 | sort | uniq -c | awk '{ print $2 "=" $1 }' | tr '\n' ' ')
case $cut in *ok=*) ;; *) fail "a cut tar has: $cut" ;; esac
[ "$(rows "$work/cut-tar/sweep.h5" | wc -l)" = "$(($(wc -l <"$manifest") - 1))" ] || fail "a cut tar loses rows"
[ "$(column "$work/cut-tar/sweep.h5" status | grep -vc ',ok$')" -gt 5 ] || fail "a cut tar fails no row: $cut"
rm "$root"/*.tar
manifest=$work/catalogue.tsv
options
note "tar members: the scores of the files; a tar cut in the middle: $cut"

cat >"$work/sweep.ini" <<END
[scan]
manifest = $manifest
root = $root
stage = a=$work/a.safetensors@$threshold_a
stage = b=$work/b.safetensors@$threshold_b
precision = f32
resize = 72
size = 64
threads = 1
END
expect 0 0 scan --config "$work/sweep.ini" --progress none --out "$work/config"
same_sweep "$work/tsv/sweep.h5" "$work/config/sweep.h5"
note "--config: the same sweep"

expect 0 0 "${sweep_options[@]}" --carry label --out "$work/label"
[ "$(h5dump -n "$work/label/sweep.h5" | grep -c -e /items/label -e /items/category)" = 1 ] ||
    fail "--carry label: $(h5dump -n "$work/label/sweep.h5")"
expect 0 0 "${sweep_options[@]}" --carry none --out "$work/carry-none"
[ "$(h5dump -n "$work/carry-none/sweep.h5" | grep -c -e /items/label -e /items/category)" = 0 ] ||
    fail "--carry none: $(h5dump -n "$work/carry-none/sweep.h5")"
expect 2 0 "${sweep_options[@]}" --carry colour --out "$work/carry-bad"
said "colour"
expect 0 0 "${sweep_options[@]}" --limit 33 --out "$work/limit"
cmp <(rows "$work/limit/sweep.h5") <(rows "$work/tsv/sweep.h5" | head -n 33) || fail "--limit 33: other rows"
note "--carry, --limit"

n_flagged=$(flagged "$work/tsv/sweep.h5" | wc -l)
n_scored=$(column "$work/tsv/sweep.h5" status | grep -cE ',(ok|truncated)$')
[ "$n_flagged" -ge 5 ] || fail "too few rows are flagged to test anything"
# maps FILE: how many rows have heat maps.
maps() {
    h5dump -H -d /heatmaps/row "$1" 2>/dev/null | sed -n 's/.*SIMPLE { ( \([0-9]*\) ).*/\1/p'
}
expect 0 0 "${sweep_options[@]}" --heatmaps none --out "$work/maps-none"
expect 0 0 "${sweep_options[@]}" --heatmaps all --all-stages --out "$work/maps-all"
flagged "$work/maps-none/sweep.h5" | cmp - <(flagged "$work/tsv/sweep.h5") || fail "--heatmaps none flags others"
[ "$(maps "$work/tsv/sweep.h5")" = "$n_flagged" ] || fail "--heatmaps flagged: $(maps "$work/tsv/sweep.h5") maps"
[ "$(maps "$work/maps-all/sweep.h5")" = "$n_scored" ] || fail "--heatmaps all: $(maps "$work/maps-all/sweep.h5")"
[ -z "$(maps "$work/maps-none/sweep.h5")" ] || [ "$(maps "$work/maps-none/sweep.h5")" = 0 ] ||
    fail "--heatmaps none: $(maps "$work/maps-none/sweep.h5")"
note "--heatmaps: $n_flagged rows flagged, $n_scored scored"

# A set of classes watches the sum of their probabilities.
timeout 100 "$EYESORE" weights init --arch mobilenet_v2 --classes 10 --seed 3 "$work/c.safetensors" >/dev/null 2>&1
classes=(scan --manifest "$manifest" --root "$root" --precision f32 --resize 72 --size 64 --threads 1 --progress none
    --heatmaps all)
expect 2 0 "${classes[@]}" --stage "c=$work/c.safetensors@0.5" --out "$work/class"
said "class"
expect 2 0 "${classes[@]}" --stage "c=$work/c.safetensors@0.5:class=10" --out "$work/class"
expect 2 0 "${classes[@]}" --stage "c=$work/c.safetensors@0.5:class=0-9" --out "$work/class"
said "every score would be 1"
for class in 0-3 4-9; do
    expect 0 0 "${classes[@]}" --stage "c=$work/c.safetensors@0.5:class=$class" --out "$work/class$class"
done
paste -d, <(column "$work/class0-3/sweep.h5" score_c) <(column "$work/class4-9/sweep.h5" score_c) |
    awk -F, '$2 ~ /^[0-9]/ { n++; if (($2 + $4 - 1) ^ 2 > 1e-10) { print; bad = 1 } }
        END { exit bad || n < 10 }' || fail "class sets do not add up to 1"
note "class sets: probabilities of 0-3 and 4-9 add up to 1"
