#!/bin/bash
# slurm/avoid.sh on attempts that did not happen: which hosts it says, and why.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/eyesore-avoid-XXXXXX")
trap 'rm -rf "$work"' EXIT
out="$work/a sweep"

# rank JOB RESTART RANK HOST [EVENT DETAIL]...: the file of one rank in one attempt; it begins, then that.
rank() {
    local file="$out/attempts/2026112${2}T07$1-rank$3.log" job=$1 restart=$2 rank=$3 host=$4
    shift 4
    line begin "job=$job restart=$restart ranks=4 until=0 rows_total=100" >>"$file"
    while [ $# != 0 ]; do
        line "$1" "$2" >>"$file"
        shift 2
    done
}

line() {
    echo "time=2026-11-25T07:13:42Z event=$1 rank=$rank host=$host device=\"\" detail=\"$2\""
}

# attempt JOB RESTART: four hosts, on which all went well but where a later rank says more.
attempt() {
    local i
    for i in 1 2 3 4; do rank "$1" "$2" "$i" "n$i" part "shard=$i rows=10 seconds=1" end "outcome=resume"; done
}

start() {
    rm -rf "$out"
    mkdir -p "$out/attempts"
}

# expect WHAT TEXT [JOB RESTART]: what avoid.sh prints, tabs as |.
expect() {
    local said
    said=$("$here/../../slurm/avoid.sh" "$out" "${@:3}" | tr '\t' '|')
    [ "$said" = "$2" ] || { echo "FAILED: $1: it says '$said', expected '$2'" >&2; exit 1; }
    echo "-- $1"
}

mkdir -p "$work/none"
out=$work/none expect "no attempts folder" ""

out="$work/a sweep"
start
attempt 1 0
expect "all well" ""

start
attempt 1 0
rank 1 0 5 n2 end "outcome=place"
attempt 1 1
expect "once is no habit" ""
rank 1 1 5 n2 stalled "stage=fetch shard=12 uri=a.jpg seconds=600" end "outcome=resume"
expect "twice is, whatever the reason" "n2|2 attempts failed on it, the last: stalled"
expect "an attempt that still runs is not judged" "" 1 1

start
attempt 1 0
rank 1 0 5 n2 shard_failed "shard=1 cause=crash" shard_failed "shard=2 cause=crash" end "outcome=resume"
rank 1 0 6 n2 end "outcome=place"
expect "many faults of one attempt are one" ""

start
for restart in 0 1; do
    attempt 1 "$restart"
    rank 1 "$restart" 5 n2 shard_failed "shard=3 cause=crash" end "outcome=resume"
done
expect "one host that shards fail on" "n2|2 attempts failed on it, the last: a shard failed (crash)"
attempt 1 2
rank 1 2 5 n4 shard_failed "shard=3 cause=crash" end "outcome=resume"
expect "a shard that fails on others as well is the shard's fault" ""

start
for restart in 0 1 2; do
    for i in 1 2 3 4; do rank 1 "$restart" "$i" "n$i" end "outcome=place"; done
done
expect "all hosts at once: the storage, not the hosts" ""

start
for restart in 0 1; do
    attempt 1 "$restart"
    rank 1 "$restart" 5 n4
done
expect "ranks that never ended, on one host" "n4|2 attempts failed on it, the last: a rank began and never ended"

start
for restart in 0 1; do
    for i in 1 2 3 4; do rank 1 "$restart" "$i" "n$i"; done
done
expect "the whole job killed, twice: no host's fault" ""

start
for restart in 0 1; do
    attempt 7 "$restart"
    host=n3 rank=-1
    line node_failed "job=7 restart=$restart state=DOWN" >>"$out/attempts/2026112${restart}T080000Z-batch.log"
done
expect "a node that went down twice" "n3|2 attempts failed on it, the last: the node failed"

start
for restart in 0 1; do
    for i in 1 2 3 4; do rank 7 "$restart" "$i" "n$i"; done
    host=n3 rank=-1
    line node_failed "job=7 restart=$restart state=DOWN" >>"$out/attempts/2026112${restart}T080000Z-batch.log"
done
expect "and took all ranks along" "n3|2 attempts failed on it, the last: the node failed"

start
attempt 1 0
rank 1 0 5 n1 device_failed "sticky error 719: job=9 is not a field here" end "outcome=place"
expect "a GPU's fault is enough once" "n1|its GPU failed: sticky error 719: job=9 is not a field here"
expect "also while that job goes on" "n1|its GPU failed: sticky error 719: job=9 is not a field here" 1 0

start
for n in 1 2; do
    host=n1 rank=0
    { line begin "job=- restart=0 ranks=1 until=0 rows_total=10" && line end "outcome=place"; } \
        >"$out/attempts/2026112${n}T070000Z-rank0.log"
    host=n2 rank=1
    { line begin "job=- restart=0 ranks=1 until=0 rows_total=10" && line end "outcome=ok"; } \
        >"$out/attempts/2026112${n}T070000Z-rank1.log"
done
expect "attempts outside Slurm are told apart by their files" "n1|2 attempts failed on it, the last: a fault of the place"
