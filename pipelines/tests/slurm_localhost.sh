#!/usr/bin/env bash
# slurm_localhost.sh start|stop FOLDER: a Slurm of one node with two pretended GPUs, for tests alone. Needs root, and
# Debian's slurm-wlm and munge. Memory limits are not enforced in it (no cgroups).
set -euo pipefail
folder=$(realpath -m "$2")
host=$(hostname -s)

if [[ $1 == stop ]]; then
    for daemon in slurmd slurmctld munged; do
        [[ -s $folder/$daemon.pid ]] && kill "$(cat "$folder/$daemon.pid")" || true
    done
    for file in slurm.conf gres.conf; do
        [[ $(readlink "/etc/slurm/$file") == "$folder/$file" ]] && rm -f "/etc/slurm/$file"
    done
    exit 0
fi

# The job-step plugin removes SLURM_CONF from its jobs, so the configuration has to be where Slurm looks for it.
if [[ -e /etc/slurm/slurm.conf ]]; then
    echo "slurm_localhost.sh: this machine has a Slurm configuration already" >&2
    exit 1
fi
mkdir -p "$folder"/{spool,state,log} /etc/slurm
(umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
memory=$(awk '/MemTotal/ { print int($2 / 2048) }' /proc/meminfo)
cat > "$folder/slurm.conf" <<EOF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
EnforcePartLimits=ALL
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=2,batch_sched_delay=1
MinJobAge=3600
KillWait=5
ReturnToService=2
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefMemPerCPU=300 State=UP
EOF
# The files only have to be there.
echo "NodeName=$host Name=gpu File=/dev/tty[10-11]" > "$folder/gres.conf"
ln -s "$folder/slurm.conf" "$folder/gres.conf" /etc/slurm/
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed"
slurmctld -c
slurmd
for _ in $(seq 100); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && exit 0
    sleep 0.2
done
tail "$folder"/log/*.log >&2
exit 1
