#!/bin/bash
# The long proof of faults: every call of every kind fails in turn, with every errno of its kind.
#
#   tests/faults/all.sh [BUILD [ASAN_BUILD]]     (default: build; build-asan where it is there)
#
# On one idle core, about 2 hours: calls.sh 100 minutes (1,400 points of writes, opens and the like, 2,100 of
# malloc, each a sweep and a resume), commands.sh 2 minutes, test_memory 10 seconds; with a sanitizer's build
# 50 minutes more. PARTS="memory commands calls asan" chooses. Replay a point by the command that it names.
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../build}" && pwd) || exit 2
asan=${2:-$here/../../build-asan}
PARTS=${PARTS:-memory commands calls asan}
failed=0

# part NAME COMMAND...: run it where it was chosen, and go on whatever comes.
part() {
    local name=$1 start=$SECONDS
    shift
    [[ " $PARTS " == *" $name "* ]] || return 0
    if "$@"; then
        echo "== $name: passed in $((SECONDS - start)) s"
    else
        echo "== $name: FAILED after $((SECONDS - start)) s"
        failed=1
    fi
}

export EYESORE=$build/eyesore CALL_SHIM=$build/tests/faults/libcall_shim.so
part memory "$build/tests/faults/memory/test_memory"
part commands env STRIDE=1 "$here/commands.sh"
part calls env STRIDE=1 MALLOC_STRIDE=1 ERRNOS=all "$here/calls.sh"
if [ -x "$asan/tests/faults/eyesore_wrapped" ]; then
    export EYESORE=$asan/eyesore EYESORE_WRAPPED=$asan/tests/faults/eyesore_wrapped
    part asan "$asan/tests/faults/memory/test_memory"
    part asan env STRIDE=3 "$here/commands.sh"
    part asan env MALLOC_STRIDE=5 "$here/calls.sh"
else
    echo "== asan: SKIPPED, there is no $asan/tests/faults/eyesore_wrapped: make asan builds it"
fi
exit "$failed"
