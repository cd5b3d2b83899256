#!/bin/sh
# make sweep: sweep a demo catalogue made of Debian's pictures, or the user's own. All by variables, all optional:
#   MANIFEST, ROOT   the pictures (default: a manifest of the demo packages)
#   OUT              where sweep.h5 goes (default: build/demo/sweep)
#   NP               MPI ranks (default: 1, which uses all cores)
#   CONFIG, ARGS     --config of the scan, and further arguments
#   EYESORE          the program (default: build/eyesore)
# Without stages of the user's (in CONFIG or ARGS), UNTRAINED demo weights are made once and used.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
eyesore=${EYESORE:-$top/build/eyesore}
demo=$top/build/demo
np=${NP:-1}
out=${OUT:-$demo/sweep}
manifest=${MANIFEST:-}

mkdir -p "$demo"

# A file that is there is whole: it was made under another name.
make_weights() {
    if [ ! -f "$demo/$1.safetensors" ]; then
        echo "demo: making UNTRAINED weights of $1 (once)" >&2
        "$eyesore" weights init --arch "$1" --attention cbam --classes 2 --seed 7 "$demo/$1.safetensors"
    fi
}

has_stages() {
    case " ${ARGS:-}" in *" --stage"*) return 0 ;; esac
    [ -n "${CONFIG:-}" ] && grep -q '^[[:space:]]*stage[[:space:]]*[=:]' "$CONFIG"
}

if [ -z "$manifest" ]; then
    manifest=$demo/manifest.tsv
    set --
    for folder in /usr/share/tuxpaint/stamps /usr/share/wallpapers /usr/share/backgrounds; do
        if [ -d "$folder" ]; then set -- "$@" "$folder"; fi
    done
    if [ $# = 0 ]; then
        echo "demo: no demo pictures: scripts/setup.sh demo installs them, or give MANIFEST=pool.tsv" >&2
        exit 2
    fi
    "$eyesore" manifest "$@" >"$manifest.new"
    # The same list keeps its time, so that a second `make sweep` finds the first one's sweep.
    if cmp -s "$manifest.new" "$manifest"; then rm "$manifest.new"; else mv "$manifest.new" "$manifest"; fi
fi

set -- scan --manifest "$manifest" --out "$out"
if [ -n "${ROOT:-}" ]; then set -- "$@" --root "$ROOT"; fi
if [ -n "${CONFIG:-}" ]; then set -- "$@" --config "$CONFIG"; fi
if ! has_stages; then
    make_weights densenet161
    make_weights resnet50
    set -- "$@" --stage "densenet161=$demo/densenet161.safetensors@0.80" \
        --stage "resnet50=$demo/resnet50.safetensors@0.65"
fi
if [ "$np" -gt 1 ]; then # ranks of one machine share its cores
    threads=$(($(nproc) / np))
    set -- "$@" --threads "$((threads > 0 ? threads : 1))"
fi
# shellcheck disable=SC2086 # words are wanted
set -- "$@" ${ARGS:-}

if [ "$(id -u)" = 0 ]; then # a container; Open MPI wants to be told
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

echo "demo: mpirun --bind-to none -n $np eyesore $*" >&2
rc=0
mpirun --bind-to none --oversubscribe -n "$np" "$eyesore" "$@" || rc=$?
if [ "$rc" = 75 ]; then
    echo "demo: stopped; run the same command to go on" >&2
fi
if [ "$rc" != 0 ]; then
    exit "$rc"
fi
if [ -f "$out/sweep.h5" ]; then
    echo "look at it: ${eyesore#"$PWD"/} export $out/sweep.h5 --flagged --format csv"
fi
