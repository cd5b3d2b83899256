#!/bin/sh
# The slow part of the CUDA engine's proofs: tests/cuda/all.sh BUILD [PART...]; parts: golden parity seeds faults plans.
# Goes on through failures; exit 1 where there was one. Results: BUILD/cuda-all.
set -u

build=$(cd "${1:?usage: tests/cuda/all.sh BUILD [PART...]}" && pwd)
shift
parts=${*:-golden parity seeds faults plans}
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$build/cuda-all
failed=0
mkdir -p "$out/weights"

# run NAME COMMAND...: its output to a file, a line here.
run() {
    name=$1
    shift
    start=$(date +%s)
    if "$@" >"$out/$name.log" 2>&1; then
        echo "ok      $name ($(($(date +%s) - start)) s)"
    else
        echo "FAILED  $name ($(($(date +%s) - start)) s): $out/$name.log"
        failed=1
    fi
}

for part in $parts; do
    case $part in
    parity) # the full networks, 224x224, on the simulated device
        for network in mobilenet_v2 mobilenet_v2+cbam resnet50 resnet50+cbam densenet161 densenet161+cbam; do
            run "parity-$network" env SIM_MEMORY_MIB=8000 EYESORE_PARITY_UNTIMED=1 \
                "$build/tests/cuda/sim/cuda_parity_sim" "$out/weights" "$network"
        done ;;
    golden) # the same beside PyTorch's stored answers; needs what `make test` leaves in BUILD/tests/parity
        for network in densenet161 resnet50 mobilenet_v2; do
            run "golden-$network" "$build/tests/cuda/sim/test_golden" "$build/tests/parity/weights" \
                "$build/tests/parity/crops.safetensors" "$top/tests/parity/golden.safetensors" "$network-plain" \
                "$network-jongchan" "$network-timm" "$network-luuuyi"
        done ;;
    seeds) # other orders of the device's streams and of the threads in a block
        for seed in 11 12 13 14 15 16; do
            for test in test_kernels test_kernels_cbam test_kernels_head test_kernels_passes test_engine_cuda; do
                run "$test-seed-$seed" env SIM_SEED=$seed "$build/tests/cuda/sim/$test"
            done
        done ;;
    faults) run faults env EYESORE_FAULT_STRIDE=1 "$build/tests/cuda/sim/test_faults" ;;
    plans) run plans "$top/tests/cuda/plans/all.sh" "$build/tests/cuda/plans/plans" "$out/plans" ;;
    *) echo "unknown part: $part" >&2; exit 2 ;;
    esac
done
exit "$failed"
