#!/bin/bash
# valgrind's memcheck over a short job, on one rank and on two, and over the commands that read what it left: no
# wrong read or write, nothing uninitialised used, no leak. With the null engine (oneDNN's own code would be most
# of the time, and is tested under AddressSanitizer) and without helper processes, whose work is then ours to see.
#
# By hand, after a build: tests/faults/valgrind.sh. What it finds outside this program: scripts/valgrind.supp.
set -eu
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"

command -v valgrind >/dev/null 2>&1 || skip_all "no valgrind: install it"
# One sanitizer at a time.
! nm "$EYESORE" 2>/dev/null | grep -q '__asan_init\|__tsan_init' || skip_all "the program has a sanitizer in it"

# The commas are valgrind's own. Open MPI's plugins are unloaded before the leaks are looked for: their names are kept.
# shellcheck disable=SC2054
memcheck=(valgrind --quiet --leak-check=full --show-leak-kinds=definite,possible --errors-for-leak-kinds=definite,possible
    --error-exitcode=99 --keep-debuginfo=yes --num-callers=40 --gen-suppressions=all --child-silent-after-fork=yes
    "--suppressions=$here/../../scripts/valgrind.supp" "--log-file=$work/valgrind.%p")

# clean CODE N ARGUMENT...: the program on N ranks under valgrind (0: without mpirun) ends with CODE, which is not
# valgrind's 99.
clean() {
    local code=0 expected=$1 launcher=("$MPIEXEC" --oversubscribe --bind-to none -n "$2")
    [ "$2" != 0 ] || launcher=()
    shift 2
    timeout -k 5 400 "${launcher[@]}" "${memcheck[@]}" "$EYESORE" "$@" >"$work/stdout" 2>"$work/log" || code=$?
    # `--PID--`: it does not know a system call (openat2), which then fails as on a kernel without it.
    if grep -hv '^--' "$work"/valgrind.* >"$work/found"; then
        head -n 80 "$work/found" >&2
        fail_log "valgrind: eyesore $*"
    fi
    [ "$code" = "$expected" ] || fail_log "exit code $code, expected $expected: eyesore $*"
    note "clean: eyesore $1 ${sub:-}"
}

weights
manifest=$work/catalogue.tsv
catalogue "$manifest" 25
threshold_a=0.5 threshold_b=0.5
options
sweep_options+=(--engine null --threads 2 --shard-rows 8 --heatmaps all --decode-isolation off)
head -n 25 "$manifest" >"$work/short.tsv" # with the rows of a missing and of a cut picture
manifest=$work/short.tsv
sweep_options[2]=$manifest
expect 0 0 "${sweep_options[@]}" --out "$work/whole"

# It can find something: a program that leaks is seen.
cat >"$work/leak.c" <<'C'
#include <stdlib.h>
int main(void) { return malloc(100) == NULL; }
C
if command -v cc >/dev/null 2>&1; then
    cc -O0 -fno-builtin -o "$work/leak" "$work/leak.c"
    ! "${memcheck[@]}" "$work/leak" 2>/dev/null || fail "valgrind does not see a leak"
    rm "$work"/valgrind.*
fi

sub="on one rank" clean 0 0 "${sweep_options[@]}" --out "$work/one"
same_sweep "$work/whole/sweep.h5" "$work/one/sweep.h5"
sub="on two ranks" clean 0 2 "${sweep_options[@]}" --out "$work/two"
same_sweep "$work/whole/sweep.h5" "$work/two/sweep.h5"

# The same again, of which a part and the gathered file are gone, and one part is torn.
rm "$work/one/sweep.h5" "$(find "$work/one/parts" -name '*.h5' | sort | head -n 1)"
truncate -s 3000 "$(find "$work/one/parts" -name '*.h5' | sort | tail -n 1)"
sub="resumed" clean 0 0 "${sweep_options[@]}" --out "$work/one"
same_sweep "$work/whole/sweep.h5" "$work/one/sweep.h5"
sub="refused" clean 2 0 "${sweep_options[@]}" --size 60 --out "$work/one"

clean 0 0 status "$work/one" --prometheus "$work/eyesore.prom"
clean 0 0 status "$work/one" --json
clean 0 0 export "$work/one/sweep.h5" --all --format csv
[ "$(wc -l <"$work/stdout")" = 25 ] || fail_log "export: not 24 rows and a header"
clean 0 0 weights check "$work/a.safetensors"
clean 2 0 weights check "$manifest"
