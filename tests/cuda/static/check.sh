#!/bin/sh
# What the compiler says of the CUDA engine's kernels, for three architectures; no GPU needed. Fails where a
# kernel spills, uses local memory, is over its budget (budgets.txt) or has none, and where nvcc warns.
# usage: check.sh NVCC BUILD_DIR
set -eu

if [ $# != 2 ]; then
    echo "usage: check.sh NVCC BUILD_DIR" >&2
    exit 64
fi
nvcc=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "$2"
build=$(cd "$2" && pwd)/kernel_reports
rm -rf "$build" # also the reports of kernels that are no more
mkdir "$build"

# One .cu for all architectures. Leaves ptxas' report, and the PTX, which knows the launch bounds.
compile() {
    name=$(basename "$1" .cu)
    mkdir "$build/$name"
    if ! "$nvcc" -c "$1" -o "$build/$name/$name.o" -std=c++17 -I"$root" -I"$root/kernels/cuda/nvcc" \
        -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
        -gencode arch=compute_100,code=sm_100 -Werror all-warnings -Xptxas -v,-warn-spills -lineinfo \
        -Xcompiler -Wall,-Wextra,-Werror --keep --keep-dir "$build/$name" >"$build/$name/report" 2>&1; then
        cat "$build/$name/report" >&2
        return 1
    fi
}

# A line for each kernel: kind, architecture, registers, barriers, shared, stack and spilled bytes, name.
summarise() {
    cat "$build"/*/report | awk '
        function before(word, back,    i) {
            for (i = back + 1; i <= NF; i++)
                if (index($i, word) == 1)
                    return $(i - back) + 0
            return 0 # ptxas leaves out what is 0
        }
        /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; architecture = part[4] }
        /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
        /: Used [0-9]+ registers/ {
            print "kernel", architecture, before("registers", 1), before("barriers", 1), before("smem", 2),
                  stack, spilled, kernel
        }'
}

# A line for each kernel: kind, threads of a block at most, name.
launch_bounds() {
    cat "$build"/*/*.ptx | awk '
        /\.entry/ { kernel = $0; sub(/.*\.entry /, "", kernel); sub(/\(.*/, "", kernel) }
        /^\.maxntid/ { sub(/,.*/, "", $2); print "bounds", $2, kernel }' | sort -u
}

# Names as in the source: no return type, no parameters, no blanks.
readable() {
    c++filt | sed -e 's/ void / /' -e 's/(.*//' -e 's/, /,/g'
}

jobs=
for file in "$root"/kernels/cuda/*.cu; do
    compile "$file" &
    jobs="$jobs $!"
done
"$nvcc" -std=c++17 -Xcompiler -Wall,-Wextra,-Werror -o "$build/occupancy" "$here/occupancy.cc"
for job in $jobs; do
    wait "$job"
done
{
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' -e 's/^/budget /' "$here/budgets.txt"
    launch_bounds | readable
    summarise | readable | LC_ALL=C sort -k8 -k2
} >"$build/summary"
"$build/occupancy" <"$build/summary"
