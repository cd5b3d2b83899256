# shellcheck shell=bash disable=SC2034 # those who source this use them
# The site's settings, for slurm/submit and for the batch scripts: defaults, then site.env over them.

# site_read FILE: FILE may be empty, for none.
site_read() {
    EYESORE_BIN='' EYESORE_MODULES='' EYESORE_PARTITION='' EYESORE_ACCOUNT='' EYESORE_QOS='' EYESORE_TIME=8:00:00
    EYESORE_CPU_PARTITION='' EYESORE_GPUS_PER_NODE='' EYESORE_RANKS_PER_NODE='' EYESORE_CPUS_PER_RANK=''
    EYESORE_LAUNCHER=auto EYESORE_SBATCH_OPTIONS=() EYESORE_SRUN_OPTIONS=() EYESORE_MPIRUN_OPTIONS=()
    EYESORE_SCAN_OPTIONS=()
    [ -n "$1" ] || return 0
    # shellcheck source=/dev/null
    if ! [ -r "$1" ] || ! . "$1"; then
        echo "slurm: $1 cannot be read on $(hostname), or ends with an error: copy slurm/site.env.example and fill it in" >&2
        return 1
    fi
}

site_load_modules() {
    local module file
    [ -n "$EYESORE_MODULES" ] || return 0
    if ! type module >/dev/null 2>&1; then # a batch shell or cron has no profile
        for file in /etc/profile.d/lmod.sh /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/bash; do
            # shellcheck source=/dev/null
            [ ! -r "$file" ] || . "$file"
        done
    fi
    for module in $EYESORE_MODULES; do
        module load "$module" || echo "slurm: module load $module failed on $(hostname): see EYESORE_MODULES" >&2
    done
}
