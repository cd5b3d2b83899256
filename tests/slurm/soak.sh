#!/bin/bash
# shellcheck disable=SC2034,SC2154 # what lib.sh and tests/mpi/lib.sh use and set
# A soak: ROWS generated rows on the four nodes of the virtual cluster, ranks killed at random moments, until it
# is done. Every row accounted for; memory and open files of every rank are sampled, and must be flat.
#
#   tests/slurm/soak.sh [ROWS [SEED]]      (default: 2,000,000 rows, seed 1; about 10 minutes on two cores)
#   KILLS=n: ranks killed (default 4)
#
# The rows repeat real pictures under generated ids. The slope is that of a straight line through a rank's samples
# of resident memory, without its first fifth; the longest-lived rank of each attempt is the one that is judged.
set -eu
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/slurm/cluster.sh
. "$tests/cluster.sh"
cluster_enter "$@"
# shellcheck source=tests/mpi/lib.sh
. "$tests/../mpi/lib.sh"
here=$tests
EYESORE=$(realpath "${EYESORE:-$tests/../../build/eyesore}")
# shellcheck source=tests/slurm/lib.sh
. "$tests/lib.sh"
rows=${1:-2000000} seed=${2:-1} kills=${KILLS:-4}
RANDOM=$seed
cd "$work"

# Small pictures: the soak is of everything around them.
small_pictures() {
    catalogue "$work/all.tsv" 1
    mkdir "$work/small"
    local n=0 size file
    while read -r size file; do
        cp "$file" "$work/small/$(printf %03d "$n").png"
        n=$((n + 1))
    done < <(find "$root" -name '*.png' -path '*/*/*' -printf '%s %p\n' | sort -n | sed -n '10,209p')
    [ "$n" -gt 0 ] || fail "no pictures"
    root=$work/small
}

generate() {
    # shellcheck disable=SC2012 # names of our own
    ls "$root" | awk -v rows="$rows" '{ name[NR - 1] = $0 } END {
        print "id\turi"
        for (i = 0; i < rows; i++) printf "row-%d\t%s\n", i, name[i % NR] }' >"$manifest"
}

# Once a second: time, pid, resident KiB, open files of every rank.
sample() {
    local pid
    while :; do
        for pid in $(pgrep -x eyesore); do
            rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || continue
            [ -n "$rss" ] || continue
            # shellcheck disable=SC2012 # numbers
            echo "$SECONDS $pid $rss $(ls "/proc/$pid/fd" 2>/dev/null | wc -l)"
        done
        sleep 2
    done >"$work/samples"
}

# OUT lines: pid, seconds, KiB an hour, most and least open files.
slopes() {
    awk '{ t[$2] = t[$2] " " $1; m[$2] = m[$2] " " $3; f[$2] = f[$2] " " $4; n[$2]++ }
        END { for (pid in n) {
            k = split(t[pid], x, " "); split(m[pid], y, " "); split(f[pid], z, " ")
            if (x[k] - x[1] < 60) continue
            from = int(k / 5) + 1; sx = sy = sxx = sxy = c = 0; least = 1e9; most = 0
            for (i = from; i <= k; i++) { sx += x[i]; sy += y[i]; sxx += x[i] * x[i]; sxy += x[i] * y[i]; c++
                if (z[i] < least) least = z[i]; if (z[i] > most) most = z[i] }
            slope = (c * sxy - sx * sy) / (c * sxx - sx * sx)
            printf "%d %d %.0f %d %d %.0f\n", pid, x[k] - x[from], 3600 * slope, least, most, sy / c } }' "$work/samples"
}

weights
small_pictures
manifest=$work/soak.tsv
generate
prepare_site() {
    cat >"$work/site.env" <<SITE
EYESORE_BIN=${EYESORE@Q}
EYESORE_PARTITION=pool
EYESORE_TIME=120
EYESORE_LAUNCHER=auto
EYESORE_SRUN_OPTIONS=(--cpu-bind=none)
EYESORE_PAUSE_S=2
SITE
    export EYESORE_SITE_ENV=$work/site.env
}
prepare_site
cluster_start "$work/cluster"
scan=(--root "$root" --stage "a=$work/a.safetensors@0.9" --engine null --order given --threads 1 --shard-rows 2000
    --null-speed 5 --resize 32 --size 32)
out=$work/out
begun=$SECONDS
submit_sweep "$out"
sample &
sampler=$!
for ((i = 0; i < kills; i++)); do
    sleep $((10 + RANDOM % 20))
    mapfile -t ranks < <(pgrep -x eyesore)
    [ "${#ranks[@]}" -gt 0 ] || continue
    victim=${ranks[RANDOM % ${#ranks[@]}]}
    if kill -9 "$victim" 2>/dev/null; then
        note "killed rank process $victim after $((SECONDS - begun)) s, $(n_parts "$out") parts done"
    fi
done
wait_state "$job" COMPLETED 14400
kill "$sampler"
note "$rows rows in $((SECONDS - begun)) s, $(job_field "$job" Restarts) restarts"

n=$("$EYESORE" export "$out/sweep.h5" --all --format csv 2>/dev/null | tr -d '\r' | sed 1d | cut -d, -f1 | sort -u | wc -l)
[ "$n" = "$rows" ] || fail "$n different ids of $rows rows are in sweep.h5"
failed=$("$EYESORE" export "$out/sweep.h5" --failed --format csv 2>/dev/null | sed 1d | wc -l)
[ "$failed" = 0 ] || fail "$failed rows failed"
slopes | sort -k2,2n | tee "$work/slopes" | awk '{ printf "-- rank process %d: %d s, %.0f KiB resident, slope %.0f KiB/h, open files %d to %d\n", $1, $2, $6, $3, $4, $5 }'
[ -s "$work/slopes" ] || fail "no rank lived for a minute: more rows are needed"
# Flat: less than 20 MiB an hour, judged over four minutes and more; no file more than a handful.
awk '$2 >= 240 && $3 > 20480 { print "memory grows: rank process " $1; bad = 1 } $5 - $4 > 12 { print "open files grow: " $0; bad = 1 }
    END { exit bad }' "$work/slopes" || fail "not flat"
note "every row is there once"
