#!/bin/sh
# A Slurm cluster of one node, this computer, that listens on loopback only. For tests; Debian: slurm-wlm and munge.
#
#   Testing/cluster/slurm.sh start FOLDER      everything of the cluster lies in FOLDER; runs as root
#   export SLURM_CONF=FOLDER/slurm.conf        then sbatch, squeue and scancel speak to it
#   Testing/cluster/slurm.sh stop FOLDER
set -eu
[ $# = 2 ] || { sed -n '2,6p' "$0"; exit 2; }
mkdir -p "$2"
folder=$(cd "$2" && pwd)
export SLURM_CONF="$folder/slurm.conf"
PATH="$PATH:/usr/sbin:/sbin"

stop() {
    for daemon in slurmd slurmctld munged; do
        file="$folder/$daemon.pid"
        if [ -s "$file" ]; then
            pid=$(cat "$file")
            kill "$pid" 2>/dev/null || true
            for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
            kill -9 "$pid" 2>/dev/null || true
            rm -f "$file"
        fi
    done
}

configure() {
    # config_overrides: the file, not the computer, tells the number of processors. cred_expire: a requeued job waits
    # as long as a credential holds before it starts again. The timeouts leave a busy computer time to answer.
    cat >"$SLURM_CONF" <<END
ClusterName=ttt4d
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$1
SlurmdPort=$(($1 + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=60
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=15
MessageTimeout=100
TCPTimeout=60
BatchStartTimeout=300
SlurmdTimeout=900
SchedulerParameters=sched_interval=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=${TTT4D_SLURM_CPUS:-2} State=UNKNOWN
PartitionName=main Nodes=$(hostname -s) Default=YES MaxTime=INFINITE State=UP
END
}

start() {
    [ "$(id -u)" = 0 ] || { echo "The cluster of one node runs as root." >&2; exit 2; }
    command -v munged slurmctld slurmd >/dev/null || { echo "Slurm is not installed: slurm-wlm and munge." >&2; exit 2; }
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    configure "${TTT4D_SLURM_PORT:-16817}"
    dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2>/dev/null
    chmod 600 "$folder/munge.key"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    slurmctld
    slurmd
    for _ in $(seq 3000); do
        case "$(sinfo -h -o %T 2>/dev/null || true)" in idle*|mixed*) echo "$SLURM_CONF"; return ;; esac
        sleep 0.2
    done
    echo "The node does not come up:" >&2
    tail -n 20 "$folder"/*.log >&2
    stop
    exit 1
}

case "$1" in
    start) start ;;
    stop) stop ;;
    *) sed -n '2,6p' "$0"; exit 2 ;;
esac
