#!/usr/bin/env bash
# Whole sweeps of the real program on the simulated device (build/tests/cuda/sim/eyesore_sim), under the real mpirun:
# beside the CPU engine's scores, killed and resumed, out of memory, with a failing GPU.
# By hand: EYESORE=build/eyesore EYESORE_SIM=build/tests/cuda/sim/eyesore_sim tests/cuda/sim/test_scan.sh
set -euo pipefail

real=${EYESORE:?the program}
sim=${EYESORE_SIM:?the program on the simulated device}
# shellcheck source=tests/mpi/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../mpi/lib.sh"
export XDG_CACHE_HOME=$work/cache
export SIM_DEVICES=2

weights
manifest=$work/pool.tsv
catalogue "$manifest" 8

# gpu_options THRESHOLD_A THRESHOLD_B
gpu_options() {
    sweep_options=(scan --manifest "$manifest" --root "$root" --stage "a=$work/a.safetensors@$1"
        --stage "b=$work/b.safetensors@$2" --resize 72 --size 64 --threads 2 --progress none --shard-rows 25
        --order given)
}

note "the CPU engine's answers"
gpu_options 0.5 0.5
EYESORE=$real
expect 0 0 "${sweep_options[@]}" --engine cpu --precision f32 --all-stages --out "$work/cpu"
csv "$work/cpu/sweep.h5" >"$work/cpu.csv"
gpu_options "$(quantile "$work/cpu.csv" score_a 0.6)" "$(quantile "$work/cpu.csv" score_b 0.4)"

note "auto finds the GPUs, two ranks share the work and the weights; scores are the CPU's within 5e-3"
EYESORE=$sim
expect 0 2 "${sweep_options[@]}" --batch 16 --all-stages --out "$work/gpu"
said "engine cuda (GPU"
said "scores of a in this attempt, 20 bins"
grep -qx "engine=cuda" "$work/gpu/plan/engine.txt" || fail "engine.txt does not say cuda"
grep -qx "auto_precision=f16" "$work/gpu/plan/engine.txt" || fail "engine.txt does not say f16"
csv "$work/gpu/sweep.h5" >"$work/gpu.csv"
paste -d, <(column "$work/cpu/sweep.h5" score_a) <(column "$work/gpu/sweep.h5" score_a) |
    awk -F, '$1 != $3 { print "rows differ: " $0; exit 1 }
        ($2 == "") != ($4 == "") { print "one has no score: " $0; exit 1 }
        $2 != "" { n++; d = $2 - $4; if (d < 0) d = -d; if (d > 5e-3) { print "too far: " $0; exit 1 } if (d > 0) m++ }
        END { if (n < 50 || m < 10) { print n, "rows,", m, "differ at all"; exit 1 } }' || fail "scores"

note "one rank, another shard size: the same bits; plans come from the run or the cache"
expect 0 0 "${sweep_options[@]}" --batch 16 --out "$work/one"
said "chose plans"
expect 0 2 "${sweep_options[@]}" --batch 16 --out "$work/two"
not_said "chose plans"
same_sweep "$work/one/sweep.h5" "$work/two/sweep.h5" "batch_halvings"
[ -n "$(ls "$work/two/plan/cuda/"*/*.json)" ] || fail "the run keeps no plans"

note "without a cache that can be written the job still runs"
expect 0 0 "${sweep_options[@]}" --batch 16 --plan-cache /proc/nowhere --out "$work/nocache"
said "plans are kept with this run only"

note "more ranks than GPUs: an error that says what to type"
expect 2 3 "${sweep_options[@]}" --batch 16 --out "$work/three"
said "--map-by ppr:2:node"

note "no GPU: auto takes the CPU, cuda is refused"
SIM_DEVICES=0 expect 0 0 "${sweep_options[@]}" --out "$work/none" --limit 10
grep -qx "engine=cpu" "$work/none/plan/engine.txt" || fail "engine.txt does not say cpu"
SIM_DEVICES=0 expect 2 0 "${sweep_options[@]}" --engine cuda --out "$work/none2" --limit 10
said "has no GPU for the cuda engine"

note "a resume keeps to the sweep's engine, and another is refused"
expect 0 0 "${sweep_options[@]}" --out "$work/none" --limit 10
said "engine cpu"
expect 2 0 "${sweep_options[@]}" --engine cuda --out "$work/none" --limit 10
said "was begun with --engine cpu"

note "a sticky error of the GPU: exit 75, noted, and a resume elsewhere finishes with the same bits"
SIM_FAULT=exec:500:700 expect 75 0 "${sweep_options[@]}" --batch 16 --out "$work/sticky"
said "cudaErrorIllegalAddress"
said "on host $(hostname), GPU 0"
grep -q "event=device_failed rank=0 host=$(hostname) device=\"GPU 0" "$work/sticky/attempts/"*.log ||
    fail "OUT/attempts does not name the GPU"
expect 2 0 "${sweep_options[@]}" --batch 8 --out "$work/sticky"
said "begun with --batch 16"
expect 0 2 "${sweep_options[@]}" --out "$work/sticky"
same_sweep "$work/one/sweep.h5" "$work/sticky/sweep.h5" "device_failures|option.batch"

note "two ranks, one GPU fails: the other does what is handed back to it in time, a resume the rest"
cat >"$work/one_fails" <<'END'
#!/bin/sh
if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then export SIM_FAULT=exec:350:719; fi
exec "$EYESORE_SIM" "$@"
END
chmod +x "$work/one_fails"
EYESORE=$work/one_fails
code=0
mpi 2 "${sweep_options[@]}" --batch 16 --out "$work/half" || code=$?
[ "$code" = 0 ] || [ "$code" = 75 ] || fail_log "exit code $code"
said "this rank left early"
EYESORE=$sim
[ "$code" = 0 ] || expect 0 2 "${sweep_options[@]}" --out "$work/half"
same_sweep "$work/one/sweep.h5" "$work/half/sweep.h5" "device_failures|option.batch"
[ "$(run_attributes "$work/half/sweep.h5" | grep -c '^device_failures=1$')" = 1 ] || fail "device_failures is not 1"

note "out of memory on the way: the batch is halved, and sweep.h5 says so"
SIM_FAULT=cudaGraphLaunch:3:2 expect 0 0 "${sweep_options[@]}" --batch 16 --out "$work/oom"
said "is out of memory: computing 8 pictures at once from here on, instead of 16"
run_attributes "$work/oom/sweep.h5" >"$work/oom.run"
grep -qx "batch_halvings=1" "$work/oom.run" || fail "batch_halvings is not 1"
grep -q "within 5e-3" "$work/oom.run" || fail "sweep.h5 does not say that scores may differ"

note "killed at any moment, then resumed: the same bits"
for delay in 0.4 0.8 1.2 1.6; do
    TIMEOUT=$delay mpi 2 "${sweep_options[@]}" --batch 16 --out "$work/killed" || true
done
expect 0 2 "${sweep_options[@]}" --batch 16 --out "$work/killed"
same_sweep "$work/one/sweep.h5" "$work/killed/sweep.h5"

note "a driver that does not work is no reason to crawl along on CPUs"
SIM_FAULT=cudaGetDeviceCount:1:803 expect 2 0 "${sweep_options[@]}" --out "$work/broken" --limit 10
said "mend it, leave the host out, or compute on CPUs: --engine cpu"

note "out of memory at the start: the batch is halved; another may be given before the sweep has begun"
SIM_FAULT=cudaMalloc:12:2 expect 0 0 "${sweep_options[@]}" --batch 16 --out "$work/early"
said "is out of memory: trying batches of 8 instead of 16"
SIM_MEMORY_MIB=2 expect 75 0 "${sweep_options[@]}" --batch 16 --out "$work/small"
said "has no memory for a single picture"
expect 0 0 "${sweep_options[@]}" --batch 4 --out "$work/small"

note "any call of the whole program fails: done, or 75 and a resume; no row lost"
for n in 1 3 6 12 25 60 700 2500 6000 9000; do
    code=0
    SIM_FAULT="*:$n:0" mpi 2 "${sweep_options[@]}" --batch 16 --out "$work/any-$n" || code=$?
    [ "$code" = 0 ] || [ "$code" = 75 ] || { [ "$code" = 2 ] && [ "$n" -lt 20 ]; } || fail_log "call $n failed, and the exit code was $code"
    expect 0 2 "${sweep_options[@]}" --batch 16 --out "$work/any-$n"
    same_sweep "$work/one/sweep.h5" "$work/any-$n/sweep.h5" "device_failures"
done

note "the order measured on GPUs, and a batch found by itself"
sweep_options=("${sweep_options[@]/given/auto}")
SIM_MEMORY_MIB=48 expect 0 2 "${sweep_options[@]}" --out "$work/auto"
said "order: 1. "
grep -qxE "batch=(4|8|16|32)" "$work/auto/plan/engine.txt" || fail "no small batch in a small memory"

note "bf16, and what the cuda engine does not compute"
expect 0 0 "${sweep_options[@]}" --batch 8 --precision bf16 --out "$work/bf16" --limit 20
expect 2 0 "${sweep_options[@]}" --precision f32 --engine cuda --out "$work/f32" --limit 20
said "the cuda engine computes in f16 or bf16, not f32"

echo "all sweeps on the simulated device are as they should be"
