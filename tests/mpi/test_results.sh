#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# What a user does with a sweep, during it and afterwards: progress, status, export, verdict, h5dump.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 4
choose_thresholds
n_rows=$(($(wc -l <"$manifest") - 1))
out=$work/sweep

# Stopped in the middle: status and --partial see what is done.
options
sweep_options+=(--shard-rows 7)
timeout -k 5 100 "$MPIEXEC" --oversubscribe --bind-to none -n 2 "$EYESORE" "${sweep_options[@]}" --out "$out" \
    >"$work/stdout" 2>"$work/log" &
waiter=$!
for ((i = 0; i < 3000 && $(n_parts "$out") < 3; i++)); do sleep 0.01; done
timeout 20 "$EYESORE" export "$out" --partial --all --format csv >"$work/running.csv" 2>"$work/export.log" ||
    fail "export --partial of a running sweep: $(cat "$work/export.log")"
mpirun=$(pgrep -P "$waiter")
kill -USR1 "$mpirun"
code=0
wait "$waiter" || code=$?
[ "$code" = 75 ] || fail_log "SIGUSR1: exit code $code"
n_done=$(timeout 20 "$EYESORE" status --json "$out" | tr ',' '\n' | sed -n 's/.*"rows_done":[^0-9]*\([0-9]*\).*/\1/p')
[ "$n_done" -gt 0 ] && [ "$n_done" -lt "$n_rows" ] || fail "status --json: $n_done of $n_rows rows done"
timeout 20 "$EYESORE" status "$out" | grep -q "^rows      $n_done of $n_rows done" || fail "status says something else"
csv "$out" --partial --all | tr -d '\r' >"$work/partial.csv"
[ "$(sed 1d "$work/partial.csv" | wc -l)" = "$n_done" ] || fail "export --partial has not the $n_done rows done"
n_running=$(($(wc -l <"$work/running.csv") - 1))
[ "$n_running" -gt 0 ] && [ "$n_running" -le "$n_done" ] || fail "while it ran, $n_running rows were exported"

expect 0 2 "${sweep_options[@]}" --progress lines --out "$out"
said "rows=$n_rows/$n_rows done=100.0%"
said "img_per_s="
said "eta=0:00:00"
csv "$out/sweep.h5" --all >"$work/all.csv"
[ -z "$(comm -23 <(sed 1d "$work/partial.csv" | sort) <(sort "$work/all.csv"))" ] ||
    fail "rows of --partial are not those of the sweep"
timeout 20 "$EYESORE" status "$out" >"$work/status"
grep -q '^state     finished' "$work/status" && grep -q "^rows      $n_rows of $n_rows done" "$work/status" ||
    fail "status: $(cat "$work/status")"
(umask 022 && timeout 20 "$EYESORE" status "$out" --prometheus "$work/sweep.prom" >/dev/null) || fail "status --prometheus"
grep -qxF "eyesore_sweep_rows_done{out=\"$(realpath "$out")\"} $n_rows" "$work/sweep.prom" &&
    grep -qxF "eyesore_sweep_state{out=\"$(realpath "$out")\",state=\"finished\"} 1" "$work/sweep.prom" &&
    [ "$(stat -c %a "$work/sweep.prom")" = 644 ] || fail "status --prometheus: $(ls -l "$work/sweep.prom"; cat "$work/sweep.prom")"
code=0
timeout 20 "$EYESORE" status "$out" --prometheus "$work/nowhere/sweep.prom" >/dev/null 2>"$work/log" || code=$?
[ "$code" = 2 ] || fail_log "status --prometheus into no folder: exit code $code"
timeout 20 "$EYESORE" status "$out" --json >"$work/status"
grep -q '"n_attempts":2,' "$work/status" && grep -q '"end":"resume"' "$work/status" && grep -q '"end":"ok"' "$work/status" ||
    fail "status --json: $(cat "$work/status")"
note "stopped with $n_done of $n_rows rows: status and --partial say so; progress lines"

# What a reader without this program finds.
h5dump -y -w 1 -d /verdict "$out/sweep.h5" | grep -oxE ' *(pass|flagged|failed),?' | tr -d ' ,' >"$work/verdicts" || true
[ "$(wc -l <"$work/verdicts")" = "$n_rows" ] || fail "h5dump shows $(wc -l <"$work/verdicts") verdicts of $n_rows"
n_flagged=$(grep -cx flagged "$work/verdicts")
n_failed=$(grep -cx failed "$work/verdicts")
[ "$(flagged "$out/sweep.h5" | wc -l)" = "$n_flagged" ] || fail "export --flagged: not the $n_flagged rows"
[ "$(rows "$out/sweep.h5" --failed | wc -l)" = "$n_failed" ] || fail "export --failed: not the $n_failed rows"
[ "$n_failed" = 2 ] || fail "$n_failed rows failed, not the missing one and the text"
rows "$out/sweep.h5" --failed | grep -q '^gone,.*missing' || fail "export --failed: $(rows "$out/sweep.h5" --failed)"
timeout 20 "$EYESORE" export "$out/sweep.h5" --all --format jsonl >"$work/all.jsonl" 2>/dev/null
[ "$(wc -l <"$work/all.jsonl")" = "$n_rows" ] && [ "$(grep -c '^{.*}$' "$work/all.jsonl")" = "$n_rows" ] ||
    fail "export --format jsonl: $(head -n 2 "$work/all.jsonl")"
[ "$(grep -c '"verdict": *"flagged"' "$work/all.jsonl")" = "$n_flagged" ] || fail "jsonl: not $n_flagged flagged"
counts=$(h5dump -a /counts_by_verdict "$out/sweep.h5" | sed -n 's/^ *(0): //p')
[ "$counts" = "$((n_rows - n_flagged - n_failed)), $n_flagged, $n_failed, 0" ] || fail "counts_by_verdict: $counts"
note "h5dump and export agree: $n_rows rows, $n_flagged flagged, $n_failed failed"

# Another threshold: a higher one needs no new score; a lower one of the first stage does, and it says so.
higher=$(quantile "$work/all.csv" score_a 0.8)
timeout 20 "$EYESORE" verdict "$out/sweep.h5" --stage "a@$higher" --output "$work/stricter.h5" \
    >"$work/stdout" 2>"$work/log" || fail_log "verdict a@$higher"
options
sweep_options=("${sweep_options[@]/%a.safetensors@$threshold_a/a.safetensors@$higher}")
expect 0 2 "${sweep_options[@]}" --out "$work/stricter"
if [ -f "$work/stricter.h5" ]; then
    cmp <(column "$work/stricter.h5" verdict) <(column "$work/stricter/sweep.h5" verdict) ||
        fail "verdict with a@$higher is not that of a sweep with it"
fi
lower=$(quantile "$work/all.csv" score_a 0.2)
code=0
timeout 20 "$EYESORE" verdict "$out/sweep.h5" --stage "a@$lower" >"$work/stdout" 2>"$work/log" || code=$?
cat "$work/stdout" "$work/log" | grep -qiE 'undecided|no score|not run' ||
    fail "verdict a@$lower does not say that scores of b are not there: $(cat "$work/stdout" "$work/log")"
note "verdict: a stricter threshold is a sweep's; a looser one says what it lacks"
