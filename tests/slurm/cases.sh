# shellcheck shell=bash disable=SC2034,SC2154,SC2015
# The cases: what happens to a sweep on the virtual cluster. Each is a function case_NAME with $out, a folder that is
# not there yet, and ends only when the job is COMPLETED with the undisturbed sweep.h5, or, where it must not, when
# that is seen.

slow=(--null-speed 3) # GMAC/s of a worker; MobileNetV2 is 0.3: about 15 seconds for all on 8 ranks

case_run() {
    submit_sweep "$out" -- --null-speed 20
    completed "$job" "$out"
    restarted "$job" "$out" 0
}

# As before the time limit: Slurm signals the batch script alone.
case_usr1() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    scancel --batch --signal=USR1 "$job"
    completed "$job" "$out"
    restarted "$job" "$out" 1
    grep -q "event=end job=$job restart=[0-9]* code=75 .*outcome=requeue" "$out/slurm/attempts" ||
        fail "the ranks did not end with 75"
}

# A real limit: the shards in hand are finished before it.
case_limit() {
    # A minute is what Slurm knows; it signals up to a minute early, so two. Four ranks, so that one run is not enough.
    submit_sweep "$out" --time 2 --gpus-per-node 1 -- --null-speed 1
    completed "$job" "$out" 400
    grep -q "event=end job=$job restart=[0-9]* code=75 .*outcome=requeue" "$out/slurm/attempts" ||
        fail "the ranks did not end with 75 before the limit"
}

case_requeue() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    scontrol requeue "$job"
    completed "$job" "$out"
    restarted "$job" "$out" 1
    grep -q "event=end job=$job restart=[0-9]* .*outcome=ended_by_slurm" "$out/slurm/attempts" ||
        fail "the script did not tell that Slurm ended it"
}

case_preempt() {
    local other
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    other=$(sbatch --parsable -p urgent --nodes=4 --exclusive --output=/dev/null --wrap 'sleep 2')
    wait_state "$other" COMPLETED 60
    completed "$job" "$out"
    restarted "$job" "$out" 1
}

# lose_node NODE HOW: power off; HOW told says so to the controller at once.
lose_node() {
    node_crash "$1"
    [ "$2" != told ] || scontrol update nodename="$1" state=down reason="power lost"
}

# A sweep that loses a node in the middle goes on with three.
node_lost() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    lose_node "$1" "$2"
    completed "$job" "$out" 180
    restarted "$job" "$out" 1
    grep -q "event=begin job=$job restart=[1-9] .*nodes=$3" "$out/slurm/attempts" ||
        fail "its second attempt did not run on $3"
    grep -q "event=node_failed rank=-1 host=$1 " "$out"/attempts/*-batch.log || fail "the loss of $1 is not noted"
    cluster_mend
}

case_crash() {
    node_lost n3 told 'n\[1-2,4\]'
}

case_crash_untold() {
    node_lost n3 untold 'n\[1-2,4\]'
}

# The node that the batch script runs on, and rank 0.
case_batch_host() {
    node_lost n1 untold 'n\[2-4\]'
}

# For less than anyone waits: nothing is lost, nothing is started again.
case_cut() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    net_cut n2
    sleep 4
    net_heal n2
    completed "$job" "$out" 180
    restarted "$job" "$out" 0
}

# For good: the ranks on the far side go on for a while, on the same files, beside the second attempt.
case_cut_off() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    net_cut n4
    completed "$job" "$out" 180
    restarted "$job" "$out" 1
    cluster_mend
    same_sweep "$undisturbed" "$out/sweep.h5" 'option\.null-speed' # also after the far side came back
}

# The controller writes its jobs down every five seconds; one that is younger is lost with it, which is Slurm's to mend.
wait_saved() {
    for ((try = 0; try < 100; try++)); do
        [ ! "$cluster/state/job_state" -nt "$out/slurm/attempts" ] || return 0
        sleep 0.1
    done
    fail "the controller has not written its state for 10 s"
}

case_controller() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    wait_saved
    controller_kill
    sleep 3
    controller_start
    completed "$job" "$out" 120
    restarted "$job" "$out" 0
}

# The controller is away just when the script wants to requeue.
case_controller_away() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    wait_saved
    scancel --batch --signal=USR1 "$job"
    controller_kill
    sleep 8
    controller_start
    completed "$job" "$out" 180
    restarted "$job" "$out" 1
}

# Three partners' manifests; one task is requeued on the way, which must not touch the others.
case_array() {
    local audit=$out partner third task i
    mkdir -p "$work/partners" "$audit"
    third=$(($(wc -l <"$manifest") / 3))
    for i in 0 1 2; do
        partner=$work/partners/partner$i.tsv
        { head -n 1 "$manifest" && sed 1d "$manifest" | tail -n +$((i * third + 1)) | head -n "$third"; } >"$partner"
        expect 0 0 scan --manifest "$partner" --out "$work/undisturbed-$i" "${scan[@]}" --progress none
    done
    job=$("$submit" audit --manifests "$work/partners" --out "$audit" --check-from-node no -- "${scan[@]}" \
        "${slow[@]}" 2>"$work/submit.log") || { cat "$work/submit.log" >&2; fail "submit"; }
    wait_parts "$audit/partner2" 2
    out=$audit/partner2
    scancel --batch --signal=USR1 "${job}_3"
    for i in 0 1 2; do
        wait_state "${job}_$((i + 1))" COMPLETED 90
        task=$audit/partner$i
        same_sweep "$work/undisturbed-$i/sweep.h5" "$task/sweep.h5" 'option\.(null-speed|manifest)'
        [ -s "$task/summary.txt" ] || fail "there is no $task/summary.txt"
        restarted "${job}_$((i + 1))" "$task" $((i == 2))
    done
}

# Started by mpirun in the allocation, where srun has no PMIx.
case_mpirun() {
    sed -i 's/^EYESORE_LAUNCHER=.*/EYESORE_LAUNCHER=mpirun/' "$work/site.env"
    export OMPI_MCA_btl_tcp_if_include=eth0
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    scancel --batch --signal=USR1 "$job"
    completed "$job" "$out"
    sed -i 's/^EYESORE_LAUNCHER=.*/EYESORE_LAUNCHER=auto/' "$work/site.env"
    grep -q "mpirun --host" "$out/slurm/job-$job.log" || fail "it was not started by mpirun"
    restarted "$job" "$out" 1
}

# A sweep that cannot get anywhere stops after three attempts, and says so.
case_in_vain() {
    local state
    cat >"$work/killed" <<'SCRIPT'
#!/bin/bash
# What the program looks like on nodes where the kernel kills it for its memory.
if [ "$1" = scan ] && [ -n "${SLURM_PROCID:-}" ] && [ -n "${SLURM_STEP_ID:-}" ]; then kill -9 $$; fi
SCRIPT
    echo "exec ${EYESORE@Q} \"\$@\"" >>"$work/killed"
    chmod +x "$work/killed"
    sed -i "s|^EYESORE_BIN=.*|EYESORE_BIN=$work/killed|" "$work/site.env"
    submit_sweep "$out"
    sed -i "s|^EYESORE_BIN=.*|EYESORE_BIN=${EYESORE@Q}|" "$work/site.env"
    wait_state "$job" FAILED 90
    restarted "$job" "$out" 2
    grep -q "STOPPED: 3 attempts in a row have added no part" "$out/slurm/job-$job.log" || fail "it does not say why"
    # What was in the way is mended: the same command goes on.
    submit_sweep "$out" -- --null-speed 20
    completed "$job" "$out"
}

# Codes that a second attempt cannot mend are the job's own, and nothing is requeued; nor is what the user cancels.
case_final() {
    mkdir -p "$out" && cp -r "$work/undisturbed/plan" "$out" # a sweep begun with other options
    submit_sweep "$out" -- --null-speed 20 --resize 300
    wait_state "$job" FAILED 60
    [ "$(job_field "$job" ExitCode)" = 2:0 ] || fail "exit code $(job_field "$job" ExitCode), expected 2:0"
    grep -q 'eyesore ended with 2: starting it again would not help' "$out/slurm/job-$job.log" || fail "it does not say so"
    restarted "$job" "$out" 0
    out=$out-cancelled
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 3
    scancel "$job"
    wait_state "$job" CANCELLED 30
    sleep 2
    [ "$(job_field "$job" JobState)" = CANCELLED ] || fail "a cancelled job is $(job_field "$job" JobState)"
}

# A host whose GPU failed is left out by the next attempt; a second job for the same folder is refused meanwhile.
case_left_out() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    ! "$submit" sweep --manifest "$manifest" --out "$out" --nodes 4 -- "${scan[@]}" 2>"$work/submit.log" ||
        fail "a second job for the same folder was not refused"
    grep -q "is being swept, or about to be, by job $job" "$work/submit.log" || fail "it does not name job $job"
    mkdir -p "$out/attempts"
    echo 'time=2026-11-25T07:13:42Z event=device_failed rank=2 host=n2 device="GPU 0" detail="sticky error 719"' \
        >>"$out/attempts/20261125T071342Z-rank2.log"
    scancel --batch --signal=USR1 "$job"
    completed "$job" "$out"
    grep -q 'event=host_left_out rank=-1 host=n2 ' "$out"/attempts/*-batch.log || fail "n2 was not left out"
    h5dump -a /run/hosts "$out/sweep.h5" | grep -q '(0): "n1 n3 n4"' || {
        h5dump -a /run/hosts "$out/sweep.h5" >&2
        fail "the second attempt did not run on n1, n3 and n4"
    }
}

# refused TEXT OPTION...: submit with these options says so, and submits nothing.
refused() {
    local text=$1 jobs
    shift
    jobs=$(squeue -h | wc -l)
    ! "$submit" "$@" >"$work/stdout" 2>"$work/submit.log" || fail "submit takes: $*"
    grep -qF -- "$text" "$work/submit.log" || { cat "$work/submit.log" >&2; fail "submit does not say '$text' to: $*"; }
    [ "$(squeue -h | wc -l)" = "$jobs" ] || fail "it submitted something all the same: $*"
}

# What submit checks before a job waits for its nodes.
case_checks() {
    local good=(sweep --manifest "$manifest" --out "$out" --nodes 4 --check-only) weights=$work/weights
    mkdir -p "$weights" "$work/a b"
    cp "$work/a.safetensors" "$work/a b/it's.safetensors"
    head -c 5000 "$work/a.safetensors" >"$weights/cut.safetensors"
    : >"$work/empty.tsv"
    refused "say what to submit"
    refused "unknown option --node" sweep --node 4
    refused "options of eyesore scan stand behind --" sweep --stage x
    refused "--nodes is missing" sweep --manifest "$manifest" --out "$out" -- "${scan[@]}"
    refused "--nodes '4x' is not a number" sweep --manifest "$manifest" --out "$out" --nodes 4x -- "${scan[@]}"
    refused "no such file" sweep --manifest "$work/none.tsv" --out "$out" --nodes 4 -- "${scan[@]}"
    refused "it is empty" sweep --manifest "$work/empty.tsv" --out "$out" --nodes 4 -- "${scan[@]}"
    refused "no stage is given" "${good[@]}"
    refused "cut.safetensors" "${good[@]}" -- --stage "a=$weights/cut.safetensors@0.5"
    refused "did you mean --resize" "${good[@]}" -- "${scan[@]}" --resise 256
    refused "cannot be made" sweep --manifest "$manifest" --out /proc/none --nodes 4 -- "${scan[@]}"
    refused "there is none" "${good[@]}" --partition nowhere -- "${scan[@]}"
    refused "the job needs 6" sweep --manifest "$manifest" --out "$out" --nodes 8 -- "${scan[@]}"
    refused "0 of its nodes have 3 GPUs" "${good[@]}" --gpus-per-node 3 -- "${scan[@]}"
    refused "each rank needs a GPU of its own" "${good[@]}" --ranks-per-node 3 -- --stage "a=$work/a.safetensors@0.5"
    refused "is over the limit of partition pool, 2:00:00" "${good[@]}" --time 1-0 -- "${scan[@]}"
    refused "give it as sbatch takes it" "${good[@]}" --time tomorrow -- "${scan[@]}"
    refused "Slurm would not take the job" "${good[@]}" --sbatch --constraint=no_such_feature -- "${scan[@]}"
    mkdir -p "$work/small" && mount -t tmpfs -o size=1M tmpfs "$work/small"
    refused "MB free" sweep --manifest "$manifest" --out "$work/small/x" --nodes 4 -- "${scan[@]}" --limit 100000000
    umount "$work/small"
    # Seen from a node, where this folder is another.
    mkdir -p "$work/here"
    cp "$manifest" "$work/here/only.tsv"
    for node in n1 n2 n3 n4; do on_node "$node" mount -t tmpfs tmpfs "$work/here"; done
    refused "seen from a node: $work/here/only.tsv is not there" sweep --manifest "$work/here/only.tsv" --out "$out" \
        --nodes 4 -- "${scan[@]}"
    for node in n1 n2 n3 n4; do on_node "$node" umount "$work/here"; done
    "$submit" "${good[@]}" --check-from-node yes -- "${scan[@]}" 2>"$work/submit.log" | grep -q "all checks passed" ||
        fail "submit refuses what is right"
    # Names with blanks and quotes come through all of it: submit, the command file, the job.
    out=$work/a\ b/"it's a sweep"
    job=$("$submit" sweep --manifest="$manifest" --out "$out" --nodes=2 --cpu -- --root "$root" --stage \
        "a=$work/a b/it's.safetensors@0.5" --engine null --precision f32 --order given 2>"$work/submit.log") ||
        { cat "$work/submit.log" >&2; fail "submit"; }
    wait_state "$job" COMPLETED 60
    [ -s "$out/sweep.h5" ] || fail "there is no $out/sweep.h5"
    grep -qF "status $(printf %q "$out")" "$work/submit.log" ||
        { cat "$work/submit.log" >&2; fail "the status command is not quoted"; }
}
