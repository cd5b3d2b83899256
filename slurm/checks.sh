# shellcheck shell=bash disable=SC2154 # what slurm/submit read from its arguments
# What slurm/submit checks before a job waits a night for its nodes only to fail: check_all. Every check that finds
# something says so; the first group that found anything ends it.

n_faults=0

fault() {
    echo "submit: $*" >&2
    n_faults=$((n_faults + 1))
}

warn() {
    echo "submit: warning: $*" >&2
}

stop_at_faults() {
    [ "$n_faults" = 0 ] || refuse "nothing was submitted: see to the $n_faults faults above"
}

# A time of Slurm's (M, M:S, H:M:S, D-H, D-H:M, D-H:M:S) in seconds; 0: unlimited; nothing where it is none.
seconds_of() {
    local days=0 rest=$1 parts h=0 m=0 s=0
    case $1 in UNLIMITED | unlimited | infinite | INFINITE) echo 0 && return 0 ;; esac
    [[ $1 =~ ^([0-9]+-)?[0-9]+(:[0-9]+){0,2}$ ]] || return 0
    if [[ $1 == *-* ]]; then
        days=${1%%-*}
        rest=${1#*-}
        IFS=: read -r h m s <<<"$rest"
    else
        IFS=: read -ra parts <<<"$rest"
        case ${#parts[@]} in
        1) m=${parts[0]} ;;
        2) m=${parts[0]} s=${parts[1]} ;;
        3) h=${parts[0]} m=${parts[1]} s=${parts[2]} ;;
        esac
    fi
    echo $((10#$days * 86400 + 10#${h:-0} * 3600 + 10#${m:-0} * 60 + 10#${s:-0}))
}

check_tools() {
    local tool
    for tool in sbatch sinfo squeue scontrol srun; do
        command -v "$tool" >/dev/null || refuse "no $tool here: run this on a login node of the cluster"
    done
    [ -x "$eyesore" ] || refuse "$eyesore is not there or no program: build it (make build), or set EYESORE_BIN in site.env"
    "$eyesore" version >/dev/null || refuse "$eyesore does not run here (above): are the MODULES in site.env right?"
    timeout 60 sinfo -h >/dev/null || refuse "the Slurm controller does not answer (above)"
}

# The weights' files among the scan's options, a line each.
weights_of_options() {
    local i value
    for i in "${!scan_options[@]}"; do
        case ${scan_options[i]} in
        --stage) value=${scan_options[i + 1]:-} ;;
        --stage=*) value=${scan_options[i]#--stage=} ;;
        *) continue ;;
        esac
        value=${value#*=}
        echo "${value%@*}"
    done
}

check_weights() {
    local file said
    while IFS= read -r file; do
        said=$("$eyesore" weights check "$file" 2>&1) || fault "$said"
    done < <(weights_of_options)
    [ -n "$(weights_of_options)" ] || has_scan_option --config ||
        fault "no stage is given: behind --, --stage NAME=FILE@THRESHOLD for each network, or --config FILE with them"
}

check_manifests() {
    local input
    for input in "${inputs[@]}"; do
        if [ ! -f "$input" ]; then
            fault "manifest $input: no such file"
        elif [ ! -r "$input" ]; then
            fault "manifest $input: cannot be read by $(id -un)"
        elif [ ! -s "$input" ]; then
            fault "manifest $input: it is empty"
        fi
    done
}

# All options as eyesore itself understands them, on the first rows of a manifest. The manifest's other rows are
# checked when the sweep begins.
check_options() {
    local scratch said input
    scratch=$(mktemp -d)
    for input in "${inputs[@]}"; do
        said=$(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 300 "$eyesore" scan --manifest "$input" \
            "${scan_options[@]}" --dry-run --limit 1000 --out "$scratch/out" --log-level error 2>&1 >/dev/null) ||
            fault "eyesore would refuse $input: $(grep -a error <<<"$said" || echo "$said")"
        rm -rf "$scratch/out"
    done
    rm -rf "$scratch"
}

# Is a job for this folder pending or running? Those submitted here are known, and the one that sweeps holds the lock.
check_free() {
    local folder id
    for folder in "${folders[@]}"; do
        while read -r id; do
            [ -n "$(timeout 60 squeue -h -j "$id" -o %T 2>/dev/null)" ] || continue
            fault "$folder is being swept, or about to be, by job $id: wait for it, or scancel $id first"
            break
        done < <({
            cat "$folder/slurm/jobs" 2>/dev/null
            grep -o 'job=[0-9_]*' "$folder/lock" 2>/dev/null | sed 's/job=//'
        } | grep . | sort -u)
    done
}

check_out() {
    local folder
    for folder in "${folders[@]}"; do
        if ! mkdir -p "$folder/slurm" 2>/dev/null || [ ! -w "$folder" ]; then
            fault "--out: $folder cannot be made, or written to, by $(id -un)"
        fi
    done
}

# Sets rows and row_bytes (of a row of sweep.h5) of a manifest, from its size and first lines: estimates.
estimate_rows() {
    local size lines head_size columns stages i
    size=$(stat -L -c %s "$1")
    head_size=$((size < 16777216 ? size : 16777216))
    lines=$(head -c "$head_size" "$1" | wc -l)
    rows=$((lines > 0 ? size * lines / head_size : 1))
    for i in "${!scan_options[@]}"; do
        case ${scan_options[i]} in
        --limit=*) rows=${scan_options[i]#*=} ;;
        --limit) rows=${scan_options[i + 1]} ;;
        esac
    done
    columns=$(head -n 1 "$1" | tr '\t' ',' | tr -cd , | wc -c)
    stages=$(weights_of_options | wc -l)
    # An id of 128 bytes, about 32 of numbers, the uri (no more than a line), 64 a carried column, a score a stage.
    row_bytes=$((160 + head_size / (lines > 0 ? lines : 1) + 64 * (columns > 1 ? columns - 1 : 0) + 4 * stages))
    if has_scan_option --heatmaps; then row_bytes=$((row_bytes + 100 * stages)); fi
}

# Parts and sweep.h5 hold every row once each.
check_space() {
    local input need=0 inodes=0 free free_inodes rows row_bytes shard_rows=1000 i
    for i in "${!scan_options[@]}"; do
        case ${scan_options[i]} in
        --shard-rows=*) shard_rows=${scan_options[i]#*=} ;;
        --shard-rows) shard_rows=${scan_options[i + 1]} ;;
        esac
    done
    is_count "$shard_rows" || shard_rows=1000
    for input in "${inputs[@]}"; do
        estimate_rows "$input"
        need=$((need + 2 * rows * row_bytes + (rows / shard_rows + 1) * 40000))
        inodes=$((inodes + rows / shard_rows + 100))
    done
    free=$(df --output=avail -B1 "$out" | tail -n 1)
    free_inodes=$(df --output=iavail "$out" | tail -n 1)
    if [ "$need" -gt "$free" ]; then
        fault "the results need about $((need / 1000000 + 1)) MB, $out has $((free / 1000000)) MB free"
    fi
    case ${free_inodes// /} in
    '' | - | 0) ;; # a file system without a fixed number
    *) [ "$inodes" -le "$free_inodes" ] ||
        fault "the parts are about $inodes files, $out has room for $free_inodes: raise --shard-rows" ;;
    esac
}

# The nodes of the partition, a line each: NAME CPUS SOCKETS GPUS STATE.
list_nodes() {
    timeout 60 sinfo -h -N ${partition:+-p "$partition"} -o '%N|%c|%X|%G|%T' | sort -u | awk -F'|' '{
        gpus = 0
        n = split($4, gres, ",")
        for (i = 1; i <= n; i++) {
            if (gres[i] !~ /^gpu[:(]/ && gres[i] != "gpu") continue
            sub(/\(.*/, "", gres[i])
            m = split(gres[i], part, ":")
            gpus += part[m] ~ /^[0-9]+$/ ? part[m] : 1
        }
        print $1, $2, $3, gpus, $5
    }'
}

# column N of the lines that satisfy an awk condition: the least.
least() {
    awk "$2 { print \$$1 }" <<<"$node_list" | sort -n | head -n 1
}

# Completes GPUs, ranks and CPUs from what the nodes have, and compares.
check_geometry() {
    local node_list n_fit n_up need_cpus where="partition ${partition:-(default)}"
    [ -n "$partition" ] || partition=$(timeout 60 sinfo -h -o %P | sed -n 's/\*$//p' | head -n 1)
    where="partition $partition"
    node_list=$(list_nodes)
    [ -n "$node_list" ] || refuse "$where: there is none, or it has no nodes: sinfo lists them"
    if [ "$cpu" = no ]; then
        gpus_per_node=${gpus_per_node:-$(least 4 "\$4 > 0")}
        [ -n "$gpus_per_node" ] ||
            refuse "$where: its nodes have no GPUs (sinfo -o %G): another --partition, or --cpu"
        is_count "$gpus_per_node" || refuse "--gpus-per-node '$gpus_per_node' is not a number of 1 or more"
        ranks_per_node=${ranks_per_node:-$gpus_per_node}
        [ "$ranks_per_node" = "$gpus_per_node" ] || has_scan_option --engine ||
            fault "$ranks_per_node ranks and $gpus_per_node GPUs a node: each rank needs a GPU of its own, and no more"
    else
        ranks_per_node=${ranks_per_node:-$(least 3 1)}
    fi
    if [ -z "$cpus_per_rank" ]; then
        cpus_per_rank=$(($(least 2 "\$4 >= $gpus_per_node && \$2 >= $ranks_per_node" | grep . || echo 0) / ranks_per_node))
        [ "$cpus_per_rank" != 0 ] || cpus_per_rank=1
    fi
    need_cpus=$((ranks_per_node * cpus_per_rank))
    n_fit=$(awk -v g="$gpus_per_node" -v c="$need_cpus" '$4 >= g && $2 >= c' <<<"$node_list" | wc -l)
    n_up=$(awk -v g="$gpus_per_node" -v c="$need_cpus" '$4 >= g && $2 >= c && $5 !~ /^(down|drain|fail|maint)/' \
        <<<"$node_list" | wc -l)
    if [ "$n_fit" -lt "$min_nodes" ]; then
        fault "$where: $n_fit of its nodes have $gpus_per_node GPUs and $need_cpus CPUs ($ranks_per_node ranks of" \
            "$cpus_per_rank); the job needs $min_nodes: fewer --nodes, --gpus-per-node or --cpus-per-rank"
    elif [ "$n_up" -lt "$min_nodes" ]; then
        warn "$where: only $n_up nodes that would do are up now: the job waits until $min_nodes are"
    fi
}

check_time() {
    local limit limit_s
    time_limit_s=$(seconds_of "$time_limit")
    [ -n "$time_limit_s" ] || { fault "--time '$time_limit': give it as sbatch takes it, such as 8:00:00"; return 0; }
    [ "$time_limit_s" != 0 ] || time_limit_s=8640000
    limit=$(timeout 60 sinfo -h -p "$partition" -o %l | head -n 1)
    limit_s=$(seconds_of "$limit")
    if [ "${limit_s:-0}" != 0 ] && [ "$time_limit_s" -gt "$limit_s" ]; then
        fault "--time $time_limit is over the limit of partition $partition, $limit: the sweep may take longer than one" \
            "run, the job is requeued; give --time $limit"
    fi
    [ "$time_limit_s" -ge 60 ] || fault "--time $time_limit is too short: Slurm's clock knows minutes"
}

# What a node says of the same files. Its arguments: eyesore, folders to write to, --, files to read.
# shellcheck disable=SC2016 # the node expands it
node_script='
    "$1" version >/dev/null 2>&1 || echo "$1 does not run: is it on a shared file system, are its libraries there?"
    shift
    while [ "$1" != -- ]; do
        if probe=$(mktemp -p "$1" .probe-XXXXXX 2>/dev/null); then rm -f "$probe"; else echo "$1 cannot be written to"; fi
        shift
    done
    shift
    for file; do [ -r "$file" ] || echo "$file is not there or cannot be read"; done
    echo checked'

check_from_a_node() {
    local said line files=() root i
    [ "$check_from_node" != no ] || return 0
    if [ "$check_from_node" = auto ] && ! timeout 60 sinfo -h -p "$partition" -t idle -o %D | grep -q '[1-9]'; then
        warn "no node is idle: files were not checked from a node (--check-from-node yes waits for one)"
        return 0
    fi
    mapfile -t files < <(weights_of_options)
    for i in "${!scan_options[@]}"; do
        case ${scan_options[i]} in
        --root=*) root=${scan_options[i]#*=} ;;
        --root) root=${scan_options[i + 1]:-} ;;
        --config=*) files+=("${scan_options[i]#*=}") ;;
        --config) files+=("${scan_options[i + 1]:-}") ;;
        esac
    done
    said=$(timeout 120 srun --quiet --nodes=1 --ntasks=1 --time=2 --immediate=30 --job-name=eyesore-check --mpi=none \
        ${partition:+--partition="$partition"} ${account:+--account="$account"} ${qos:+--qos="$qos"} \
        bash -c "$node_script" check "$eyesore" "${folders[@]}" -- "${inputs[@]}" "${files[@]}" ${root:+"$root"} 2>&1) ||
        true
    if ! grep -qx checked <<<"$said"; then
        warn "could not check from a node: ${said:-srun gave no answer within two minutes}"
        return 0
    fi
    while IFS= read -r line; do
        [ "$line" = checked ] || fault "seen from a node: $line"
    done <<<"$said"
}

check_all() {
    check_tools
    check_manifests
    check_weights
    stop_at_faults
    check_options
    check_free
    check_out
    stop_at_faults
    check_space
    check_geometry
    check_time
    stop_at_faults
    check_from_a_node
    stop_at_faults
}
