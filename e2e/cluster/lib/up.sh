# Starts a cluster and waits until it serves; takes it all down again when
# anything fails or the user interrupts. Never starts a second one beside a
# healthy one of the same name.
# shellcheck shell=bash

up_command() {
  local mode=$1 from=$EPOCHREALTIME missing programs files
  if [[ $mode == full ]]; then
    ((EUID == 0)) || fail "a full node needs root (namespaces, mounts, a network interface); \"cluster up --control-plane\" does not."
    mapfile -t missing < <(packages_missing)
    ((${#missing[@]} == 0)) || fail "Debian packages are missing (${missing[*]}): run \"$CLUSTER_HOME/cluster packages\" first."
  else
    type -P openssl >/dev/null || fail "openssl is missing: install the package openssl."
  fi
  mapfile -t programs < <(programs_of "$mode" | xargs -n 1)
  build_programs "${programs[@]}"
  files=$(program_files "${programs[@]}")

  lock_state 180
  if [[ $(state_value mode) == "$mode" && $(state_value with) == "${EXTRAS[*]}" && $(state_value programs) == "$files" ]] && ailment >/dev/null; then
    say "The cluster \"$CLUSTER_NAME\" is up already ($(describe_mode))."
    say "export KUBECONFIG=$STATE/kubeconfig"
    return 0
  fi
  if [[ -d $STATE/run || -n $(supervisors)$(interfaces)$(cgroups) ]]; then
    say "Taking down what is left of an earlier \"$CLUSTER_NAME\" …"
    take_down || fail "the earlier \"$CLUSTER_NAME\" could not be taken down."
  fi

  trap 'abandon' EXIT
  trap 'echo "cluster: interrupted, taking \"$CLUSTER_NAME\" down." >&2; exit 130' INT TERM HUP
  rm -rf "$STATE/log"
  mkdir -p "$STATE"/{log/pods,node,run}
  chmod 700 "$STATE/node"
  link_programs "${programs[@]}"
  echo "$mode" >"$STATE/run/mode"
  echo "${EXTRAS[*]}" >"$STATE/run/with"
  echo "$files" >"$STATE/run/programs"
  module_version "$(module_of kube-apiserver)" >"$STATE/run/kubernetes"

  if [[ $mode == full ]]; then
    start_full
  else
    start_control_plane
  fi
  trap - EXIT INT TERM HUP
  say "The cluster \"$CLUSTER_NAME\" is up after $(seconds_since "$from") s ($(describe_mode))."
  say "export KUBECONFIG=$STATE/kubeconfig"
}

# What happens when "up" ends before its time.
abandon() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  take_down >&2 || true
  exit "$status"
}

start_supervisor() {
  local mode=$1 around=(setsid)
  [[ $mode != full ]] || around+=(unshare --pid --net --mount --uts --ipc --fork --kill-child --mount-proc)
  # Own session, no inherited file, a clean environment: it outlives the terminal
  # and hangs no caller.
  (
    without_inherited_files "${around[@]}" env -i \
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "HOME=$STATE/node" LANG=C.UTF-8 \
      bash "$CLUSTER_HOME/lib/supervise.sh" "$STATE" "$mode"
  ) >"$STATE/log/supervisor.log" 2>&1 </dev/null &
  disown
  await_part supervisor 10 "the supervisor's first sign" test -e "$STATE/run/entered"
}

# await_part PART SECONDS WHAT COMMAND...: waits for COMMAND, and ends all with the
# log of the guilty part when the time is over or when a part keeps ending.
await_part() {
  local part=$1 seconds=$2 what=$3 deadline reason='' ending
  shift 3
  deadline=$((${EPOCHREALTIME/[.,]/} + seconds * 1000000))
  until "$@"; do
    ending=$(awk '++ends[$1] == 3 { print $1; exit }' "$STATE/run/ends" 2>/dev/null) || true
    if [[ -n $ending ]]; then
      part=$ending reason="$ending ended 3 times while \"up\" waited for $what"
    elif ((${EPOCHREALTIME/[.,]/} > deadline)); then
      reason="waited $seconds s in vain for $what"
    elif [[ -e $STATE/run/entered && -z $(supervisors) ]]; then
      part=supervisor reason="the supervisor ended while \"up\" waited for $what"
    fi
    if [[ -n $reason ]]; then
      echo "--- the end of $STATE/log/$part.log:" >&2
      tail -n 15 "$STATE/log/$part.log" >&2 || true
      echo "---" >&2
      fail "$reason."
    fi
    sleep 0.1
  done
}

start_full() {
  local pid index address
  make_cgroups
  start_supervisor full
  pid=$(node_process) || fail "process 1 of the node is not to be found."
  index=$(connect_host "$pid")
  address=10.99.$index.2
  echo "$address" >"$STATE/run/address"
  echo "10.99.$index.1" >"$STATE/host-address"
  echo "$address 10.99.$index.1 $POD_CIDR" >"$STATE/run/network"

  make_pki full "$address" "https://$address:6443"
  mkdir -p "$STATE/node/images"
  make_images "$STATE/node/images"
  write_parts full "$address" 6443 2379 2380 /run/c /run/bin
  : >"$STATE/run/go"

  await_part kube-apiserver 60 "the API server to be ready" api_ready
  : >"$STATE/run/api-ready"
  await_part kube-apiserver 20 "the API server to take the Service of cluster DNS" create_dns
  await_part kubelet 90 "the node to be Ready" node_ready
  await_part coredns 60 "CoreDNS to be ready" dns_ready
  await_part kube-proxy 60 "kube-proxy to be ready" proxy_ready
  await_part kube-controller-manager 60 "the default service account" default_account
}

# Process 1 of the node, as this machine numbers it: the supervisor that is not in
# this machine's network.
node_process() {
  local pid here
  here=$(readlink /proc/self/ns/net)
  for pid in $(supervisors); do
    [[ $(readlink "/proc/$pid/ns/net") == "$here" ]] || { echo "$pid"; return 0; }
  done
  return 1
}

create_dns() {
  [[ -e $STATE/run/dns-created ]] || kubectl apply --validate=false -f "$STATE/config/coredns.yaml" >"$STATE/log/dns-service.log" 2>&1 || return 1
  : >"$STATE/run/dns-created"
}

default_account() { kubectl get serviceaccount default >/dev/null 2>&1; }

# One group for the kubelet's pods in every hierarchy.
make_cgroups() {
  local top folder controller
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    folder=/sys/fs/cgroup/$ID
    mkdir -p "$folder"
    for controller in $(</sys/fs/cgroup/cgroup.controllers); do
      { echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null || true
      { echo "+$controller" >"$folder/cgroup.subtree_control"; } 2>/dev/null || true
    done
    return 0
  fi
  for top in /sys/fs/cgroup/*; do
    [[ -e $top/cgroup.procs && ! -L $top && $top != */unified ]] || continue
    mkdir -p "$top/$ID"
    if [[ -e $top/$ID/cpuset.cpus ]]; then
      cat "$top/cpuset.cpus" >"$top/$ID/cpuset.cpus"
      cat "$top/cpuset.mems" >"$top/$ID/cpuset.mems"
    fi
  done
}

# connect_host PID: a cable between this machine (tmN, 10.99.N.1) and the node's
# network (eth0, 10.99.N.2). Says N. Creating the interface is what claims N.
connect_host() {
  local pid=$1 index
  for ((index = 1; index < 255; index++)); do
    [[ -z $(ip -o -4 route show to root "10.99.$index.0/30") ]] || continue
    ip link add "tm$index" type veth peer name eth0 netns "$pid" 2>/dev/null || continue
    ip link set "tm$index" alias "$STATE"
    ip address add "10.99.$index.1/30" dev "tm$index"
    ip link set "tm$index" up
    echo "$index"
    return 0
  done
  fail "no free interface tm1 … tm254 could be made"
}

start_control_plane() {
  local port etcd peer
  free_ports port etcd peer
  make_pki control-plane 127.0.0.1 "https://127.0.0.1:$port"
  write_parts control-plane 127.0.0.1 "$port" "$etcd" "$peer" "$STATE" "$STATE/bin"
  : >"$STATE/run/go"
  start_supervisor control-plane
  await_part kube-apiserver 60 "the API server to be ready" api_ready
  start_extras
}

# free_ports VARIABLE...: different ports of the loopback on which nobody listens,
# below those the system gives to outgoing connections.
free_ports() {
  local taken=' ' candidate variable socket
  while read -r _ socket _; do
    [[ $socket != *:* ]] || taken+="$((16#${socket##*:})) "
  done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -v local_address)
  for variable; do
    while true; do
      candidate=$((20000 + RANDOM % 12000))
      [[ $taken == *" $candidate "* ]] || break
    done
    taken+="$candidate "
    printf -v "$variable" '%s' "$candidate"
  done
}
