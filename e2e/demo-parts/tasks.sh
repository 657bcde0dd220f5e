# The sample tasks: applied, followed, and what to do with the demo from there.
# shellcheck shell=bash disable=SC2034 # variables of other files

LOCAL_IMAGE=localhost/busybox:1
PUBLIC_IMAGE=docker.io/library/busybox:1.36

make_namespace() {
  step "Namespace $NAMESPACE"
  if [[ -z $(kubectl get namespace "$NAMESPACE" --ignore-not-found -o name) ]]; then
    [[ -n $started_node ]] || started_namespace=yes
    kubectl create namespace "$NAMESPACE"
  fi
}

prepare_namespace() {
  # So that this run shows the life of the tasks anew.
  kubectl -n "$NAMESPACE" delete tasks --all --timeout=60s
  # A pod needs it, and it comes a moment after its namespace.
  local deadline=$((SECONDS + 30))
  until kubectl -n "$NAMESPACE" get serviceaccount default >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "the namespace $NAMESPACE had no service account within 30 seconds."
    sleep 0.2
  done
}

delete_namespace() {
  kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=120s
}

apply_samples() {
  step "Applying manifests/samples"
  started_tasks=yes
  samples | kubectl -n "$NAMESPACE" apply -f -
}

samples() {
  local of=$LOCAL_IMAGE file pools=()
  [[ -z ${CONTEXT:-} ]] || of=$PUBLIC_IMAGE
  # A program with DEMO_BINARY may need libraries that the samples' image has not; its agent runs in that image.
  [[ -n ${DEMO_BINARY:-} ]] || pools=(manifests/samples/pools/*.yaml)
  for file in manifests/samples/*.yaml ${pools[@]+"${pools[@]}"}; do
    printf -- '---\n'
    sed "s|image: $LOCAL_IMAGE\$|image: $of|" "$file"
  done
}

follow_tasks() {
  step "Following the tasks until all are final"
  local status=0
  task_manager follow --namespace "$NAMESPACE" --timeout-seconds 300 || status=$?
  case $status in
    # Some of the samples fail on purpose.
    0 | 4) ;;
    130) exit 130 ;;
    3) fail "not all tasks were final within 300 seconds." ;;
    *) fail "the tasks could not be followed (exit code $status)." ;;
  esac
}

# The program that was built for the image; where none was, the one in the operator's pod.
task_manager() {
  local terminal=()
  if [[ -x $STATE/bin/task-manager ]]; then
    "$STATE/bin/task-manager" "$@"
    return
  fi
  [[ ! -t 0 || ! -t 1 ]] || terminal=(-it)
  kubectl -n "$SYSTEM" exec ${terminal[@]+"${terminal[@]}"} "deployment/$SYSTEM" -- /task-manager "$@"
}

# In a folder for the PATH: what the commands below need, and the user may not have.
link_programs() {
  local program
  mkdir -p "$STATE/bin"
  if [[ -n ${CONTEXT:-} ]]; then
    [[ -z $built_helm ]] || ln -sf "$built_helm" "$STATE/bin/helm"
    return 0
  fi
  for program in kubectl helm; do
    ln -sf "$(realpath "$(type -P "$program")")" "$STATE/bin/$program"
  done
}

farewell() {
  local where=node follow="task-manager follow" down="make demo-down"
  [[ -z ${CONTEXT:-} ]] || where=namespace
  [[ -n ${CONTEXT:-} || -z ${DEMO_NODE:-} ]] || down="DEMO_NODE=$DEMO_NODE make demo-down"
  [[ -x $STATE/bin/task-manager ]] || follow="kubectl -n $SYSTEM exec deployment/$SYSTEM -- /task-manager follow"
  link_programs
  cat <<TEXT

${bold}The $where and the operator stay. To look further:${plain}

  export KUBECONFIG=$KUBECONFIG PATH=$STATE/bin:\$PATH
  kubectl -n $NAMESPACE get tasks -o wide
  kubectl -n $NAMESPACE describe task never-works
  kubectl -n $NAMESPACE get workerpools
  kubectl -n $NAMESPACE logs -l taskmanager.dev/task=counts-pages --tail=3
  kubectl explain task.spec

$(addresses)

  curl -s "$rest_url/api/v1/tasks/dead-letters?reason=ExitCode"
  curl -s $metrics_url | grep tasks_finished

${bold}The operator, as it is installed:${plain}

  kubectl -n $SYSTEM get pods,services,persistentvolumeclaims
  kubectl -n $SYSTEM logs deployment/$SYSTEM --tail=20
  helm -n $SYSTEM get values $SYSTEM
  helm -n $SYSTEM test $SYSTEM

${bold}A task of your own:${plain}

  kubectl -n $NAMESPACE apply -f - <<'YAML'
  apiVersion: taskmanager.dev/v1alpha1
  kind: Task
  metadata: { name: mine }
  spec: { type: document-processing, payload: { text: "to be or not to be" } }
  YAML
  $follow -n $NAMESPACE mine

${bold}To take it all down:${plain} $down
TEXT
}
