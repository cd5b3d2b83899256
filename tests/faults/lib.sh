# shellcheck shell=bash disable=SC2034
# What the tests in this folder share, on top of tests/mpi/lib.sh; sourced by each.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"

# faulty_program: eyesore with calls that fail, by the environment that call_shim.c reads.
if [ -z "${EYESORE_WRAPPED:-}" ]; then
    CALL_SHIM=${CALL_SHIM:-$(find "$here/../../build" -name 'libcall_shim.so' | head -n 1)}
    [ -e "$CALL_SHIM" ] || skip_all "no call shim in a sanitizer's build"
    faulty_program=(env "LD_PRELOAD=$CALL_SHIM" "$EYESORE")
else
    export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$here/../../scripts/lsan.supp:print_suppressions=0}
    faulty_program=(env "ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=1:fast_unwind_on_malloc=0"
        "$EYESORE_WRAPPED")
fi

# ENOSPC 28, EIO 5, EDQUOT 122, EROFS 30, ESTALE 116, EMFILE 24, EINTR 4, EACCES 13, ENOMEM 12, EAGAIN 11
declare -A errnos=([write]="28 5 122 116 4" [close]="28 5 122" [fsync]="5 122 28" [rename]="30 13 5 28 116"
    [open]="5 116 24 4 30" [mkdir]="28 122 30" [link]="5 28" [mmap]="12" [fork]="11 12" [thread]="11" [malloc]="12")
