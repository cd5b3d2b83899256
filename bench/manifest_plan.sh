#!/bin/sh
# How long does a large manifest take to plan, in how much memory? Promised: 100 million rows in 10 minutes, 256 MB
# resident, 24 B a row of scratch.
#
#     bench/manifest_plan.sh [ROWS] [tsv|csv|jsonl] [SHARD_ROWS]
#
# Generates a manifest (about 100 bytes a row in TSV) in a folder of its own under TMPDIR, plans it, prints one line
# of figures, removes everything. PROGRAM: manifest_plan of the build.
#
# Seen on two cores busy with other work (load 8): 100,000,000 rows of TSV (9.2 GB) in 39 s, 90 MB resident, 23.5 B a row
# of scratch; the check before a resume 5 s. A million rows of CSV or JSON Lines: 0.8 s. Scaled, not measured: 10^9 rows of
# TSV in 7 minutes while the scratch is cached, 225 MB (the table over a bucket's ids grows to 96 MB), 24 GB.
set -eu

rows=${1:-25000000}
format=${2:-tsv}
shard_rows=${3:-4096}
here=$(dirname "$0")
program=${PROGRAM:-$here/../build/tests/unit/shards/manifest_plan}
work=$(mktemp -d "${TMPDIR:-/tmp}/manifest-plan-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

awk -v n="$rows" -v format="$format" 'BEGIN {
    head["tsv"] = "id\turi\tpartner\tcategory"; head["csv"] = "id,uri,partner,category"
    row["tsv"] = "sku-%012d\tpool-%03d.tar#images/%08x/%012d.jpg\tpartner-%d\tinsects/beetles\n"
    row["csv"] = "sku-%012d,pool-%03d.tar#images/%08x/%012d.jpg,partner-%d,\"insects, beetles\"\n"
    row["jsonl"] = "{\"id\":\"sku-%012d\",\"uri\":\"pool-%03d.tar#images/%08x/%012d.jpg\",\"partner\":%d,\"category\":\"insects\"}\n"
    if (format in head) print head[format]
    for (i = 0; i < n; i++)
        printf row[format], i, i % 997, (i * 40503) % 2147483647, i, i % 5000
}' > "$work/manifest.$format"
"$program" "$work/manifest.$format" "$shard_rows" "$work" &
planner=$!
scratch_bytes=0
while kill -0 "$planner" 2> /dev/null; do # the scratch file has no name: look through the process
    for fd in /proc/"$planner"/fd/*; do
        case $(readlink "$fd" 2> /dev/null) in
        "$work"/ids-*)
            bytes=$(stat -L -c %s "$fd" 2> /dev/null || echo 0)
            if [ "$bytes" -gt "$scratch_bytes" ]; then scratch_bytes=$bytes; fi
            ;;
        esac
    done
    sleep 0.2
done
wait "$planner"
echo "scratch_bytes_per_row=$(awk -v b="$scratch_bytes" -v n="$rows" 'BEGIN { printf "%.1f", b / n }')"
