#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# Odd pictures: each a row with its status, none stops the job; a picture that claims to be huge costs no
# memory.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

weights
threshold_a=0.5 threshold_b=0.5

expected=$here/../unit/io/odd_expected.tsv
if [ -d "$SHARED_DATA/odd" ]; then
    root=$SHARED_DATA/odd
    manifest=$work/odd.tsv
    awk -F'\t' 'NR == 1 { print "id\turi"; next } { print $1 "\t" $1 }' "$expected" >"$manifest"
    diff <(sed 1d "$expected" | cut -f 1 | LC_ALL=C sort) <(find "$root" -type f -printf '%P\n' | LC_ALL=C sort) ||
        fail "$root has other files (>) than odd_expected.tsv (<)"
    options
    for ranks in 0 2; do
        out=$work/odd-$ranks
        expect 0 "$ranks" "${sweep_options[@]}" --all-stages --shard-rows 5 --out "$out"
        diff <(sed 1d "$expected" | awk -F'\t' '{ print $1 "," $2 }' | sort) <(column "$out/sweep.h5" status) ||
            fail "statuses differ (< expected, > swept)"
        diff <(sed 1d "$expected" | awk -F'\t' '$2 != "unsupported" { print $1 "," $3 "," $4 }' | sort) \
            <(join -t, <(column "$out/sweep.h5" width) <(column "$out/sweep.h5" height) |
                grep -v -e '\.tif,' -e '\.ico,' -e '\.bmp,') || fail "sizes differ (< expected, > swept)"
        while IFS=, read -r id status; do
            score=$(column "$out/sweep.h5" score_a | grep "^$id,")
            case $status in
            ok | truncated) grep -qE ',[0-9.e-]+$' <<<"$score" || fail "$id is $status and has no score: $score" ;;
            *) ! grep -qE ',[0-9.e-]+$' <<<"$score" || fail "$id is $status and has a score: $score" ;;
            esac
        done < <(column "$out/sweep.h5" status)
    done
    same_sweep "$work/odd-0/sweep.h5" "$work/odd-2/sweep.h5"
    note "$(($(wc -l <"$manifest") - 1)) odd files: each a row with its status, on 1 and 2 ranks"
else
    note "SKIPPED: the odd files, there is no $SHARED_DATA/odd"
fi

# Headers of 40000x40000 pictures: PNG (with its IHDR's CRC), GIF, progressive JPEG.
root=$work/bombs
mkdir "$root"
printf '\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x9c\x40\0\0\x9c\x40\x08\x02\0\0\0\xde\x6e\x99\x52\0\0\x10\0IDAT\x78\x9c' >"$root/bomb.png"
printf 'GIF89a\x40\x9c\x40\x9c\xf0\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0\x40\x9c\x40\x9c\0\x02\x16\x8c\x2d\x99' >"$root/bomb.gif"
printf '\xff\xd8\xff\xc2\0\x11\x08\x9c\x40\x9c\x40\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\0\0' >"$root/bomb.jpg"
for file in png gif jpg; do
    head -c 4000 /dev/zero >>"$root/bomb.$file"
done
[ -d "$STAMPS" ] || skip_all "the rest: no pictures in $STAMPS: install tuxpaint-stamps-default"
find "$STAMPS" -name '*.png' | sort | awk 'NR % 20 == 0' | while read -r file; do
    cp "$file" "$root/good-$(basename "$file")"
done
{
    printf 'id\turi\n'
    (cd "$root" && printf '%s\n' good-*) | awk '{ print $0 "\t" $0 }'
} >"$work/good.tsv"
{
    cat "$work/good.tsv"
    for i in 1 2 3 4 5; do printf "png%s\tbomb.png\ngif%s\tbomb.gif\njpg%s\tbomb.jpg\n" "$i" "$i" "$i"; done
} >"$work/bombs.tsv"

# peak FILE.tsv NAME: KiB that a sweep of it takes at most.
peak() {
    manifest=$1
    options
    timeout 100 /usr/bin/time -f %M -o "$work/$2.kib" "$EYESORE" "${sweep_options[@]}" --all-stages \
        --out "$work/$2" >"$work/stdout" 2>"$work/log" || fail_log "$2"
    tail -n 1 "$work/$2.kib"
}
if [ -x /usr/bin/time ]; then
    without=$(peak "$work/good.tsv" good)
    with=$(peak "$work/bombs.tsv" bombs)
    [ "$with" -lt $((without + 20000)) ] || fail "bombs cost memory: $with KiB, $without KiB without"
    column "$work/bombs/sweep.h5" status | grep -v '^good-' | grep -v ',too_large$' &&
        fail "a bomb is not too_large"
    [ "$(column "$work/bombs/sweep.h5" status | grep -c ',too_large$')" = 15 ] || fail "15 rows should be too_large"
    [ "$(column "$work/bombs/sweep.h5" width | grep -c '^[a-z]*[0-9],40000$')" = 15 ] ||
        fail "the bombs' width is not stored"
    note "15 bombs of 40000x40000: too_large, $with KiB at most; $without KiB without them"
else
    note "SKIPPED: memory of bombs, there is no /usr/bin/time"
fi
