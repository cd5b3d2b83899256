#!/bin/bash
# shellcheck disable=SC2015 # A && B || fail: whichever does not hold
# The sub-commands that read what others wrote: each call of a kind fails in turn. The command says an error and
# ends with 1, 2 or 75, or gives what it gives undisturbed; never a crash, nothing half-written is left.
#
#   tests/faults/commands.sh [CALL...]    malloc open mmap write close fsync rename (default: all)
#   STRIDE=k   every k-th call only; AT=n COMMAND=name   that call of that sub-command only, with what it says
#
# CALL_SHIM, EYESORE_WRAPPED: as for calls.sh.
set -eu
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

if [ $# = 0 ]; then
    [ -z "${EYESORE_WRAPPED:-}" ] && set -- malloc open mmap write close fsync rename || set -- malloc
fi

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 100
threshold_a=0.3 threshold_b=0.3
options
expect 0 0 "${sweep_options[@]}" --engine null --precision auto --shard-rows 4 --out "$work/whole"
mkdir "$work/small"
cp "$(find "$root" -name '*.png' | sort | head -n 1)" "$work/small/a.png"
tar -C "$work/small" -cf "$work/small/t.tar" a.png
printf '[export]\nformat = csv\n' >"$work/config.ini"

# Name, then the arguments. OUT in them: a file that the command makes.
commands=("manifest $work/small"
    "export $work/whole/sweep.h5 --config $work/config.ini --all"
    "partial $work/whole --partial --all --format jsonl --output OUT"
    "verdict $work/whole/sweep.h5 --stage a@0.7 --output OUT"
    "status $work/whole --json"
    "check $work/a.safetensors")

# run PROGRAM...: the command of $arguments, with what it gives in $work/given. Sets code.
run() {
    rm -rf "$work/given"
    mkdir "$work/given"
    code=0
    timeout -k 5 60 "$@" "${arguments[@]//OUT/$work/given/made}" >"$work/given/stdout" 2>"$work/log" || code=$?
}

# same_file A B. /run of a verdict has its time.
same_file() {
    case $(head -c 4 "$1" | tail -c 3) in
        HDF) h5diff -c --exclude-path /run "$1" "$2" >/dev/null 2>&1 ;;
        *) cmp -s "$1" "$2" ;;
    esac
}

# same: what is given is what was given undisturbed.
same() {
    local file
    [ "$(ls -A "$work/given")" = "$(ls -A "$work/undisturbed")" ] || return 1
    [ "$name" != status ] || return 0 # it tells of now
    for file in "$work"/given/*; do
        same_file "$file" "$work/undisturbed/${file##*/}" || return 1
    done
}

blame() {
    echo "FAILED: $name: call $at of $call, errno $errno: $* (replay: AT=$at COMMAND=$name tests/faults/commands.sh $call)" >&2
    tail -n 15 "$work/log" >&2
    n_blamed=$((n_blamed + 1))
}

point() {
    export FAULT_CALL=$call FAULT_AT=$at FAULT_ERRNO=$errno FAULT_COUNT=$work/count
    export FAULT_PATHS=$work/given:$work/whole:$work/small:$work/config:$work/a.saf
    run "${faulty_program[@]}"
    unset FAULT_CALL
    [ -z "${AT:-}" ] || cat "$work/log"
    [ "$at" != 0 ] || return 0
    case $code in
        0) same || blame "exit code 0 and another outcome" ;;
        1 | 2 | 75)
            [ -s "$work/log" ] || blame "exit code $code and no error said"
            [ "$(n_leftovers "$work")" = 0 ] || blame "a temporary file is left"
            [ ! -e "$work/given/made" ] || same_file "$work/given/made" "$work/undisturbed/made" ||
                blame "exit code $code and something half-made"
            ;;
        *) blame "exit code $code" ;;
    esac
    find "$work" -name '*.tmp-*' -delete
    codes[$code]=$((${codes[$code]:-0} + 1))
    n_points=$((n_points + 1))
}

n_blamed=0
for command in "${commands[@]}"; do
    read -ra arguments <<<"$command"
    name=${arguments[0]}
    [ "${COMMAND:-$name}" = "$name" ] || continue
    case $name in
        partial) arguments[0]="export" ;;
        check) arguments=(weights "${arguments[@]}") ;;
    esac
    run "$EYESORE"
    [ "$code" = 0 ] || fail_log "undisturbed: eyesore ${arguments[*]}"
    rm -rf "$work/undisturbed"
    mv "$work/given" "$work/undisturbed"
    for call in "$@"; do
        at=0 errno=0
        point
        n=$(cat "$work/count")
        declare -A codes=()
        n_points=0
        read -ra numbers <<<"${errnos[$call]}"
        for at in ${AT:-$(seq 1 "${STRIDE:-1}" "$n")}; do
            errno=${numbers[at % ${#numbers[@]}]}
            point
        done
        said=""
        for code in "${!codes[@]}"; do said="$said, ${codes[$code]} times exit code $code"; done
        note "$name, $call: $n calls, $n_points points${said}"
    done
done
[ "$n_blamed" = 0 ] || fail "$n_blamed points"
