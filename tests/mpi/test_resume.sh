#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# A sweep that is killed or stopped at any moment goes on with the same command and ends as if undisturbed.
# EYESORE_KILLS=200 for a longer run; EYESORE_SEED=... to repeat one.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

kills=${EYESORE_KILLS:-8}
seed=${EYESORE_SEED:-$RANDOM}
RANDOM=$seed
note "EYESORE_SEED=$seed EYESORE_KILLS=$kills"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 3
choose_thresholds
options
sweep_options+=(--shard-rows 7)
expect 0 2 "${sweep_options[@]}" --out "$work/whole"
start=$(date +%s%N)
expect 0 2 "${sweep_options[@]}" --out "$work/whole2"
time_ms=$((($(date +%s%N) - start) / 1000000))
n_shards=$(($(wc -l <"$work/whole/plan/shards.tsv") - 1))

# launch ARGUMENT...: two ranks in the background. Sets mpirun and waiter, the process ids to kill and to wait
# for.
launch() {
    timeout -k 5 120 "$MPIEXEC" --oversubscribe --bind-to none -n 2 "$EYESORE" "$@" \
        >"$work/stdout" 2>"$work/log" &
    waiter=$!
    mpirun=
    while [ -z "$mpirun" ] && kill -0 "$waiter" 2>/dev/null; do
        mpirun=$(pgrep -P "$waiter" || true)
    done
}

ranks_of() {
    pgrep -P "$mpirun" -f -- "--manifest $manifest" || true
}

# wait_parts OUT N: until so many parts are there.
wait_parts() {
    local i
    for ((i = 0; i < 3000; i++)); do
        [ "$(n_parts "$1")" -lt "$2" ] || return 0
        kill -0 "$waiter" 2>/dev/null || return 0
        sleep 0.02
    done
    fail "no $2 parts in $1 within a minute"
}

# until_done OUT: the same command until it ends with 0; never with anything but "resume me".
until_done() {
    local code i
    for ((i = 0; i < 10; i++)); do
        code=0
        mpi 2 "${sweep_options[@]}" --out "$1" || code=$?
        [ "$code" != 0 ] || break
        [ "$code" = 75 ] || fail_log "resuming ended with $code"
    done
    same_sweep "$work/whole/sweep.h5" "$1/sweep.h5"
    [ "$(n_parts "$1")" = "$n_shards" ] || fail "$1 has $(n_parts "$1") parts of $n_shards"
    [ "$(n_leftovers "$1")" = 0 ] || fail "temporary files are left: $(find "$1" -name '*.tmp-*')"
    [ -z "$(cut -d, -f1 <<<"$(rows "$1/sweep.h5")" | sort | uniq -d)" ] || fail "rows are doubled"
}

mkdir "$work/killed"
n_before=0
for ((cycle = 1; cycle <= kills; cycle++)); do
    out=$work/killed/sweep
    launch "${sweep_options[@]}" --out "$out"
    if ((cycle % 3 == 0)); then # any moment, the start and the gather among them
        sleep "$(awk -v ms=$((RANDOM * time_ms / 32768)) 'BEGIN { print ms / 1000 }')"
    else # among the shards
        n=$(n_parts "$out")
        wait_parts "$out" $((n + 1 + RANDOM % ((n_shards - n) / 2 + 1)))
    fi
    victim=rank
    case $((RANDOM % 3)) in
    0)
        victim=mpirun
        kill -9 "$mpirun" 2>/dev/null || true
        ;;
    *)
        mapfile -t ranks < <(ranks_of)
        [ ${#ranks[@]} = 0 ] || kill -9 "${ranks[RANDOM % ${#ranks[@]}]}" 2>/dev/null || true
        ;;
    esac
    all=$(ranks_of)
    code=0
    wait "$waiter" 2>/dev/null || code=$?
    for pid in $all; do # ranks outlive a killed mpirun for a moment
        for ((i = 0; i < 500; i++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.02
        done
    done
    n=$(n_parts "$out")
    note "cycle $cycle: killed a $victim, exit code $code, $n of $n_shards parts"
    if [ "$code" = 0 ] && [ -e "$out/sweep.h5" ]; then
        same_sweep "$work/whole/sweep.h5" "$out/sweep.h5"
        rm -rf "$out"
        n=0
    else
        [ "$n" -ge "$n_before" ] || fail "parts are lost: $n, there were $n_before"
    fi
    n_before=$n
done
until_done "$work/killed/sweep"
note "killed $kills times: the same sweep.h5"

# Slurm's srun and a user's kill reach the ranks. mpirun takes a while to forward SIGTERM to them, kills them soon
# after, and ends with a 1 of its own whatever they answer (Open MPI 4.1).
for target in ranks mpirun alone; do
    out=$work/terminated-$target
    if [ "$target" = alone ]; then
        timeout -k 5 120 "$EYESORE" "${sweep_options[@]}" --out "$out" >"$work/stdout" 2>"$work/log" &
        waiter=$!
        wait_parts "$out" 1
        kill -TERM "$waiter" # which forwards it
    else
        launch "${sweep_options[@]}" --out "$out"
        wait_parts "$out" 1
        if [ "$target" = mpirun ]; then
            kill -TERM "$mpirun"
        else
            mapfile -t ranks < <(ranks_of)
            kill -TERM "${ranks[@]}"
        fi
    fi
    code=0
    wait "$waiter" || code=$?
    n=$(n_parts "$out")
    if [ "$target" = mpirun ]; then
        [ "$code" = 1 ] || [ "$n" = "$n_shards" ] || fail_log "SIGTERM (mpirun): exit code $code"
    else
        [ "$code" = 75 ] || fail_log "SIGTERM ($target): exit code $code, expected 75"
        [ "$n" -lt "$n_shards" ] || fail "SIGTERM ($target) came too late to test anything"
    fi
    until_done "$out"
    note "SIGTERM ($target): $code after $n of $n_shards parts, then the same sweep.h5"
done

out=$work/usr1
launch "${sweep_options[@]}" --out "$out"
wait_parts "$out" 1
n_before=$(n_parts "$out")
kill -USR1 "$mpirun"
code=0
wait "$waiter" || code=$?
n=$(n_parts "$out")
[ "$code" = 75 ] || fail_log "SIGUSR1 to mpirun: exit code $code, expected 75"
[ "$n" -gt "$n_before" ] && [ "$n" -lt "$n_shards" ] ||
    fail_log "SIGUSR1: $n_before parts before, $n after: the shards in hand were not finished"
[ "$(n_leftovers "$out")" = 0 ] || fail "SIGUSR1 left temporary files"
until_done "$out"
note "SIGUSR1: 75, $n_before parts when it came, $n at the end, then the same sweep.h5"

# All parts are there: the same command gathers again and scores nothing.
rm "$out/sweep.h5"
chmod 000 "$root"/* # as root this hinders nothing, so look at the parts' times as well
find "$out/parts" -name '*.h5' -printf '%f %T@ %i\n' | sort >"$work/before"
expect 0 2 "${sweep_options[@]}" --out "$out"
chmod 755 "$root"/*
find "$out/parts" -name '*.h5' -printf '%f %T@ %i\n' | sort >"$work/after"
cmp "$work/before" "$work/after" || fail "parts that were done were done again"
same_sweep "$work/whole/sweep.h5" "$out/sweep.h5"
note "finished parts only: gathered again"
