# The chart, installed with Helm as docs/install.md does it, and taken away again.
# shellcheck shell=bash disable=SC2034 # variables of other files

INSTALL_LOG=$STATE/install.log
export HELM_CACHE_HOME=$STATE/helm HELM_CONFIG_HOME=$STATE/helm HELM_DATA_HOME=$STATE/helm

install_chart() {
  step "Installing the chart with Helm"
  case $(release_status) in
    deployed) ;;
    # An installation that was cut off.
    failed | pending-*) helm -n "$SYSTEM" uninstall "$SYSTEM" --wait --timeout 60s; started_release=yes ;;
    *) started_release=yes ;;
  esac
  telling_log=$INSTALL_LOG
  operators_namespace
  [[ -n ${CONTEXT:-} ]] || make_volume
  choose_values
  definitions_of_others
  echo "helm upgrade --install $SYSTEM charts/task-manager --namespace $SYSTEM ${values[*]}"
  helm upgrade --install "$SYSTEM" charts/task-manager --namespace "$SYSTEM" "${values[@]}" >"$INSTALL_LOG" 2>&1 </dev/null ||
    fail "Helm could not install the chart; the whole log is $INSTALL_LOG"
  await_operator
  telling_log=''
}

release_status() {
  helm -n "$SYSTEM" status "$SYSTEM" 2>/dev/null | sed -n 's/^STATUS: //p'
}

# It is known by its label as one that a demo made.
operators_namespace() {
  kubectl apply -f - <<YAML
apiVersion: v1
kind: Namespace
metadata:
  name: $SYSTEM
  labels: { taskmanager.dev/demo: "true", pod-security.kubernetes.io/enforce: restricted }
YAML
}

values=() # what the demo sets of charts/task-manager/values.yaml

choose_values() {
  local name=image.repository=$image
  case ${image##*/} in
    *@*) name=image.repository=${image%@*},image.digest=${image#*@} ;;
    *:*) name=image.repository=${image%:*},image.tag=${image##*:} ;;
  esac
  values=(--set-string "$name" --set "rest.namespaces={$NAMESPACE}")
  if [[ -z ${CONTEXT:-} ]]; then
    values+=(--set "archive.sqlite.storageClass=$NAMESPACE,archive.sqlite.size=1Gi" --set "test.image=$LOCAL_IMAGE")
  elif [[ -n ${STORAGE_CLASS:-} ]]; then
    values+=(--set "archive.sqlite.storageClass=$STORAGE_CLASS")
  fi
  values+=(--set-string "podAnnotations.image-mark=$image_mark")
}

# Definitions and policies that were there without Helm stay so, and are brought up to date.
definitions_of_others() {
  if is_anothers crd/tasks.taskmanager.dev; then
    kubectl apply --server-side --force-conflicts -f crds
    values+=(--set crds.install=false)
  fi
  if is_anothers validatingadmissionpolicy/task-payload.taskmanager.dev; then
    kubectl apply --server-side --force-conflicts -f manifests/policies
    values+=(--set policies.enabled=false)
  fi
}

is_anothers() {
  local release
  release=$(kubectl get "$1" --ignore-not-found \
    -o 'jsonpath=there {.metadata.annotations.meta\.helm\.sh/release-namespace}/{.metadata.annotations.meta\.helm\.sh/release-name}')
  [[ -n $release && $release != "there $SYSTEM/$SYSTEM" ]] # the release's namespace and name
}

# A volume on this machine's disk: nothing on the local node provides one by itself.
make_volume() {
  [[ -z $(kubectl -n "$SYSTEM" get pvc "$SYSTEM" --ignore-not-found -o name) ]] || return 0
  kubectl delete persistentvolume "$NAMESPACE" --ignore-not-found
  rm -rf "$STATE/archive"
  mkdir -p "$STATE/archive"
  kubectl apply -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: { name: $NAMESPACE }
spec:
  capacity: { storage: 1Gi }
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: $NAMESPACE
  local: { path: $(realpath "$STATE/archive") }
  nodeAffinity:
    required:
      nodeSelectorTerms: [{ matchExpressions: [{ key: kubernetes.io/os, operator: In, values: [linux] }] }]
YAML
}

# Waits until the operator is ready, and no longer once it is clear that it never will be.
await_operator() {
  local deadline=$((SECONDS + 180)) trouble
  until kubectl -n "$SYSTEM" rollout status "deployment/$SYSTEM" --timeout=3s >/dev/null 2>&1; do
    trouble=$(troubles | grep -E '^(ImagePullBackOff|ErrImageNeverPull|InvalidImageName|CrashLoopBackOff)' | head -n 1) || true
    ((SECONDS < deadline)) || trouble=${trouble:-it was not ready within 180 seconds}
    if [[ -n $trouble ]]; then
      tell_of_operator >"$INSTALL_LOG" 2>&1 || true
      fail "the operator does not start: $trouble"
    fi
  done
}

# One a line: why containers of the operator wait.
troubles() {
  operators_pods -o 'jsonpath={range .items[*].status.containerStatuses[*]}{.state.waiting.reason}: {.state.waiting.message}{"\n"}{end}'
}

operators_pods() {
  kubectl -n "$SYSTEM" get pods -l "app.kubernetes.io/name=task-manager,app.kubernetes.io/instance=$SYSTEM" "$@"
}

tell_of_operator() {
  kubectl -n "$SYSTEM" get deployments,pods,persistentvolumeclaims -o wide
  kubectl -n "$SYSTEM" get events --sort-by=.lastTimestamp | tail -n 8
  kubectl -n "$SYSTEM" logs "deployment/$SYSTEM" --tail=10
}

# The context is remembered for "make demo-down" as long as the operator is there.
stays_installed() {
  if [[ $(release_status) == deployed ]] && is_ours; then
    echo "The operator was installed before this run and stays (make demo-down uninstalls it)."
  else
    forget_context
  fi
} 2>/dev/null

uninstall() {
  is_ours || return 0
  [[ -z $(release_status) ]] || helm -n "$SYSTEM" uninstall "$SYSTEM" --wait --timeout 60s
  kubectl delete namespace "$SYSTEM" --ignore-not-found --timeout=60s
  [[ -n ${CONTEXT:-} ]] || kubectl delete persistentvolume "$NAMESPACE" --ignore-not-found
  rm -rf "$STATE/archive"
}
