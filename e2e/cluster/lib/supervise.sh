#!/usr/bin/env bash
# supervise.sh STATE MODE: holds one cluster together. Starts the parts that
# are written in STATE/parts and starts again each one that ends. For a full node
# it is process 1 of the node's namespaces: with it ends everything of the node.
#
# Started by "cluster up" alone. Never touches anything outside STATE and, for a
# full node, outside its own namespaces.
set -u

note() { printf '%(%FT%T)T %s\n' -1 "$*"; }

give_up() {
  note "$*"
  exit 1
}

# The node's own view of the file system: /run, /var/lib and /var/log are private,
# the state is /run/c and the programs are /run/bin (short paths, because those of
# sockets are limited to 107 bytes).
enter_node() {
  local state=$1 run=$1/run/root setting program
  set -e
  mount --make-rprivate /
  mkdir -p "$run"
  mount -t tmpfs -o mode=755 node "$run"
  mkdir "$run/c" "$run/bin" "$run/sysctl" "$run/lock"
  mount --bind "$state" "$run/c"
  # Each for itself: they are links to wherever the cache is, which may be hidden from here on.
  for program in "$state"/bin/*; do
    : >"$run/bin/${program##*/}"
    mount --bind "$(readlink -f "$program")" "$run/bin/${program##*/}"
  done
  mount --no-mtab --move "$run" /run
  mount -t tmpfs -o mode=755 node /var/lib
  mount -t tmpfs -o mode=755 node /var/log
  cd /run

  # The kubelet insists on these settings, which are the whole machine's: let it
  # see and write copies.
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    [[ -e /proc/sys/${setting%=*} ]] || continue
    mkdir -p "/run/sysctl/${setting%/*}"
    echo "${setting#*=}" >"/run/sysctl/${setting%=*}"
    mount --bind "/run/sysctl/${setting%=*}" "/proc/sys/${setting%=*}"
  done
  mount --make-rshared /
  echo local >/proc/sys/kernel/hostname
  set +e
}

# The network of the node, once "cluster up" has put eth0 into its namespace.
connect_node() {
  local address gateway pods
  read -r address gateway pods <run/network
  set -e
  ip link set lo up
  ip address add "$address/30" dev eth0
  ip link set eth0 up
  ip route add default via "$gateway"
  echo 1 >/proc/sys/net/ipv4/ip_forward
  [[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
  # This machine knows nothing of the pods' addresses.
  nft -f - <<TEXT
table ip outward {
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr $pods ip daddr != $pods masquerade
  }
}
TEXT
  set +e
}

# start_part NAME DELAY: starts a part, unless it is held: then as soon as it is not any more.
start_part() {
  # A part dies with this process, even when this one is killed outright.
  (
    sleep "$2"
    while [[ -e run/held/$1 ]]; do sleep 0.1; done
    exec setpriv --pdeathsig KILL sh "parts/$1"
  ) >>"log/$1.log" 2>&1 </dev/null &
  name_of[$!]=$1
  echo $! >"run/$1.pid"
}

main() {
  local state=$1 mode=$2 tries pid name status
  local -A name_of=()
  if [[ $mode == full ]]; then
    enter_node "$state" || give_up "the node's namespaces could not be furnished"
    state=/run/c
  fi
  cd "$state" || exit 1
  : >run/entered

  for ((tries = 600; tries > 0; tries--)); do
    [[ ! -e run/go ]] || break
    sleep 0.05
  done
  ((tries)) || give_up "waited 30 seconds in vain for the rest of the preparations"
  if [[ $mode == full ]]; then
    connect_node || give_up "the node's network could not be set up"
  fi

  for name in parts/*; do
    start_part "${name#parts/}" 0
  done
  note "started: ${name_of[*]}"
  while true; do
    wait -n -p pid
    status=$?
    [[ -n ${pid:-} && -n ${name_of[$pid]:-} ]] || continue
    name=${name_of[$pid]}
    unset "name_of[$pid]"
    note "$name ended with status $status; starting it again in a second"
    echo "$name $status" >>run/ends
    start_part "$name" 1
  done
}

main "$@"
exit
