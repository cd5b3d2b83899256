#!/bin/bash
# Every case on the virtual cluster, about 12 minutes, each with the seconds it took: part of `make test-faults`.
#     tests/slurm/all.sh [BUILD]     BUILD: where eyesore is built (build)
# On two cores that others used as well: run 8, checks 13, usr1 25, limit 104, requeue 33, preempt 32, crash 44,
# crash_untold 48, batch_host 71, cut 22, cut_off 52, controller 21, controller_away 40, array 42, mpirun 32,
# left_out 32, in_vain 40, final 10 s; a launch that crashes in MPI_Init (see lib.sh) adds 35.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export EYESORE=${1:-$here/../../build}/eyesore

"$here/test_avoid.sh"
exec "$here/run.sh" run checks usr1 limit requeue preempt crash crash_untold batch_host cut cut_off controller \
    controller_away array mpirun left_out in_vain final
