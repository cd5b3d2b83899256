# shellcheck shell=bash disable=SC2154 # slurm_dir is the batch script's; site_env, eyesore, scan... OUT/slurm/command's
# What the batch scripts share: one attempt of a sweep, from the step's launch to the decision whether Slurm should
# start the job again. README.md explains the decisions; attempt_run at the end of this file is the way to read it.
#
#     OUT/slurm/command     what every attempt runs; written by slurm/submit
#     OUT/slurm/attempts    append-only: a line when an attempt begins, a line when it ends
#     OUT/attempts/*-batch.log   append-only, in the form of the ranks' files: nodes that failed, hosts left out

export LC_ALL=C
ATTEMPTS_WITHOUT_PART=3 # so many in a row, and the job stops

say() {
    echo "time=$(date -u +%FT%TZ) slurm: $*" >&2
}

# The job as this script's commands and Slurm's name it. In an array, SLURM_JOB_ID of one task is the id of the whole
# array as well, and requeueing that would restart every task.
job_name_for_slurm() {
    if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then
        echo "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
    else
        echo "$SLURM_JOB_ID"
    fi
}

count_parts() {
    find "$out/parts" -name 'shard-*.h5' 2>/dev/null | wc -l
}

# note_attempt EVENT FIELD=VALUE...: to OUT/slurm/attempts.
note_attempt() {
    local event=$1
    shift
    echo "time=$(date -u +%FT%TZ) unix=$(date +%s) event=$event job=$SLURM_JOB_ID restart=$restart $*" \
        >>"$out/slurm/attempts"
}

# note_host FILE EVENT HOST DETAIL: to OUT/attempts, as the ranks do, for `eyesore status` and for avoid.sh.
note_host() {
    mkdir -p "$out/attempts"
    echo "time=$(date -u +%FT%TZ) event=$2 rank=-1 host=$3 device=\"\" detail=\"$4\"" >>"$1"
}

# Unix seconds at which Slurm ends the job; 0 where it has no limit or cannot be asked.
job_end() {
    local end=${SLURM_JOB_END_TIME:-}
    [ -n "$end" ] || end=$(SLURM_TIME_FORMAT=%s timeout 30 squeue -h -j "$SLURM_JOB_ID" -o %e 2>/dev/null)
    case $end in
    '' | *[!0-9]*) echo 0 ;;
    *) echo "$end" ;;
    esac
}

# Nodes of the job's attempt before this one that are down now, or were started again since: the attempt lost them.
note_failed_nodes() {
    local before nodes since line name state boot last file
    last="job=$SLURM_JOB_ID restart=$((restart - 1)) "
    before=$(grep -s "event=begin $last" "$out/slurm/attempts" | tail -n 1)
    [ -n "$before" ] || return 0
    # Beside what that attempt's ranks noted, where there is any: it explains their silence.
    file=$(grep -ls "event=begin .*\"$last" "$out"/attempts/*-rank0.log | tail -n 1)
    file=${file:-$out/attempts/$begun-rank0.log}
    file=${file%-rank0.log}-batch.log
    nodes=${before##* nodes=}
    since=${before#* unix=}
    since=${since%% *}
    SLURM_TIME_FORMAT=%s timeout 30 scontrol -o show node "$nodes" 2>/dev/null | while read -r line; do
        name=${line#NodeName=}
        name=${name%% *}
        state=${line#* State=}
        state=${state%% *}
        boot=${line#* BootTime=}
        boot=${boot%% *}
        case $boot in '' | *[!0-9]*) boot=0 ;; esac
        case $state in
        DOWN* | FAIL* | ERROR* | *'*'* | *NOT_RESPONDING*) ;;
        *) [ "$boot" -gt "$since" ] || continue ;;
        esac
        note_host "$file" node_failed "$name" "${last}state=$state"
        note_attempt lost_node "host=$name of=$((restart - 1))"
        say "node $name failed during attempt $((restart - 1)) (it is $state)"
    done
}

# Sets nodes: the hosts of the allocation to run on. Hosts that earlier attempts found bad are left out, unless too
# few would remain: then the fault is more likely somewhere else.
choose_nodes() {
    local host why left=() out_of=() reasons=()
    local -A bad
    while IFS=$'\t' read -r host why; do
        bad[${host%%.*}]=$why
    done < <("$slurm_dir/avoid.sh" "$out" "$SLURM_JOB_ID" "$restart")
    mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
    for host in "${nodes[@]}"; do
        if [ -n "${bad[${host%%.*}]:-}" ]; then
            out_of+=("$host")
            reasons+=("${bad[${host%%.*}]}")
        else
            left+=("$host")
        fi
    done
    [ ${#out_of[@]} != 0 ] || return 0
    if ((2 * ${#left[@]} < ${#nodes[@]})); then
        say "${#out_of[@]} of ${#nodes[@]} hosts failed before (${out_of[*]}): leaving them out would leave less than" \
            "half, so all are used; look at what they have in common (storage? driver?): $out/attempts"
        return 0
    fi
    for i in "${!out_of[@]}"; do
        note_host "$out/attempts/$begun-batch.log" host_left_out "${out_of[i]}" "job=$SLURM_JOB_ID restart=$restart why=${reasons[i]}"
        say "host ${out_of[i]} is left out: ${reasons[i]}"
    done
    nodes=("${left[@]}")
}

# Sets launcher to srun or mpirun.
choose_launcher() {
    [ "$launcher" = auto ] || return 0
    if srun --mpi=list 2>&1 | grep -qw pmix; then
        launcher=srun
    elif command -v mpirun >/dev/null; then
        launcher=mpirun
        say "this srun has no pmix: starting the ranks by mpirun"
    else
        say "this srun has no pmix and there is no mpirun: load an MPI in the modules of site.env"
        return 1
    fi
}

count_cores() {
    lscpu --parse=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l
}

# Sets step: the launch's command line. A rank finds its GPU by its rank on the host among all GPUs of the node, so
# the launcher must not hide any from it (no --gpus-per-task). Ranks fill a node block by block, as GPUs are numbered
# along its sockets, and each has cores of its own for its decoders.
make_step() {
    local host list="" n=$((${#nodes[@]} * ranks_per_node)) bind=()
    if [ "$launcher" = srun ]; then
        # A rank that is killed ends the step through PMIx within seconds. --kill-on-bad-exit=1 would do it for ranks
        # that leave together with exit code 2, 3 or 4 as well, and srun would answer 143 in its place.
        step=(srun --mpi=pmix --nodes="${#nodes[@]}" --ntasks="$n" --ntasks-per-node="$ranks_per_node"
            --nodelist="$(IFS=,; echo "${nodes[*]}")" --cpus-per-task="$cpus_per_rank" --cpu-bind=cores
            --distribution=block:block --kill-on-bad-exit=0 --wait=30)
        [ "$gpus_per_node" = 0 ] || step+=(--gpus-per-node="$gpus_per_node")
        step+=("${EYESORE_SRUN_OPTIONS[@]}")
    else
        for host in "${nodes[@]}"; do list+=${list:+,}$host:$ranks_per_node; done
        bind=(--map-by "ppr:$ranks_per_node:node:PE=$cpus_per_rank" --bind-to core)
        if ((ranks_per_node * cpus_per_rank > $(count_cores))); then # Slurm's CPUs are hardware threads
            bind=(--map-by "ppr:$ranks_per_node:node" --bind-to none)
        fi
        step=(mpirun --host "$list" -n "$n" "${bind[@]}" "${EYESORE_MPIRUN_OPTIONS[@]}")
        # A host that fell silent must not keep the others waiting for TCP's own two hours.
        export OMPI_MCA_oob_tcp_keepalive_time=10 OMPI_MCA_oob_tcp_keepalive_intvl=5 \
            OMPI_MCA_oob_tcp_keepalive_probes=4
    fi
}

# The traps only remember; each counts in n_signals, so that a wait that one of them cut short can be told from the end
# of the step.
on_finish() { # USR1: the time limit is near
    n_signals=$((n_signals + 1))
    finish=1
    [ -z "$step_pid" ] || pass_finish_on
}

on_terminate() { # TERM: preemption, scontrol requeue, scancel, a node lost. Slurm tells the ranks itself.
    n_signals=$((n_signals + 1))
    # Now, since Slurm may kill before the end; but not where it is the answer to our own requeue.
    [ "$terminated$ended" != 00 ] || note_attempt terminated "parts=$(count_parts)"
    terminated=1
}

on_late() { # USR2, from our own timer
    n_signals=$((n_signals + 1))
    late=1
}

# After USR1: pass it on, once, and start the timer, which leaves a quarter of the time for the requeue: a rank that
# does not finish must not carry the job over its limit, where nothing would start it again.
pass_finish_on() {
    local left_s=86400
    if [ "$finish" = 0 ] || [ -n "$timer" ]; then return 0; fi
    [ "$until" = 0 ] || left_s=$((until - $(date +%s)))
    say "asked to finish, $left_s s before the end: the shards in hand are finished, then the job is requeued"
    (sleep $((left_s * 3 / 4 > 1 ? left_s * 3 / 4 : 1)) && kill -USR2 $$) &
    timer=$!
    kill -USR1 "$step_pid" 2>/dev/null
}

# Run the step in the background and wait for it, whatever signals come. Sets code.
run_step() {
    local seen before
    "${step[@]}" "$eyesore" "${scan[@]}" >"$out/slurm/summary.new" &
    step_pid=$!
    pass_finish_on # where the signal came meanwhile
    while :; do
        seen=$n_signals
        before=${code:-}
        wait "$step_pid"
        code=$?
        [ "$code" != 127 ] || [ -z "$before" ] || code=$before # its status was taken by the wait before
        [ "$n_signals" != "$seen" ] || break
        [ "$late" = 0 ] || break
    done
    [ -z "$timer" ] || pkill -P "$timer" 2>/dev/null
    step_pid=
    if [ "$late" = 1 ]; then
        say "the shards in hand are not finished in time: they will be done again"
        code=75
    fi
}

# How many attempts of this job in a row, up to the last one that began, have added no part. One that was preempted had
# no fair chance and is passed over; one that lost a node is not, for who knows why the node went down.
attempts_in_vain() {
    awk -v job="job=$SLURM_JOB_ID" -v now="$(count_parts)" '
        function field(name,   i) {
            for (i = 1; i <= NF; i++) if (index($i, name "=") == 1) return substr($i, length(name) + 2)
        }
        $4 != job { next }
        $3 == "event=begin" { parts[++n] = field("parts"); excused[n] = 0 }
        $3 == "event=terminated" { excused[n] = 1 }
        $3 == "event=lost_node" { excused[n] = 0 }
        END {
            parts[n + 1] = now
            for (i = n; i >= 1; i--) {
                if (parts[i + 1] > parts[i]) break
                if (!excused[i]) vain++
            }
            print vain + 0
        }' "$out/slurm/attempts"
}

# Where too many attempts were in vain, end the script. At the end of an attempt, and at the begin of one, since an
# attempt whose own node went down could not look.
stop_if_in_vain() {
    local vain
    vain=$(attempts_in_vain)
    [ "$vain" -ge "$ATTEMPTS_WITHOUT_PART" ] || return 0
    note_attempt end "code=${code:--} parts=$(count_parts) outcome=no_progress"
    say "STOPPED: $vain attempts in a row have added no part (the last ended with ${code:-a lost node}). The log above and" \
        "$out/attempts say why; mend it, then submit again with the same command"
    exit 1 # not 75, which a site's RequeueExit may take for a wish
}

# Ask Slurm to start the job again, and be ended by it. The controller may be away for a while.
requeue() {
    local try waited name
    name=$(job_name_for_slurm)
    for ((try = 0; try < 60 && terminated == 0; try++)); do
        if timeout 60 scontrol requeue "$name"; then
            for ((waited = 0; waited < 120 && terminated == 0; waited++)); do sleep 1; done
            return 0
        fi
        say "scontrol requeue $name failed: trying again in 10 s"
        sleep 10
    done
    [ "$terminated" = 1 ] ||
        say "the job could not be requeued (its parts are safe): submit it again with the same slurm/submit command"
}

# What the exit code means for the job; ends the script.
conclude() {
    ended=1
    if [ "$terminated" = 1 ] && [ "$code" != 0 ]; then
        # Slurm starts a preempted, requeued or node-less job again by itself, and a cancelled one must stay so.
        note_attempt end "code=$code parts=$(count_parts) outcome=ended_by_slurm"
        say "ended by Slurm (preemption, requeue, a lost node, or scancel) with $(count_parts) parts done"
        exit 143
    fi
    case $code in
    0)
        note_attempt end "code=0 parts=$(count_parts) outcome=done"
        mv "$out/slurm/summary.new" "$out/summary.txt" && cat "$out/summary.txt"
        exit 0
        ;;
    2 | 3 | 4)
        note_attempt end "code=$code parts=$(count_parts) outcome=stopped"
        say "eyesore ended with $code: starting it again would not help. The message above says what to do; then submit" \
            "again with the same command"
        exit "$code"
        ;;
    esac
    stop_if_in_vain
    note_attempt end "code=$code parts=$(count_parts) outcome=requeue"
    say "eyesore ended with $code, $(count_parts) parts done: the job is requeued"
    requeue
    exit 75
}

# What slurm/submit wrote, and the site's settings as this node sees them.
read_command() {
    # shellcheck source=/dev/null
    if ! . "$out/slurm/command"; then
        say "$out/slurm/command cannot be read on $(hostname): is the file system mounted there? Else submit again with" \
            "slurm/submit"
        exit 2
    fi
    # shellcheck source=slurm/site.sh
    . "$slurm_dir/site.sh"
    site_read "$site_env" || exit 2
    launcher=$EYESORE_LAUNCHER
    site_load_modules
}

# attempt_run OUT: one attempt of the sweep in OUT, in the allocation that this runs in.
attempt_run() {
    out=$1
    finish=0 terminated=0 ended=0 late=0 n_signals=0 code='' step_pid='' timer=''
    trap on_finish USR1
    trap on_terminate TERM
    trap on_late USR2
    restart=${SLURM_RESTART_COUNT:-0}
    begun=$(date -u +%Y%m%dT%H%M%SZ)
    read_command
    if [ "$restart" != 0 ]; then
        note_failed_nodes
        stop_if_in_vain
    fi
    choose_nodes
    note_attempt begin "parts=$(count_parts) nodes=$SLURM_JOB_NODELIST"
    until=$(job_end)
    export EYESORE_JOB_END=$until
    if ! choose_launcher; then
        code=1
        conclude
    fi
    make_step
    say "job $(job_name_for_slurm), attempt $restart: $(count_parts) parts done before, ${#nodes[@]} nodes," \
        "$ranks_per_node ranks a node: ${step[*]}"
    [ "$finish$terminated" != 00 ] || run_step
    [ -n "$code" ] || code=75
    conclude
}
