#!/bin/sh
# Plans for every convolution of every network, on every device described here, for small and large batches:
#
#     all.sh PLANS OUT [DEVICE...]        PLANS: the program;  DEVICE: a100, h100, b200;  default: all
#
# OUT gets what each run printed (DEVICE-nBATCH.txt), one table per device of its distinct graphs (DEVICE.tsv) and
# summary.txt, which is printed too. Goes on through failures; exits 1 if there were any.
# A run takes one core for about a minute. BATCHES="1 64 256" and ELEMENT=f16 may be set.
set -u

if [ $# -lt 2 ]; then
    echo "usage: all.sh PLANS OUT [DEVICE...]" >&2
    exit 2
fi
plans=$1
out=$2
shift 2
if [ $# -eq 0 ]; then set -- a100 h100 b200; fi
here=$(dirname "$0")
networks=resnet50,resnet50+cbam,densenet161,densenet161+cbam,mobilenet_v2,mobilenet_v2+cbam
element=${ELEMENT:-f16}

mkdir -p "$out" || exit 1
summary=$out/summary.txt
echo "$networks, $element" >"$summary"
n_runs=0
n_failed=0
for device in "$@"; do
    printf 'graph\tengine\ttensor_core\tworkspace_bytes\trank\n' >"$out/$device.tsv"
    for batch in ${BATCHES:-1 64 256}; do
        listing=$out/$device-n$batch.txt
        n_runs=$((n_runs + 1))
        answer=ok
        if ! "$plans" "$here/$device.json" "$networks" "$batch" "$element" >"$listing" 2>"$listing.err"; then
            n_failed=$((n_failed + 1))
            answer=FAILED
            cat "$listing.err" >&2
        fi
        awk -v OFS='\t' '$7 == "new" { print $2, $3, $4, $5, $6 }' "$listing" >>"$out/$device.tsv"
        printf '%-5s n%-4s %-6s %s\n' "$device" "$batch" "$answer" "$(tail -n 1 "$listing")" | tee -a "$summary"
    done
done
echo "$n_runs runs, $n_failed failed" | tee -a "$summary"
[ "$n_runs" -gt 0 ] && [ "$n_failed" -eq 0 ]
