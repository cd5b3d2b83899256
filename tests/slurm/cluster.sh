# shellcheck shell=bash
# A real Slurm of several nodes on one machine; sourced by the tests in this folder.
#
# Everything lives in namespaces of its own: cluster_enter puts the calling script into new network, PID, mount, IPC
# and UTS namespaces, where munged and slurmctld run, and each node is again a set of such namespaces with a real
# slurmd, wired to a bridge. So nothing has to be named uniquely, clusters do not see each other, and when the script
# ends, however it ends, the kernel takes all of it away.
#
#     cluster_enter "$@"       first thing in the script: start it again inside; exits with 77 where that cannot be
#     cluster_start FOLDER     munged, slurmctld, the nodes n1...; returns when all are idle. FOLDER: all its files
#     node_crash n2            power off: every process of the node is gone at once, its network with them
#     node_boot n2             switch it on again
#     net_cut n2, net_heal n2  unplug, plug in
#     on_node n2 COMMAND...    run something there
#     controller_kill, controller_start
#
# Set before cluster_start: CLUSTER_NODES (4), CLUSTER_CPUS (4 a node), CLUSTER_GPUS (2 a node; pretended),
# CLUSTER_NODE_TIMEOUT (10: seconds after which a silent node is down).

CLUSTER_NODES=${CLUSTER_NODES:-4}
CLUSTER_CPUS=${CLUSTER_CPUS:-4}
CLUSTER_GPUS=${CLUSTER_GPUS:-2}
CLUSTER_NODE_TIMEOUT=${CLUSTER_NODE_TIMEOUT:-10}
CLUSTER_NET=10.77.0

cluster_skip() {
    echo "SKIPPED: $*"
    exit 77
}

cluster_enter() {
    local tool
    [ -z "${CLUSTER_INSIDE:-}" ] || return 0
    [ "$(id -u)" = 0 ] || cluster_skip "a virtual cluster needs root (namespaces, slurmd)"
    for tool in slurmctld slurmd sbatch munged ip unshare nsenter; do
        command -v "$tool" >/dev/null || cluster_skip "no $tool: scripts/setup.sh slurm installs what is needed"
    done
    unshare --net --mount --pid --ipc --uts --fork --mount-proc true 2>/dev/null ||
        cluster_skip "this machine lets nobody make namespaces (a container without the right?)"
    unshare --net ip link add name try0 type bridge 2>/dev/null ||
        cluster_skip "this machine has no network bridges"
    CLUSTER_INSIDE=1 exec unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc bash "$0" "$@"
}

cluster_fail() {
    echo "FAILED: the virtual cluster: $*" >&2
    tail -n 5 "$cluster"/log/*.log >&2 2>/dev/null
    exit 1
}

cluster_config() {
    local i gpus=
    [ "$CLUSTER_GPUS" = 0 ] || gpus=" Gres=gpu:$CLUSTER_GPUS"
    cat <<CONF
ClusterName=eyesore
SlurmctldHost=ctl($CLUSTER_NET.254)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is requeued starts again when the credentials of its last run have run out: 121 s unless shortened.
AuthInfo=socket=$cluster/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool.%n
TmpFS=$cluster/tmp.%n
SlurmctldPidFile=$cluster/run/slurmctld.pid
SlurmdPidFile=$cluster/run/slurmd.%n.pid
SlurmctldLogFile=$cluster/log/slurmctld.log
SlurmdLogFile=$cluster/log/%n.log
PlugStackConfig=$cluster/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
${gpus:+GresTypes=gpu}
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=$CLUSTER_NODE_TIMEOUT
InactiveLimit=0
KillWait=5
UnkillableStepTimeout=20
MessageTimeout=10
TCPTimeout=2
BatchStartTimeout=10
MinJobAge=600
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
CONF
    for ((i = 1; i <= CLUSTER_NODES; i++)); do
        echo "NodeName=n$i NodeAddr=$CLUSTER_NET.$i CPUs=$CLUSTER_CPUS Sockets=1 CoresPerSocket=$CLUSTER_CPUS" \
            "ThreadsPerCore=1 RealMemory=4000$gpus State=UNKNOWN"
    done
    echo "PartitionName=pool Nodes=ALL Default=YES PriorityTier=1 MaxTime=2:00:00 State=UP"
    echo "PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=2:00:00 State=UP"
}

# What a node runs as its process 1. Its network card comes from outside.
cluster_node_init() {
    local i=${1#n}
    hostname "$1"
    mount -t tmpfs tmpfs /dev/shm
    until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
    ip link set lo up
    ip link set eth0 up
    ip addr add "$CLUSTER_NET.$i/24" dev eth0
    slurmd -N "$1"
    while :; do
        sleep 3600 &
        wait $! # and reap the orphans
    done
}

node_boot() {
    local i=${1#n} init=
    mkdir -p "$cluster/spool.$1" "$cluster/tmp.$1"
    # shellcheck disable=SC2016 # the node expands it
    unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc \
        bash -c '. "$1"; cluster_node_init "$2"' node "${BASH_SOURCE[0]}" "$1" \
        </dev/null >"$cluster/log/$1.init" 2>&1 &
    disown
    for ((try = 0; try < 200; try++)); do
        init=$(pgrep -P $! || true)
        [ -z "$init" ] || break
        sleep 0.02
    done
    [ -n "$init" ] || cluster_fail "$1 does not start"
    echo "$init" >"$cluster/run/$1.init"
    ip link add name "veth$i" type veth peer name eth0 netns "$init"
    ip link set "veth$i" master br0 up
}

node_crash() {
    kill -9 "$(<"$cluster/run/$1.init")"
    # Its end of the wire goes with the namespace, which the kernel does in its own time.
    while ip link show "veth${1#n}" >/dev/null 2>&1; do sleep 0.02; done
}

net_cut() {
    ip link set "veth${1#n}" down
}

net_heal() {
    ip link set "veth${1#n}" up
}

on_node() {
    local init
    init=$(<"$cluster/run/$1.init")
    shift
    nsenter -t "$init" --net --mount --pid --ipc --uts -- "$@"
}

controller_start() {
    slurmctld || cluster_fail "slurmctld does not start"
}

controller_kill() {
    local pid
    pid=$(<"$cluster/run/slurmctld.pid")
    kill -9 "$pid"
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
}

# cluster_mend: every node up, wired and idle again, whatever a case did to it.
cluster_mend() {
    local i
    for ((i = 1; i <= CLUSTER_NODES; i++)); do
        if ip link show "veth$i" >/dev/null 2>&1; then net_heal "n$i"; else node_boot "n$i"; fi
        case $(sinfo -h -p pool -n "n$i" -o %t) in
        idle) ;;
        *) scontrol update nodename="n$i" state=resume 2>/dev/null || true ;; # it may be up already
        esac
    done
    cluster_wait_idle "$CLUSTER_NODES"
}

# cluster_wait_idle N: until N nodes are idle.
cluster_wait_idle() {
    for ((try = 0; try < 600; try++)); do
        [ "$(sinfo -h -p pool -t idle -o %D 2>/dev/null)" != "$1" ] || return 0
        sleep 0.1
    done
    sinfo -N >&2
    cluster_fail "not all of its $1 nodes are idle after a minute"
}

cluster_start() {
    local i gpu
    cluster=$1
    export SLURM_CONF=$cluster/slurm.conf
    mkdir -p "$cluster"/{state,log,run,munge}
    chmod 755 "$cluster" "$cluster/munge"
    mount -t tmpfs tmpfs /dev/shm
    hostname ctl
    ip link set lo up
    ip link add name br0 type bridge
    ip addr add "$CLUSTER_NET.254/24" dev br0
    ip link set br0 up
    { echo "127.0.0.1 localhost" && echo "$CLUSTER_NET.254 ctl"; } >"$cluster/hosts"
    for ((i = 1; i <= CLUSTER_NODES; i++)); do echo "$CLUSTER_NET.$i n$i"; done >>"$cluster/hosts"
    mount --bind "$cluster/hosts" /etc/hosts
    head -c 128 /dev/urandom >"$cluster/munge/key"
    chmod 600 "$cluster/munge/key"
    munged --force --key-file="$cluster/munge/key" --socket="$cluster/munge/socket" --pid-file="$cluster/munge/pid" \
        --log-file="$cluster/munge/log" --seed-file="$cluster/munge/seed" --num-threads=2 ||
        cluster_fail "munged does not start"
    cluster_config >"$SLURM_CONF"
    : >"$cluster/plugstack.conf"
    for ((gpu = 0; gpu < CLUSTER_GPUS; gpu++)); do
        mknod "$cluster/gpu$gpu" c 1 3 || cluster_skip "this machine lets nobody make device files"
    done
    for ((i = 1; i <= CLUSTER_NODES && CLUSTER_GPUS > 0; i++)); do
        echo "NodeName=n$i Name=gpu File=$cluster/gpu[0-$((CLUSTER_GPUS - 1))]"
    done >"$cluster/gres.conf"
    controller_start
    for ((i = 1; i <= CLUSTER_NODES; i++)); do node_boot "n$i"; done
    cluster_wait_idle "$CLUSTER_NODES"
}
