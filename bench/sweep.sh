#!/bin/bash
# The whole job, decode to sweep.h5, beside its bound and beside PyTorch: same pictures, same threads, one run.
#
#     bench/sweep.sh POOL.tsv ROOT [COPIES]      EYESORE_PYTHON=python with torch and torchvision, for the second part
#
# POOL.tsv has columns id and uri (some hundred photographs); COPIES makes the pool so many times as long. Both
# networks, untrained; the thresholds are set from a first sweep with --all-stages so that each passes 1%.
#   bound   n / (n / r1 + n_pass / r2), r the images/s of bare convolutions (bench/networks), stages in planned order
#   plan    the same with the order measured in the run: for a pool of millions the difference vanishes
#   torch   bench/torch_sweep.py, both networks on every picture, batch 32, channels_last
set -eu

pool=${1:?usage: bench/sweep.sh POOL.tsv ROOT [COPIES]}
root=${2:?usage: bench/sweep.sh POOL.tsv ROOT [COPIES]}
copies=${3:-4}
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../build}
work=$(mktemp -d "${TMPDIR:-/tmp}/eyesore-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT

say() { printf '%s\n' "$*"; }

# scan NAME OPTIONS...: run a scan into $work/NAME; prints its seconds.
scan() {
    local name=$1 start
    shift
    start=$(date +%s.%N)
    "$build/eyesore" scan --root "$root" --out "$work/$name" --progress none --log-level warn "$@" \
        >"$work/$name.log" 2>&1 || { cat "$work/$name.log" >&2; exit 1; }
    echo "$(date +%s.%N) $start" | awk '{print $1 - $2}'
}

column() { # column NAME < csv: the values of a column without commas in the fields before it
    awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next } { print $c }'
}

threshold() { # threshold PRECISION STAGE: what 1% of the pool reaches
    "$build/eyesore" export "$work/all-$1/sweep.h5" --all --log-level error | tr -d '"\r' | column "score_$2" |
        sort -g | awk '{ v[NR] = $1 } END { print v[int(NR * 0.99) + 1] }'
}

awk -F'\t' -v n="$copies" 'NR == 1 { for (i = 1; i <= NF; i++) col[$i] = i; print "id\turi"; next }
    { id[NR] = $col["id"]; uri[NR] = $col["uri"] }
    END { for (k = 0; k < n; k++) for (i = 2; i <= NR; i++) print id[i] "-" k "\t" uri[i] }' "$pool" >"$work/pool.tsv"
head -n "$(wc -l <"$pool")" "$work/pool.tsv" >"$work/once.tsv"
n=$(($(wc -l <"$work/pool.tsv") - 1))
for arch in densenet161 resnet50; do
    "$build/eyesore" weights init --arch $arch --seed 7 "$work/$arch.safetensors" 2>/dev/null
done

# The bounds of one precision, just now: "R50 D161". Measured before and after each job, since machines drift.
bounds() {
    "$build/bench/networks" "$(nproc)" 3 resnet50-none-"$1" densenet161-none-"$1" |
        awk '$1 == "resnet50" { r = $4 } $1 == "densenet161" { d = $4 } END { print r, d }'
}

for precision in f32 bf16; do
    scan all-$precision --manifest "$work/once.tsv" --precision $precision --all-stages --heatmaps none \
        --stage "densenet161=$work/densenet161.safetensors@0.5" \
        --stage "resnet50=$work/resnet50.safetensors@0.5" >/dev/null
    stages="--stage densenet161=$work/densenet161.safetensors@$(threshold $precision densenet161)
            --stage resnet50=$work/resnet50.safetensors@$(threshold $precision resnet50)"
    # shellcheck disable=SC2086 # a list of options
    measured=$(scan job-$precision --manifest "$work/pool.tsv" --precision $precision $stages)
    before=$(bounds $precision)
    rm -rf "$work/job-$precision/parts" "$work/job-$precision/sweep.h5"
    # shellcheck disable=SC2086
    planned=$(scan job-$precision --manifest "$work/pool.tsv" --precision $precision $stages)
    after=$(bounds $precision)
    passed=$("$build/eyesore" export "$work/job-$precision/sweep.h5" --all --log-level error | tr -d '"\r' |
        column score_densenet161 | grep -c .) || true
    echo "$n $passed $planned $measured $before $after" |
        awk -v p=$precision '{ bound = $1 / ($1 / (($5 + $7) / 2) + $2 / (($6 + $8) / 2))
            printf "job %-5s %d pictures, %d pass: bound %.1f, job %.1f images/s, ratio %.2f; with the order measured %.2f\n",
                p, $1, $2, bound, $1 / $3, $1 / $3 / bound, $1 / $4 / bound }'
    if [ -n "${EYESORE_PYTHON:-}" ]; then
        torch=$("$EYESORE_PYTHON" "$here/torch_sweep.py" --manifest "$work/once.tsv" --root "$root" \
            --densenet161 "$work/densenet161.safetensors" --resnet50 "$work/resnet50.safetensors" \
            --out "$work/torch.csv" --precision $precision --threads "$(nproc)")
        say "torch $precision: $torch"
        rm -rf "$work/once-$precision"
        # shellcheck disable=SC2086
        once=$(scan once-$precision --manifest "$work/once.tsv" --precision $precision $stages)
        n_once=$(($(wc -l <"$work/once.tsv") - 1))
        echo "$n_once $once $n $planned" | awk -v p=$precision '{
            printf "whole process, same pictures: eyesore %.1f images/s (%.1f on the longer pool)\n", $1 / $2, $3 / $4 }'
    fi
done
