# shellcheck shell=bash disable=SC2034,SC2154
# The cases: what happens to a sweep on the virtual cluster. Each is a function case_NAME with $out, a folder that is
# not there yet, and ends only when the job is COMPLETED with the undisturbed sweep.h5, or, where it must not, when
# that is seen.

slow=(--null-speed 3) # GMAC/s of a worker; MobileNetV2 is 0.3: about 15 seconds for all on 8 ranks

case_run() {
    submit_sweep "$out" -- --null-speed 20
    completed "$job" "$out"
    [ "$(restarts "$job")" = 0 ] || fail "it was restarted"
}

# As before the time limit: Slurm signals the batch script alone.
case_usr1() {
    submit_sweep "$out" -- "${slow[@]}"
    wait_parts "$out" 5
    scancel --batch --signal=USR1 "$job"
    completed "$job" "$out"
    [ "$(restarts "$job")" = 1 ] || fail "it was restarted $(restarts "$job") times, expected 1"
    grep -q "event=end job=$job restart=0 code=75 .*outcome=requeue" "$out/slurm/attempts" ||
        fail "the ranks did not end with 75"
}
