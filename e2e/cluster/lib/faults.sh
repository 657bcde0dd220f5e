# Takes parts of a running cluster away and brings them back, for tests of what follows. Only ever touches the
# parts of this cluster, and never its supervisor.
# shellcheck shell=bash

# These have their own memory of what etcd held, and must not go on with it after a restore.
REMEMBERING=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns)

# stop_command PART: ends a part at once and keeps it ended.
stop_command() {
  require_part "$1"
  hold_part "$1"
  say "Stopped $1 of the cluster \"$CLUSTER_NAME\"; \"start $1\" brings it back."
}

# freeze_command PART: it keeps its connections and answers nobody.
freeze_command() {
  require_part "$1"
  signal_part "$1" STOP
  say "Froze $1 of the cluster \"$CLUSTER_NAME\"; \"start $1\" thaws it."
}

# start_command PART: brings back what was stopped, and thaws what was frozen.
start_command() {
  require_part "$1"
  release_part "$1"
  signal_part "$1" CONT
  say "Started $1 of the cluster \"$CLUSTER_NAME\"."
}

# snapshot_command: keeps what etcd holds now; a copy of the data of a process that stands still is one that this
# process could be started with after a crash.
snapshot_command() {
  require_part etcd
  rm -rf "$STATE/node/snapshot" "$STATE/node/snapshot.new"
  signal_part etcd STOP
  cp -a "$STATE/node/etcd" "$STATE/node/snapshot.new" || { signal_part etcd CONT; fail "the data of etcd could not be copied."; }
  signal_part etcd CONT
  mv "$STATE/node/snapshot.new" "$STATE/node/snapshot"
  say "Kept what etcd of the cluster \"$CLUSTER_NAME\" holds; \"restore\" brings it back."
}

# restore_command: brings etcd back to the last snapshot, as an administrator does after a disaster: all parts that
# remember something of what came after it are started anew.
restore_command() {
  local part there=()
  require_part etcd
  [[ -d $STATE/node/snapshot ]] || fail "there is no snapshot of \"$CLUSTER_NAME\": run \"snapshot\" first."
  for part in "${REMEMBERING[@]}"; do
    [[ ! -e $STATE/parts/$part ]] || there+=("$part")
  done
  for part in "${there[@]}" etcd; do hold_part "$part"; done
  rm -rf "$STATE/node/etcd"
  cp -a "$STATE/node/snapshot" "$STATE/node/etcd"
  for part in etcd kube-apiserver; do release_part "$part"; done
  wait_until 60 api_ready || fail "waited 60 s in vain for the API server to be ready after the restore."
  for part in "${there[@]}"; do release_part "$part"; done
  say "Restored the last snapshot of the cluster \"$CLUSTER_NAME\"."
}

# connect_command PID: two cables for a process in a network of its own. Both go when that network does, with its last
# process.
connect_command() {
  local node index address
  [[ $1 =~ ^[0-9]+$ && $(readlink "/proc/$1/ns/net") != $(readlink /proc/self/ns/net) ]] ||
    misuse "which process? one that has a network of its own"
  node=$(node_process) || fail "\"$CLUSTER_NAME\" is no full node that runs."
  address=$(state_value address)
  index=$(connect_host "$1")
  ip link add "op$index" netns "$node" type veth peer name api netns "$1"
  nsenter --target "$node" --net ip address add "10.98.$index.1/30" dev "op$index"
  nsenter --target "$node" --net ip link set "op$index" up
  nsenter --target "$1" --net sh -ec "
    ip link set lo up
    ip address add 10.99.$index.2/30 dev eth0
    ip link set eth0 up
    ip address add 10.98.$index.2/30 dev api
    ip link set api up
    ip route add $address via 10.98.$index.1"
  echo "10.99.$index.2"
}

require_part() {
  [[ -n $1 ]] || misuse "which part? one of the names in $STATE/parts"
  [[ -e $STATE/parts/$1 && -n $(supervisors) ]] || fail "\"$CLUSTER_NAME\" has no part \"$1\", or does not run."
  lock_state 60
}

# Ends a part; the supervisor starts it again only when it is released.
hold_part() {
  local before
  mkdir -p "$STATE/run/held"
  : >"$STATE/run/held/$1"
  before=$(part_pid "$1")
  signal_part "$1" KILL
  wait_until 10 has_another_pid "$1" "$before" || fail "$1 does not end."
}

release_part() { rm -f "$STATE/run/held/$1"; }

part_pid() { state_value "$1.pid"; }

has_another_pid() { [[ $(part_pid "$1") != "$2" ]]; }

# signal_part PART SIGNAL. The parts of a full node are numbered in a process namespace of their own.
signal_part() {
  local around=() first
  if [[ $(state_value mode) == full ]]; then
    first=$(first_process) || fail "process 1 of the node is not to be found."
    around=(nsenter --target "$first" --pid)
  fi
  "${around[@]}" sh -c "kill -s $2 $(part_pid "$1")" || fail "$1 could not be sent the signal $2."
}

# Process 1 of the node's process namespace, as this machine numbers it.
first_process() {
  local pid here
  here=$(readlink /proc/self/ns/pid)
  for pid in $(supervisors); do
    [[ $(readlink "/proc/$pid/ns/pid") == "$here" ]] || { echo "$pid"; return 0; }
  done
  return 1
}
