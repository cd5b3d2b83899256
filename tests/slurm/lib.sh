# shellcheck shell=bash disable=SC2034,SC2154,SC2015
# What the cases share; sourced by run.sh inside the virtual cluster, after tests/mpi/lib.sh (weights, catalogue,
# same_sweep) and cluster.sh.
#
# The sweeps are real ones of the null engine: real manifests, fetches, decodes, parts and gathers; only the networks
# pretend, taking the time that they are told to. So four nodes fit on two cores, and a sweep lasts as long as a case
# needs.

submit=$here/../../slurm/submit
export OMPI_MCA_mpi_yield_when_idle=1 # eight ranks on two cores

# prepare: weights, the catalogue, the undisturbed sweep that all others are compared with, the site's settings.
prepare() {
    weights
    manifest=$work/catalogue.tsv
    catalogue "$manifest" 1
    scan=(--root "$root" --stage "a=$work/a.safetensors@0.5" --stage "b=$work/b.safetensors@0.5" --engine null
        --precision f32 --order given --threads 1 --shard-rows 10)
    TIMEOUT=100 expect 0 0 scan --manifest "$manifest" --out "$work/undisturbed" "${scan[@]}" --progress none
    undisturbed=$work/undisturbed/sweep.h5
    n_shards=$(n_parts "$work/undisturbed")
    cat >"$work/site.env" <<SITE
EYESORE_BIN=${EYESORE@Q}
EYESORE_PARTITION=pool
EYESORE_TIME=20
EYESORE_LAUNCHER=${LAUNCHER:-auto}
EYESORE_SRUN_OPTIONS=(--cpu-bind=none)
EYESORE_MPIRUN_OPTIONS=(--bind-to none)
SITE
    export EYESORE_SITE_ENV=$work/site.env
}

# submit_sweep OUT OPTION...: sets job. Options behind -- are the scan's.
submit_sweep() {
    local out=$1 ours=()
    shift
    while [ $# != 0 ] && [ "$1" != -- ]; do
        ours+=("$1")
        shift
    done
    [ $# = 0 ] || shift
    job=$("$submit" sweep --manifest "$manifest" --out "$out" --nodes 4 --check-from-node no "${ours[@]}" \
        -- "${scan[@]}" "$@" 2>"$work/submit.log") || { cat "$work/submit.log" >&2; fail "submit"; }
}

job_field() { # job_field JOB NAME: as scontrol shows it
    scontrol -o show job "$1" 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1
}

# wait_state JOB STATE SECONDS
wait_state() {
    local state
    for ((try = 0; try < 10 * $3; try++)); do
        state=$(job_field "$1" JobState)
        case $state in
        "$2") return 0 ;;
        FAILED | CANCELLED | TIMEOUT | NODE_FAIL | OUT_OF_MEMORY | COMPLETED) # or on the way to a requeue
            [ "$(squeue -h -t all -j "$1" -o %t)" = CG ] || [ "$try" -lt 20 ] || break
            ;;
        esac
        sleep 0.1
    done
    show_job "$1"
    fail "job $1 is $state, not $2, after $((try / 10)) s"
}

show_job() {
    scontrol show job "$1" >&2
    [ ! -e "$out/slurm/attempts" ] || cat "$out/slurm/attempts" >&2
    tail -n 60 "$out"/slurm/job-*.log >&2 2>/dev/null
}

# wait_parts OUT N: until so many are there.
wait_parts() {
    for ((try = 0; try < 900; try++)); do
        [ "$(n_parts "$1")" -lt "$2" ] || return 0
        sleep 0.1
    done
    show_job "$job"
    fail "no $2 parts in $1 after 90 s"
}

# restarted JOB OUT TIMES: so often it was started again, for what the case did to it. One launch in fifty of Debian 12's
# Open MPI under its Slurm's PMIx crashes inside MPI_Init (a message comes before its receiver is set up; any MPI program
# shows it): a fault that no case made, which the script has to get over like any other.
restarted() {
    local n crashed
    n=$(job_field "$1" Restarts)
    crashed=$(grep -c "event=end job=[0-9]* restart=[0-9]* code=139 " "$2/slurm/attempts" || true)
    [ "$crashed" = 0 ] || note "$crashed attempts crashed as they started, which was got over"
    [ $((n - crashed)) = "$3" ] || fail "job $1 was started again $n times, $crashed of them for a crash, expected $3"
}

# completed JOB OUT [SECONDS [OPTION]]: the job ends well, and its sweep.h5 is the undisturbed one. OPTION: of the scan,
# that may differ.
completed() {
    wait_state "$1" COMPLETED "${3:-90}"
    same_sweep "$undisturbed" "$2/sweep.h5" "option\\.null-speed${4:+|$4}"
    [ "$(n_parts "$2")" = "$n_shards" ] || fail "$2 has $(n_parts "$2") parts of $n_shards"
    [ "$(n_leftovers "$2")" = 0 ] || fail "temporary files are left: $(find "$2" -name '*.tmp-*')"
    grep -q "event=end job=$1 .*outcome=done" "$2/slurm/attempts" || fail "OUT/slurm/attempts does not tell the end"
    [ -s "$2/summary.txt" ] || fail "there is no $2/summary.txt"
}
