#!/bin/bash
# tests/fuzz/run.sh [SECONDS] [TARGET...]: fuzz each target for so long (default: 60, all), one at a time, and report the
# lines of its own sources that were reached. Builds by preset fuzz (clang) in build-fuzz. What is found is left in
# build-fuzz/found/TARGET-*: mend it, and keep the file in tests/fuzz/regressions/TARGET/. The inputs that reach new code
# stay in build-fuzz/corpus/TARGET, so a later run goes on there. Exits 1 after a finding, 77 without clang.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${FUZZ_BUILD:-$root/build-fuzz}
data=${EYESORE_SHARED_DATA:-$root/../shared/data} # real pictures, as further seeds where they are
jobs=${JOBS:-2}
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- decode tar manifest safetensors sweep options
case $seconds in '' | *[!0-9]*) echo "usage: run.sh [SECONDS] [TARGET...]" >&2 && exit 2 ;; esac

skip() {
    echo "SKIPPED: $1" >&2
    exit 77
}
command -v clang >/dev/null || skip "no clang: install the packages of purpose fuzz in scripts/packages.txt"
echo 'int LLVMFuzzerTestOneInput(const unsigned char *b, unsigned long n) { return b == 0 && n == 1; }' |
    clang -x c -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null ||
    skip "clang is there, but not its fuzzer: install the packages of purpose fuzz in scripts/packages.txt"

# The tools of clang's own version, which read what it wrote.
version=$(clang -dumpversion)
profdata=$(command -v "llvm-profdata-${version%%.*}" || command -v llvm-profdata || true)
cov=$(command -v "llvm-cov-${version%%.*}" || command -v llvm-cov || true)

mkdir -p "$build"
(cd "$root" && cmake --preset fuzz -B "$build" && cmake --build "$build" -j "$jobs") >"$build/build.log" 2>&1 || {
    tail -n 30 "$build/build.log" >&2
    echo "run.sh: the build failed (above, and $build/build.log)" >&2
    exit 1
}

# What a target is to reach: the sources that read strangers' bytes.
sources() {
    case $1 in
    decode) echo io/{decode,jpeg,png,gif,webp,exif,picture,axis,resize,passes}.c ;;
    tar) echo io/{tar,tar_cache,open}.c ;;
    manifest) echo shards/{manifest,manifest_tsv,manifest_csv,manifest_json,lines,utf8}.c ;;
    safetensors) echo kernels/{safetensors,weights}.c ;;
    sweep) echo results/{sweep_file,sweep_rows,sweep_messages,h5,h5_attribute,attribute,field,export,summary,schema,utf8}.c ;;
    options) echo job/{options,option_file,option_value,option_table,option_help,stage_option,number,nearest}.c ;;
    *)
        echo "run.sh: no target $1: there are decode, tar, manifest, safetensors, sweep and options" >&2
        exit 2
        ;;
    esac
}

# Memory and time an input may take, sizes, and what the target needs besides.
flags() {
    case $1 in
    decode) echo -max_len=20000 -timeout=20 -rss_limit_mb=1500 ;;
    # HDF5 crashes on some broken files: a process that does is replaced, and whose_fault looks at what it left. It
    # asks for sizes that a file names; malloc says no, as it would outside. Leaks are looked for at the end.
    sweep) echo -max_len=40000 -detect_leaks=0 -timeout=20 -rss_limit_mb=1500 -malloc_limit_mb=1048576 -fork=1 -ignore_crashes=1 -ignore_ooms=1 -ignore_timeouts=1 ;;
    *) echo -max_len=8192 -timeout=10 -rss_limit_mb=1024 ;;
    esac
}

# Of a crash: "HDF5" where it is in that library, and in memory that is that library's, else "ours". Of each stack of the
# report, the first frame counts that is neither a sanitizer's nor libc's.
whose_fault() {
    local frames
    frames=$("$build/tests/fuzz/fuzz_$1" "$2" 2>&1 | awk '
        /ERROR:|runtime error/ { on = 1 }
        on && /^ +#0 / { wanted = 1 }
        on && wanted && /^ +#[0-9]+ / && !/__interceptor|__asan|__sanitizer|sysdeps|libc\.so| in (malloc|calloc|realloc|free) / {
            print
            wanted = 0
        }')
    if [ -n "$frames" ] && ! grep -qv libhdf5 <<<"$frames"; then echo HDF5; else echo ours; fi
}

# How many it ran; "#N:" of a forking run, "#N" or "Done N runs" of another.
inputs_run() {
    sed -n -E 's/^#([0-9]+).*/\1/p; s/^Done ([0-9]+) runs.*/\1/p' "$1" | sort -n | tail -n 1
}

# The share of lines reached, in all and by file, from a run of the whole corpus, which must be clean.
coverage() {
    local target=$1 program=$build/tests/fuzz/fuzz_$1
    LLVM_PROFILE_FILE=$build/found/$target.profraw "$program" -close_fd_mask=2 -runs=0 "$build/corpus/$target" \
        "$here/seeds/$target" >"$build/found/$target.again.log" 2>&1 || {
        failed=1
        echo "$target: FAILED: its corpus does not run clean: see $build/found/$target.again.log" >&2
        return
    }
    if [ -z "$profdata" ] || [ -z "$cov" ]; then
        echo "$target: coverage not told: no llvm-profdata and llvm-cov"
        return
    fi
    "$profdata" merge -o "$build/found/$target.profdata" "$build/found/$target.profraw"
    local files=()
    for file in $(sources "$target"); do files+=("$root/$file"); done
    "$cov" report "$program" -instr-profile="$build/found/$target.profdata" "${files[@]}" |
        awk -v target="$target" '$1 ~ /\.c$/ || $1 == "TOTAL" { printf "%s: %-28s %5d lines, %s reached\n", target, $1, $8, $10 }'
}

failed=0
mkdir -p "$build/found"
TMPDIR=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) # where targets put their input; memory is fast
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
export LLVM_PROFILE_FILE=/dev/null
export ASAN_OPTIONS=quarantine_size_mb=16:allocator_may_return_null=1:${ASAN_OPTIONS:-}
export LSAN_OPTIONS=suppressions=$here/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1
for target in "$@"; do
    sources "$target" >/dev/null
    program=$build/tests/fuzz/fuzz_$target
    corpus=$build/corpus/$target
    log=$build/found/$target.log
    mkdir -p "$corpus"
    dictionary=()
    [ ! -e "$here/dict/$target.dict" ] || dictionary=("-dict=$here/dict/$target.dict")
    seeds=("$here/seeds/$target")
    [ ! -d "$here/regressions/$target" ] || seeds+=("$here/regressions/$target")
    [ "$target" != decode ] || [ ! -d "$data/odd" ] || seeds+=("$data/odd")
    rm -f "$build/found/$target"-*
    result=0
    # shellcheck disable=SC2046 # words
    timeout -k 10 $((seconds + 300)) nice "$program" -close_fd_mask=2 -max_total_time="$seconds" $(flags "$target") \
        -artifact_prefix="$build/found/$target-" "${dictionary[@]}" "$corpus" "${seeds[@]}" >"$log" 2>&1 || result=$?
    theirs=0 ours=0
    for found in "$build/found/$target"-*; do
        [ -e "$found" ] || continue
        if [ "$target" = sweep ] && [ "$(whose_fault sweep "$found")" = HDF5 ]; then
            mkdir -p "$build/found/hdf5"
            mv "$found" "$build/found/hdf5/"
            theirs=$((theirs + 1))
        else
            ours=$((ours + 1))
        fi
    done
    if [ "$result" != 0 ] || [ "$ours" != 0 ]; then
        failed=1
        grep -E -A 25 'ERROR|runtime error|does not hold|SUMMARY' "$log" | head -n 60 >&2
        echo "$target: FAILED (exit code $result); see $log and $build/found/$target-*" >&2
    fi
    echo "$target: $seconds s, $(inputs_run "$log") inputs, $ours findings," \
        "$(find "$corpus" -type f | wc -l) inputs kept for the code they reach"
    [ "$theirs" = 0 ] || echo "$target: besides, $theirs inputs crash HDF5 itself: see $build/found/hdf5"
    coverage "$target"
done
exit "$failed"
