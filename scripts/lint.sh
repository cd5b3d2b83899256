#!/bin/sh
# make lint: the formatting of C, cppcheck, clang-tidy, shellcheck. Any finding is a failure.
set -eu

cd "$(dirname "$0")/.."
failed=0

echo "lint: clang-format" >&2
git ls-files -z '*.c' '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 clang-format --dry-run --Werror || failed=1

echo "lint: cppcheck" >&2
cppcheck --quiet --error-exitcode=1 --inline-suppr --suppressions-list=.cppcheck -j "$(nproc)" \
    --enable=warning,performance,portability --std=c11 --std=c++17 --project=build/compile_commands.json || failed=1

echo "lint: clang-tidy" >&2
# Files that a build for this machine leaves out (the other oneDNN, CUDA) are not in the compilation database as
# clang can read it. Asserts stand, as they tell what the analyzer cannot know.
git ls-files -z '*.c' | grep -zvE '^(bench|tests|kernels/cuda)/|onednn_v' |
    xargs -0 -n 8 -P "$(nproc)" clang-tidy -p build --quiet --extra-arg=-Wno-unknown-warning-option \
        --extra-arg=-UNDEBUG >build/clang-tidy.log 2>/dev/null ||
    { grep -E 'warning:|error:' build/clang-tidy.log >&2; failed=1; }

echo "lint: shellcheck" >&2
git ls-files -z '*.sh' '*.sbatch' slurm/submit slurm/site.env.example '.ci/run' | xargs -0 shellcheck || failed=1

if [ "$failed" = 0 ]; then echo "lint: clean" >&2; fi
exit "$failed"
