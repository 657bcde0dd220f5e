# Which cluster is meant, where its files are, what of it runs, how it is.
# Only looks; never changes anything.
# shellcheck shell=bash disable=SC2034 # the constants are for the other files

NODE=local
# Who impersonates the service accounts of operators under test, and is known by that to the audit log.
OPERATORS=operators
SERVICE_CIDR=10.96.0.0/16
SERVICE_ADDRESS=10.96.0.1
DNS_ADDRESS=10.96.0.10
POD_CIDR=10.88.0.0/16

# use_state NAME: sets STATE (the folder) and ID (unique on this machine).
use_state() {
  CLUSTER_NAME=$1
  [[ $CLUSTER_NAME =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]] ||
    misuse "\"$CLUSTER_NAME\" is no name for a cluster: use small letters, digits and dashes"
  case $CLUSTER_NAME in
    debug | release | doc | package | tmp) misuse "target/$CLUSTER_NAME belongs to cargo: choose another name" ;;
  esac
  mkdir -p "$REPO/target"
  STATE=$(realpath "$REPO/target")/$CLUSTER_NAME
  ID=task-manager-$(sha256sum <<<"$STATE" | cut -c1-10)
}

# The cluster's own kubectl, whatever the user has set up for another one.
kubectl() {
  env NO_PROXY='*' KUBERC=off KUBECACHEDIR="$STATE/run/kubectl-cache" \
    "$STATE/bin/kubectl" "--kubeconfig=$STATE/kubeconfig" --request-timeout=5s "$@"
}

# The processes that hold this cluster together: lib/supervise.sh and, for a full
# node, the "unshare" around it. They are known by their arguments, so they are
# found even when every file of the state is lost.
supervisors() {
  local file
  while read -r file; do
    grep -qz '/lib/supervise\.sh$' "$file" 2>/dev/null || continue
    file=${file#/proc/}
    ! pid_running "${file%/cmdline}" || echo "${file%/cmdline}"
  done < <(grep -lzFx -- "$STATE" /proc/[0-9]*/cmdline 2>/dev/null)
}

# The end of the name of a host interface that belongs to this cluster.
interfaces() {
  command -v ip >/dev/null || return 0
  local link
  for link in /sys/class/net/tm[0-9]*; do
    [[ -e $link/ifalias && $(<"$link/ifalias") == "$STATE" ]] && echo "${link##*/}"
  done
  return 0
}

# The control groups of this cluster, in every hierarchy.
cgroups() {
  local folder
  for folder in "/sys/fs/cgroup/$ID" /sys/fs/cgroup/*/"$ID"; do
    [[ ! -d $folder || -L ${folder%/*} ]] || echo "$folder"
  done
}

state_value() { cat "$STATE/run/$1" 2>/dev/null || true; }

api_ready() { [[ $(kubectl get --raw /readyz 2>/dev/null) == ok ]]; }

node_ready() {
  [[ $(kubectl get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}

dns_ready() { http_ok "$(state_value address)" 8181 /ready; }
proxy_ready() { http_ok "$(state_value address)" 10256 /healthz; }

# Says in one sentence what is wrong with the cluster, or nothing and true.
ailment() {
  if [[ -z $(supervisors) ]]; then
    if [[ -d $STATE/run || -n $(interfaces)$(cgroups) ]]; then
      echo "not running, but remains of it are left"
    else
      echo "not running"
    fi
    return 1
  fi
  local part
  local -A check=([kube-apiserver]=api_ready)
  [[ $(state_value mode) != full ]] || check+=([kubelet]=node_ready [coredns]=dns_ready [kube-proxy]=proxy_ready)
  [[ " $(state_value with) " != *" kwok "* ]] || check+=([kwok]=fake_nodes_ready)
  for part in kube-apiserver kubelet coredns kube-proxy kwok; do
    [[ -n ${check[$part]:-} ]] || continue
    "${check[$part]}" || { echo "half-dead: $part is not ready (log: $STATE/log/$part.log)"; return 1; }
  done
}

status_command() {
  local wrong
  if wrong=$(ailment); then
    say "The cluster \"$CLUSTER_NAME\" is healthy ($(describe_mode))."
    say "export KUBECONFIG=$STATE/kubeconfig"
  else
    say "The cluster \"$CLUSTER_NAME\" is $wrong."
    return 1
  fi
}

describe_mode() {
  local with what
  with=$(state_value with)
  case $(state_value mode) in
    full) what="a full node" ;;
    *) what="etcd and the API server ${with:+with }${with:-only}" ;;
  esac
  echo "$what, Kubernetes $(state_value kubernetes)"
}
