#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# OUT/lock: two jobs never write to one output; a dead job's lock is taken over, a living one's never.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 3
threshold_a=0.5 threshold_b=0.5
options
sweep_options+=(--engine null --precision auto --shard-rows 5 --order given)
expect 0 0 "${sweep_options[@]}" --out "$work/whole"
[ ! -e "$work/whole/lock" ] || fail "a finished sweep leaves its lock"

# slow OUT: a job in the background that takes long, in $job; returns when it has the lock and a part.
slow() {
    "$EYESORE" "${sweep_options[@]}" --null-speed 1 --out "$1" >"$work/slow.stdout" 2>"$work/slow.log" &
    job=$!
    for _ in $(seq 200); do
        [ ! -e "$1/lock" ] || [ "$(n_parts "$1")" = 0 ] || return 0
        sleep 0.05
    done
    fail "the job in the background does not begin: $(tail -n 3 "$work/slow.log")"
}

resumes() {
    expect 0 0 "${sweep_options[@]}" --out "$1"
    same_sweep "$work/whole/sweep.h5" "$1/sweep.h5" 'option\.null-speed'
}

out=$work/two
slow "$out"
begun=$(date +%s)
expect 2 0 "${sweep_options[@]}" --out "$out"
said "held by process $job on host $(hostname)"
said "another --out"
[ $(($(date +%s) - begun)) -lt 15 ] || fail "the second job took long to leave"
expect 2 2 "${sweep_options[@]}" --out "$out"
said "held by process $job"
kill -9 "$job"
wait "$job" 2>/dev/null || true
[ -e "$out/lock" ] || fail "kill -9 leaves no lock: then this test tests nothing"
resumes "$out"
said "which is gone: taken over"
not_said "watching for" # known as stale at once
note "a second job says who holds the output; kill -9 of the first, and it goes on at once"

# Locks of elsewhere: only whether they are touched tells.
out=$work/elsewhere
mkdir "$out"
foreign="host=elsewhere pid=1 start=1 space=1 job=77 restart=0 since=2026-01-01T00:00:00Z token=0123456789abcdef0123456789abcdef"
echo "$foreign" >"$out/lock"
resumes "$out"
said "left behind by process 1 on host elsewhere (job 77)"
said "watching for"
out=$work/alive
mkdir "$out"
echo "$foreign" >"$out/lock"
(while sleep 0.5; do touch "$out/lock"; done) &
toucher=$!
expect 2 0 "${sweep_options[@]}" --out "$out"
kill "$toucher"
said "host elsewhere (Slurm job 77) since 2026-01-01T00:00:00Z"
[ "$(cat "$out/lock")" = "$foreign" ] && [ ! -e "$out/parts" ] || fail "it touched another job's output"
out=$work/garbage
mkdir "$out"
echo "this is no lock" >"$out/lock"
resumes "$out"
out=$work/requeued
mkdir "$out"
echo "$foreign" >"$out/lock"
SLURM_JOB_ID=77 SLURM_RESTART_COUNT=1 resumes "$out"
not_said "watching for" # its own earlier lock: at once
note "locks of other hosts: untouched ones are taken over, touched ones respected, a requeued job knows its own"

# Taken over while it runs (it was cut off): it leaves before its next part.
out=$work/fenced
slow "$out"
echo "$foreign" >"$out/lock.new" && mv "$out/lock.new" "$out/lock"
code=0
wait "$job" || code=$?
[ "$code" = 2 ] || fail "a job whose output was taken over ended with $code, expected 2: $(tail -n 3 "$work/slow.log")"
grep -q "taken over by process 1 on host elsewhere" "$work/slow.log" || fail "it does not say who took over"
[ "$(cat "$out/lock")" = "$foreign" ] || fail "it removed the other job's lock"
resumes "$out"

# Removed by mistake: made again, and the sweep ends well.
out=$work/removed
slow "$out"
rm "$out/lock"
for _ in $(seq 100); do [ ! -e "$out/lock" ] || break; sleep 0.1; done
[ -e "$out/lock" ] || fail "a lock that was removed is not made again"
kill -TERM "$job"
code=0
wait "$job" || code=$?
[ "$code" = 75 ] || fail "SIGTERM: $code"
[ ! -e "$out/lock" ] || fail "a job that ends leaves its lock"
resumes "$out"
note "taken over: it leaves; removed: it is made again"
