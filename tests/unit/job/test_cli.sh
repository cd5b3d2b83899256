#!/bin/sh
# The program as a user meets it: exit codes, what goes to stdout and what to stderr. Usage: test_cli.sh EYESORE
# Needs no weights and no pictures but a handful of empty files.
set -eu

eyesore=$1
roofline=$(cd "$(dirname "$0")/../../../bench" && pwd)/ROOFLINE.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0

# expect CODE TEXT ARGUMENT...: the exit code, and a text that must be in what is printed.
expect() {
    code=$1
    text=$2
    shift 2
    rc=0
    "$eyesore" "$@" >out 2>err || rc=$?
    if [ "$rc" != "$code" ]; then
        echo "FAILED: eyesore $*: exit code $rc, expected $code" >&2
        cat err >&2
        failed=1
    elif ! cat out err | grep -qF -e "$text"; then
        echo "FAILED: eyesore $*: '$text' is not in what it prints:" >&2
        cat out err >&2
        failed=1
    fi
}

# stdout ENDS: nothing may go there by mistake, since `eyesore ... > file` is how it is used.
expect_silent_stdout() {
    if [ -s out ]; then
        echo "FAILED: stdout has: $(head -n 3 out)" >&2
        failed=1
    fi
}

expect 2 "Usage: eyesore COMMAND"
expect_silent_stdout
expect 0 "Usage: eyesore COMMAND" help
expect 0 "Usage: eyesore COMMAND" --help
expect 0 "eyesore " --version
expect 0 "--shard-rows" scan --help
expect 0 "--arch" help weights init
expect 0 "weights check" help weights
expect 2 "did you mean scan?" scam
expect_silent_stdout
expect 2 "did you mean --manifest?" scan --manfest x
expect 2 "--manifest is missing" scan --out o
expect 2 "No such file" scan --config nowhere.ini
printf '[scan]\nthreads = 2\nthreds = 3\n' >bad.ini
expect 2 "bad.ini:3: unknown key 'threds' in [scan]: did you mean threads?" scan --config bad.ini
expect 2 "no plan" status .
expect 2 "--partial" export .
expect 2 "give one of" export . --all --flagged
expect 2 "" export nowhere.h5
expect 2 "" weights check nowhere.safetensors
expect 2 "" verdict nowhere.h5 --stage a@0.5
expect 2 "" manifest nowhere

mkdir -p pool/clothes pool/insects
touch pool/clothes/a.jpg pool/clothes/notes.txt "pool/insects/b c.png"
expect 0 "uri" manifest pool
printf 'id\turi\tcategory\n00000001\tpool/clothes/a.jpg\tclothes\n00000002\tpool/insects/b c.png\tinsects\n' >expected
diff expected out || failed=1
expect 0 "" manifest --prefix= pool
grep -q '	clothes/a.jpg	' out || { echo "FAILED: --prefix=" >&2; failed=1; }
mkdir empty
expect 2 "no picture" manifest empty

# bench: rows add up to the sum, the sum is what images/s come from, and bench/ROOFLINE.md is what is printed.
expect 2 "--roofline is missing" bench
expect 2 "b200" bench --roofline b20
expect_silent_stdout
expect 2 "--batch" bench --roofline h100 --batch 0
expect 0 "cbam apply" bench --roofline a100 --batch 64 --network resnet50 --attention cbam
awk '$1 == "op" { inside = 1; next }
    inside && $1 == "sum" { sum = $NF; inside = 0 }
    inside { rows++; floor += $(NF - 1) }
    $1 == "resnet50" && NF > 9 { rate = $NF; kernels = $3 }
    END { off = floor / sum - 1; rate_off = rate * sum * 1e-6 / 64 - 1
          exit !(rows == 120 && kernels == rows && off * off < 1e-8 && rate_off * rate_off < 1e-8) }' out ||
    { echo "FAILED: bench: the rows do not add up" >&2; failed=1; }
expect 0 '"cascades":[{"attention":"none","first":"resnet50"' bench --roofline h100 --json --summary
expect 0 '"cascades":[]' bench --roofline h100 --json --network resnet50
grep -q '"op":"layer4.2.conv3","kernel":"conv"' out || { echo "FAILED: bench --json has no ops" >&2; failed=1; }
for device in h100 a100 b200; do
    expect 0 "cascade, attention cbam" bench --roofline "$device" --summary
    sed '/^$/d; s/^/    /' out >lines
    if grep -vxF -f "$roofline" lines >&2; then
        echo "FAILED: bench/ROOFLINE.md does not have these lines of bench --roofline $device --summary" >&2
        failed=1
    fi
done

# A full disk behind stdout is an error, not a shorter file.
if [ -c /dev/full ]; then
    rc=0
    "$eyesore" manifest pool >/dev/full 2>err || rc=$?
    if [ "$rc" = 0 ]; then
        echo "FAILED: a full disk went unnoticed" >&2
        failed=1
    fi
fi

exit $failed
