# shellcheck shell=bash disable=SC2034,SC2015
# What the tests in this folder share; sourced by each. They run the real program under the real mpirun, as a
# user would, on small networks (MobileNetV2, crops of 64 pixels) and real pictures.
#
# By hand: tests/mpi/test_NAME.sh, where build/eyesore is built; else say where it is:
#   EYESORE=/path/to/eyesore tests/mpi/test_NAME.sh
# EYESORE_KEEP=1 leaves the test's folder; it is left after a failure as well.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
EYESORE=${EYESORE:-$here/../../build/eyesore}
MPIEXEC=${MPIEXEC:-mpirun}
SHARED_DATA=${EYESORE_SHARED_DATA:-$here/../../../shared/data}
STAMPS=/usr/share/tuxpaint/stamps
SKIP=77 # what ctest takes for "skipped"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export LC_ALL=C
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0} # MPI's own are not ours to find

work=$(mktemp -d "${TMPDIR:-/tmp}/eyesore-mpi-XXXXXX")

finish() {
    local code=$?
    set +e
    if [ "$code" != 0 ] && [ "$code" != "$SKIP" ]; then
        echo "FAILED; its files are in $work; run it again: EYESORE=$EYESORE $0" >&2
    elif [ -z "${EYESORE_KEEP:-}" ]; then
        rm -rf "$work"
    fi
    exit "$code"
}
trap finish EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

note() {
    echo "-- $*"
}

skip_all() {
    echo "SKIPPED: $*"
    exit "$SKIP"
}

# weights: a.safetensors and b.safetensors in $work, MobileNetV2 of different seeds. Made once and kept where
# EYESORE_MPI_CACHE names a folder.
weights() {
    local name cache=${EYESORE_MPI_CACHE:-$work}
    mkdir -p "$cache"
    for name in a b; do
        if [ ! -e "$cache/$name.safetensors" ]; then
            timeout 500 "$EYESORE" weights init --arch mobilenet_v2 --seed "$(printf %d "'$name")" \
                "$work/$name.new" >/dev/null 2>&1 || fail "weights init"
            mv "$work/$name.new" "$cache/$name.safetensors"
        fi
        [ "$cache" = "$work" ] || ln -sf "$cache/$name.safetensors" "$work/$name.safetensors"
    done
}

# catalogue FILE EVERY: every EVERY-th of the stamps (Debian's tuxpaint-stamps-default) as a manifest with
# relative uris, and in the middle rows of a missing and of a cut picture. Sets root.
catalogue() {
    [ -d "$STAMPS" ] || skip_all "no pictures in $STAMPS: install tuxpaint-stamps-default"
    root=$work/pool
    if [ ! -d "$root" ]; then
        mkdir "$root"
        cp -r "$STAMPS"/*/ "$root"
        head -c 2000 "$root/animals/birds/penguin.png" >"$root/cut.png" 2>/dev/null ||
            head -c 2000 "$(find "$root" -name '*.png' | sort | head -n 1)" >"$root/cut.png"
        echo "this is no picture" >"$root/text.png"
    fi
    (cd "$root" && find . -name '*.png' -path './*/*' | sort) | awk -v every="$2" '
        BEGIN { OFS = "\t"; print "id", "uri", "category", "label" }
        NR % every == 0 {
            sub(/^\.\//, "")
            split($0, folder, "/")
            print "stamp-" NR, $0, folder[1], n % 3
            if (++n == 20) {
                print "gone", "gone/gone.png", "odd", 0
                print "cut", "cut.png", "odd", 1
                print "text", "text.png", "odd", 1
            }
        }' >"$1"
}

# mpi N ARGUMENT...: the program on N ranks, without mpirun where N is 0 (one rank, and faster to start); at
# most 120 seconds. What it says goes to $work/log and $work/stdout.
mpi() {
    local launcher=("$MPIEXEC" --oversubscribe --bind-to none -n "$1")
    [ "$1" != 0 ] || launcher=()
    shift
    timeout -k 5 "${TIMEOUT:-120}" "${launcher[@]}" "$EYESORE" "$@" >"$work/stdout" 2>"$work/log"
}

# Say what the last run said, and fail.
fail_log() {
    tail -n 40 "$work/log" >&2
    fail "$@"
}

# expect CODE N ARGUMENT...: mpi, and the exit code it must end with.
expect() {
    local code=0 expected=$1
    shift
    mpi "$@" || code=$?
    [ "$code" = "$expected" ] || fail_log "exit code $code, expected $expected: eyesore ${*:2} on $1 ranks"
}

# said TEXT: the last run's log has it.
said() {
    grep -qF -e "$1" "$work/log" || fail_log "the log does not say: $1"
}

not_said() {
    ! grep -qF -e "$1" "$work/log" || fail_log "the log says: $1"
}

# Options that every sweep here has; choose_thresholds sets the thresholds. IN: manifest root
options() {
    sweep_options=(scan --manifest "$manifest" --root "$root" --stage "a=$work/a.safetensors@$threshold_a"
        --stage "b=$work/b.safetensors@$threshold_b" --precision f32 --resize 72 --size 64 --threads 1
        --progress none)
}

# quantile FILE COLUMN SHARE: of the finite numbers in a column, named in the header, of a CSV without quotes
# in front of it.
quantile() {
    awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }
        $at != "" && $at != "nan" { print $at }' "$1" | sort -g |
        awk -v share="$3" '{ value[NR] = $1 } END { print value[int((NR - 1) * share) + 1] }'
}

# A sweep with --all-stages, in $work/all; sets thresholds so that a passes about 40 % and b about 60 %.
choose_thresholds() {
    threshold_a=0.5 threshold_b=0.5
    options
    expect 0 2 "${sweep_options[@]}" --all-stages --out "$work/all"
    csv "$work/all/sweep.h5" >"$work/all.csv"
    threshold_a=$(quantile "$work/all.csv" score_a 0.6)
    threshold_b=$(quantile "$work/all.csv" score_b 0.4)
    options
}

# structure FILE: every object, type, shape and attribute name outside /run.
structure() {
    h5dump -H -A 0 "$1" | sed 1d
}

# run_attributes FILE: those of /run as name=value lines.
run_attributes() {
    h5dump -A -g /run "$1" | awk '
        /ATTRIBUTE "/ { split($0, part, "\""); name = part[2] }
        /^ *\(0\): / { sub(/^ *\(0\): /, ""); print name "=" $0 }' | sort
}

# same_sweep A B: everything but /run is the same, and /run differs only in what may.
same_sweep() {
    [ -f "$1" ] && [ -f "$2" ] || fail "no $1 or no $2"
    timeout 60 h5diff -c --exclude-path /run "$1" "$2" >"$work/h5diff" 2>&1 ||
        { head -n 20 "$work/h5diff" >&2; fail "h5diff $1 $2"; }
    # h5diff lets datasets of different shapes pass as not comparable.
    if grep -i 'not comparable' "$work/h5diff" | grep -v 'is an empty dataset' >&2; then
        fail "h5diff $1 $2"
    fi
    cmp <(structure "$1") <(structure "$2") || fail "$1 and $2 differ in structure"
    diff <(run_attributes "$1") <(run_attributes "$2") | sed -n 's/^[<>] \([^=]*\)=.*/\1/p' | sort -u |
        grep -vxE "started|finished|hosts|ranks|workers|command|device|option\.(out|shard-rows|threads|progress)${3:+|$3}" >"$work/run-diff" || true
    if [ -s "$work/run-diff" ]; then
        fail "$1 and $2: /run differs in $(tr '\n' ' ' <"$work/run-diff")"
    fi
}

# csv FILE.h5 [OPTION...]: the rows as CSV, its lines ending as those of other files do.
csv() {
    local file=$1
    shift
    timeout 60 "$EYESORE" export "$file" --format csv "${@:---all}" 2>"$work/export.log" | tr -d '\r'
}

# rows FILE.h5 [OPTION...]: without the header.
rows() {
    csv "$@" | sed 1d
}

# column FILE.h5 NAME: id and that column of all rows, sorted by id. Fields here have no commas in them.
column() {
    csv "$1" | awk -F, -v name="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i
                  if (!at) { print "no column " name > "/dev/stderr"; exit 1 }
                  next }
        { print $1 "," $at }' | sort
}

flagged() {
    rows "$1" --flagged | cut -d, -f1 | sort
}

n_parts() {
    find "$1/parts" -name 'shard-*.h5' 2>/dev/null | wc -l
}

n_leftovers() {
    find "$1" -name '*.tmp-*' 2>/dev/null | wc -l
}
