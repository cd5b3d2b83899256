#!/bin/bash
# Every case on the virtual cluster, about 10 minutes, each with the seconds it took: part of `make test-faults`.
#     tests/slurm/all.sh [BUILD]     BUILD: where eyesore is built (build)
# On two cores: run 9, usr1 25, limit 170, requeue 25, preempt 26, crash 39, crash_untold 60, batch_host 60, cut 19,
# cut_off 47, controller 18, controller_away 35, array 34, mpirun 26, left_out 30, in_vain 23, final 10 s.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export EYESORE=${1:-$here/../../build}/eyesore

"$here/test_avoid.sh"
exec "$here/run.sh" run checks usr1 limit requeue preempt crash crash_untold batch_host cut cut_off controller \
    controller_away array mpirun left_out in_vain final
