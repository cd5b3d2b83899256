#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# What the user got wrong ends with 2 before any work, on all ranks, and the message says what and where.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 16
threshold_a=0.5 threshold_b=0.5
options
good=$manifest

# refuse TEXT ARGUMENT...: exit code 2, and the text; TEXT may be several, separated by |. On $ranks ranks.
ranks=2
refuse() {
    local texts=$1 text
    shift
    expect 2 "$ranks" "$@"
    ranks=0 # the first of each kind under mpirun, to see that all ranks leave together
    while IFS= read -r text; do said "$text"; done < <(tr '|' '\n' <<<"$texts")
}

manifest=$work/bad.tsv
printf 'id\turi\n1\ta.png\n2\t\n1\tb.png\n\xff\tc.png\n' >"$manifest"
options
refuse "bad.tsv:3|bad.tsv:4|bad.tsv:5" "${sweep_options[@]}" --out "$work/bad"
printf 'name\turi\n1\ta.png\n' >"$manifest"
refuse "id" "${sweep_options[@]}" --out "$work/bad"
printf 'id\turi\n' >"$manifest"
refuse "bad.tsv" "${sweep_options[@]}" --out "$work/bad"
manifest=$work/absent.tsv
options
refuse "absent.tsv" "${sweep_options[@]}" --out "$work/bad"
[ ! -e "$work/bad/plan/plan.json" ] || fail "a bad manifest was planned"
manifest=$good
options
note "manifests: duplicate ids, empty uri, bad UTF-8, missing column: 2, with line numbers"
ranks=2

plain=(scan --manifest "$good" --root "$root" --out "$work/weights")
refuse "absent.safetensors" "${plain[@]}" --stage "a=$work/absent.safetensors@0.5"
head -c 100000 "$work/a.safetensors" >"$work/cut.safetensors"
refuse "cut.safetensors" "${plain[@]}" --stage "a=$work/cut.safetensors@0.5"
refuse "catalogue.tsv" "${plain[@]}" --stage "a=$good@0.5"
refuse "a" "${plain[@]}" --stage "a=$work/a.safetensors@1.5"
refuse "--stage" "${plain[@]}"
refuse "--frob" "${plain[@]}" --frob
refuse "--out" scan --manifest "$good" --stage "a=$work/a.safetensors@0.5"
[ ! -e "$work/weights/parts" ] || fail "work was begun"
note "weights that are missing, cut or something else: 2"
ranks=2

# A finished sweep's folder belongs to it.
sweep_options+=(--shard-rows 20)
expect 0 0 "${sweep_options[@]}" --out "$work/sweep"
cp "$work/sweep/sweep.h5" "$work/kept.h5"
refuse "shard-rows|20|30" "${sweep_options[@]}" --shard-rows 30 --out "$work/sweep"
refuse "stage.b.threshold|0.6" "${sweep_options[@]/%b.safetensors@0.5/b.safetensors@0.6}" --out "$work/sweep"
refuse "heatmaps|none" "${sweep_options[@]}" --heatmaps none --out "$work/sweep"
refuse "probe" "${sweep_options[@]}" --probe 0.5 --out "$work/sweep"
refuse "limit" "${sweep_options[@]}" --limit 10 --out "$work/sweep"
refuse "carry|category" "${sweep_options[@]}" --carry label --out "$work/sweep"
refuse "resize" "${sweep_options[@]}" --resize 80 --out "$work/sweep"
refuse "decode" "${sweep_options[@]}" --decode fast --out "$work/sweep"
mv "$work/a.safetensors" "$work/a.kept"
cp "$work/b.safetensors" "$work/a.safetensors"
refuse "stage.a.weights" "${sweep_options[@]}" --out "$work/sweep"
mv "$work/a.kept" "$work/a.safetensors"
refuse "3 are given|--out" "${sweep_options[@]}" --stage "c=$work/a.safetensors@0.5" --out "$work/sweep"
# Two sets of classes that agree in their first thousand bytes are two.
timeout 100 "$EYESORE" weights init --arch mobilenet_v2 --classes 1000 --seed 3 "$work/m.safetensors" >/dev/null 2>&1
sets=(scan --manifest "$good" --root "$root" --precision f32 --resize 72 --size 64 --threads 1 --progress none --limit 5)
some=$(seq -s, 0 2 798)
expect 0 0 "${sets[@]}" --stage "m=$work/m.safetensors@0.5:class=$some" --out "$work/set"
refuse "stage.m.class" "${sets[@]}" --stage "m=$work/m.safetensors@0.5:class=$some,901-990" --out "$work/set"
refuse "there already" weights init --arch mobilenet_v2 "$work/m.safetensors"
# An order that is no order of the stages.
expect 0 0 "${sweep_options[@]}" --out "$work/order"
[ ! -e "$work/order/plan/order.tsv" ] || {
    sed -i 's/\tb\t/\ta\t/' "$work/order/plan/order.tsv"
    refuse "orders other stages" "${sweep_options[@]}" --out "$work/order"
}
echo "new	new.png	odd	0" >>"$manifest"
refuse "catalogue.tsv|rows" "${sweep_options[@]}" --out "$work/sweep"
cmp "$work/kept.h5" "$work/sweep/sweep.h5" || fail "a refused run touched sweep.h5"
note "another shard-rows, threshold, heatmaps, probe, limit, carry, resize, decode, weights, stages, manifest: 2, and named"
