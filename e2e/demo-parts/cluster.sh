# The cluster of the demo: a node on this machine, or a context of the user's kubeconfig, which is looked at before
# anything is started there.
# shellcheck shell=bash disable=SC2034 # variables of other files

node_is_up() { e2e/cluster/cluster status --name "$NODE" >/dev/null 2>&1; }

use_cluster() {
  if [[ -n ${CONTEXT:-} ]]; then
    step "Using the context \"$CONTEXT\" of your kubeconfig"
    use_context
    check_context
    return 0
  fi
  step "A Kubernetes node on this machine"
  forget_context
  if ! node_is_up; then
    e2e/cluster/cluster packages
    e2e/cluster/cluster build
    started_node=yes
  fi
  e2e/cluster/cluster up --name "$NODE"
  use_node
  local other
  other=$(other_operator)
  [[ -z $other ]] || fail "$other"
}

use_node() {
  export KUBECONFIG=$REPO/target/$NODE/kubeconfig
  PATH=$REPO/target/$NODE/bin:$PATH
}

take_node_down() {
  e2e/cluster/cluster down --name "$NODE"
  # The kubelet's node is gone, and the volume with it.
  rm -rf "$STATE/archive"
}

# The context on its own, so that nothing of the demo can end up in another one.
use_context() {
  local only=$STATE/kubeconfig
  (umask 077 && mkdir -p "$STATE" && kubectl config view --raw --minify --flatten --context "$CONTEXT" >"$only.new") ||
    fail "your kubeconfig has no usable context \"$CONTEXT\" (see: kubectl config get-contexts)."
  mv "$only.new" "$only"
  echo "$CONTEXT" >"$STATE/context"
  export KUBECONFIG=$only
}

forget_context() { rm -f "$STATE"/{context,kubeconfig,kubeconfig.new}; }

# Says all that is missing there at once.
check_context() {
  kubectl get --raw /readyz --request-timeout=15s >/dev/null ||
    fail "the cluster of context \"$CONTEXT\" does not answer as ready."
  local problems=() minor kind other
  minor=$(kubectl get --raw /version | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p')
  ((minor >= 34)) || problems+=("the cluster has Kubernetes 1.$minor, and the operator needs 1.34 or newer.")
  for kind in namespaces customresourcedefinitions clusterroles; do
    [[ $(kubectl auth can-i create "$kind" -A 2>/dev/null) == yes ]] ||
      problems+=("you may not create $kind in context \"$CONTEXT\", which an installation for the whole cluster does.")
  done
  [[ -n ${STORAGE_CLASS:-} ]] || has_default_storage_class ||
    problems+=("the cluster has no default StorageClass for the archive's volume: name one with STORAGE_CLASS (see: kubectl get storageclasses).")
  other=$(other_operator)
  [[ -z $other ]] || problems+=("$other")
  if ! builds_image && [[ -z ${IMAGE:-} ]] && ! nodes_have_image; then
    problems+=("$(how_to_get_the_image_there)")
  fi
  ((${#problems[@]} == 0)) || fail "${problems[@]}"
  find_helm
}

has_default_storage_class() {
  kubectl get storageclasses -o 'jsonpath={range .items[*]}{.metadata.annotations.storageclass\.kubernetes\.io/is-default-class}{"\n"}{end}' |
    grep -qx true
}

can_have_helm() { type -P helm >/dev/null || { [[ $(uname -s) == Linux ]] && type -P go >/dev/null; }; }

built_helm='' # where there was none on the PATH

# The local node brings its own.
find_helm() {
  ! type -P helm >/dev/null || return 0
  e2e/cluster/cluster build --only helm
  built_helm=$(e2e/cluster/cluster build --only helm | tail -n 1)
  PATH=${built_helm%/*}:$PATH
}

# --- operators that are not the demo's ---

# Whether the operator's namespace was made by a demo.
is_ours() {
  [[ $(kubectl get namespace "$SYSTEM" --ignore-not-found -o 'jsonpath={.metadata.labels.taskmanager\.dev/demo}') == true ]]
}

# A sentence about an operator that runs already, or about a namespace in which one may have been; else nothing.
other_operator() {
  local others ours=no
  ! is_ours || ours=yes
  others=$({ deployments && leases; } | awk -v ours="$ours" -v space="$SYSTEM/" '!(ours == "yes" && index($2, space) == 1)' | head -n 1)
  if [[ -n $others ]]; then
    echo "an operator runs in this cluster already ($others), and two would both run every task." \
      "Let that one run the samples (kubectl -n NAMESPACE apply -f manifests/samples), or end it first."
  elif [[ $ours == no && -n $(kubectl get namespace "$SYSTEM" --ignore-not-found -o name) ]]; then
    echo "the namespace $SYSTEM is there already, and no demo made it; it may hold an archive." \
      "Delete it first, if it is not needed (kubectl delete namespace $SYSTEM)."
  fi
}

deployments() {
  kubectl get deployments -A -l app.kubernetes.io/name=task-manager \
    -o 'jsonpath={range .items[*]}deployment {.metadata.namespace}/{.metadata.name}{"\n"}{end}'
}

# Those that an operator holds, which need not run in the cluster.
leases() {
  local before
  before=$(($(date +%s) - 20))
  before=$(date -u -d "@$before" +%FT%T 2>/dev/null || date -u -r "$before" +%FT%T)
  kubectl get leases -A --field-selector metadata.name=task-manager \
    -o 'jsonpath={range .items[*]}lease {.metadata.namespace}/{.metadata.name} {.spec.renewTime} {.spec.holderIdentity}{"\n"}{end}' |
    awk -v before="$before" 'NF > 3 && $3 > before { print $1, $2 }'
}
