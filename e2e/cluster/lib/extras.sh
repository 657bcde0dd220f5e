# What "--with" adds to a bare control plane: controller-manager, scheduler, and fake
# nodes (kwok) on which a Job's pod runs and succeeds at once. With these three,
# thousands of Jobs run on a small machine: for measuring, not for trying things.
# Kueue is there to measure beside.
# shellcheck shell=bash

EXTRAS=() # those asked for, always in this order:
KNOWN_EXTRAS=(kcm scheduler kwok kueue)
declare -A PROGRAM_OF=([kcm]=kube-controller-manager [scheduler]=kube-scheduler [kwok]=kwok [kueue]=kueue)
FAKE_NODES=4

# use_extras LIST...: sets EXTRAS from comma-separated lists.
use_extras() {
  local asked extra
  asked=,$(IFS=,; echo "$*"),
  for extra in "${KNOWN_EXTRAS[@]}"; do
    [[ $asked != *,$extra,* ]] || EXTRAS+=("$extra")
    asked=${asked//,$extra,/,,}
  done
  asked=${asked//,/ }
  [[ -z ${asked// /} ]] || misuse "\"--with\" knows kcm, scheduler, kwok and kueue, not: $(xargs <<<"$asked")"
}

has_extra() { [[ " ${EXTRAS[*]} " == *" $1 "* ]]; }

extra_programs() {
  local extra
  for extra in "${EXTRAS[@]}"; do
    echo "${PROGRAM_OF[$extra]}"
  done
}

write_extra_parts() {
  ! has_extra kcm || part_controller_manager
  ! has_extra scheduler || part_scheduler
  ! has_extra kwok || part_kwok
  ! has_extra kueue || part_kueue
}

# kwok sets every option that its configuration does not name to 0: fake-pods.yaml names all that matter.
part_kwok() {
  cp "$CLUSTER_HOME/fake-pods.yaml" "$STATE/config/kwok.yaml"
  part kwok <<TEXT
await $here/run/api-ready
exec $bin/kwok \\
  --kubeconfig=$here/pki/kwok.kubeconfig \\
  --config=$here/config/kwok.yaml \\
  --v=WARN
TEXT
}

# Four nodes that have room for whatever a measurement may ask for.
create_fake_nodes() {
  local number
  for ((number = 0; number < FAKE_NODES; number++)); do
    cat <<TEXT
---
apiVersion: v1
kind: Node
metadata:
  name: fake-$number
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: fake-$number}
status:
  allocatable: {cpu: 100k, memory: 1000Ti, pods: 100k}
  capacity: {cpu: 100k, memory: 1000Ti, pods: 100k}
TEXT
  done | kubectl apply --server-side --validate=false -f - >"$STATE/log/nodes.log" 2>&1
}

fake_nodes_ready() {
  local ready
  ready=$(kubectl get nodes -o 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) || return 1
  [[ $(grep -o True <<<"$ready" | wc -l) == "$FAKE_NODES" ]]
}

# Lets the extras begin, once the API server serves, and waits for them.
start_extras() {
  ((${#EXTRAS[@]})) || return 0
  : >"$STATE/run/api-ready"
  if has_extra kwok; then
    await_part kube-apiserver 20 "the API server to take the fake nodes" create_fake_nodes
    await_part kwok 60 "the fake nodes to be Ready" fake_nodes_ready
  fi
  ! has_extra kueue || start_kueue
  ! has_extra kcm || await_part kube-controller-manager 60 "the default service account" default_account
}
