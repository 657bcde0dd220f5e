# Kueue as an extra of a bare control plane: its manager as a process on this
# machine, with its own kinds and the webhooks that its chart installs for Jobs,
# pods and these kinds. It is there to be measured: it has no client limit, as
# many workers as the operator has requests under way, and no queue yet.
# shellcheck shell=bash

# Kueue's certificates are in a folder that its code names; the folder is put into a file system of its own, so
# that this machine's /etc stays as it is.
part_kueue() {
  local port webhook_port around=''
  free_ports port webhook_port
  echo "$port" >"$STATE/run/kueue-port"
  ((EUID == 0)) || around=--map-root-user
  cat >"$STATE/config/kueue.yaml" <<TEXT
apiVersion: config.kueue.x-k8s.io/v1beta2
kind: Configuration
namespace: kueue-system
health: {healthProbeBindAddress: "127.0.0.1:$port"}
metrics: {bindAddress: "0"}
webhook: {host: 127.0.0.1, port: $webhook_port, certDir: /etc/kueue/metrics/certs}
leaderElection: {leaderElect: false}
internalCertManagement: {enable: false}
clientConnection: {qps: -1, burst: 0}
controller:
  groupKindConcurrency:
    Job.batch: 32
    Workload.kueue.x-k8s.io: 32
    LocalQueue.kueue.x-k8s.io: 1
    ClusterQueue.kueue.x-k8s.io: 1
    ResourceFlavor.kueue.x-k8s.io: 1
integrations: {frameworks: [batch/job]}
TEXT
  kueue_webhooks "$webhook_port" >"$STATE/config/kueue-webhooks.yaml"
  part kueue <<TEXT
await $here/run/kueue-kinds
export KUBECONFIG=$here/pki/kueue.kubeconfig
exec unshare --mount $around sh -ec '
  mount -t tmpfs kueue /etc
  mkdir -p /etc/kueue/metrics/certs
  cp $here/pki/kueue-webhooks.crt /etc/kueue/metrics/certs/tls.crt
  cp $here/pki/kueue-webhooks.key /etc/kueue/metrics/certs/tls.key
  exec setpriv --pdeathsig KILL $bin/kueue --config=$here/config/kueue.yaml \\
    --feature-gates=VisibilityOnDemand=false --zap-log-level=error'
TEXT
}

# kueue_webhooks PORT
kueue_webhooks() {
  printf 'apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: kueue}\nwebhooks:\n'
  kueue_webhook "$1" mutate batch v1 job jobs CREATE Fail
  kueue_webhook "$1" mutate "" v1 pod pods CREATE Ignore
  kueue_webhook "$1" mutate kueue.x-k8s.io v1beta2 clusterqueue clusterqueues CREATE Fail
  kueue_webhook "$1" mutate kueue.x-k8s.io v1beta2 resourceflavor resourceflavors CREATE Fail
  kueue_webhook "$1" mutate kueue.x-k8s.io v1beta2 workload workloads CREATE Fail
  printf -- '---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: kueue}\nwebhooks:\n'
  kueue_webhook "$1" validate batch v1 job jobs CREATE,UPDATE Fail
  kueue_webhook "$1" validate "" v1 pod pods CREATE,UPDATE Ignore
  kueue_webhook "$1" validate kueue.x-k8s.io v1beta2 clusterqueue clusterqueues CREATE,UPDATE Fail
  kueue_webhook "$1" validate kueue.x-k8s.io v1beta2 resourceflavor resourceflavors CREATE,UPDATE Fail
  kueue_webhook "$1" validate kueue.x-k8s.io v1beta2 workload workloads,workloads/status CREATE,UPDATE Fail
}

# kueue_webhook PORT VERB GROUP VERSION KIND RESOURCES OPERATIONS FAILURE-POLICY
kueue_webhook() {
  cat <<TEXT
- name: ${2:0:1}$5.kb.io
  admissionReviewVersions: [v1]
  clientConfig:
    url: https://127.0.0.1:$1/$2-${3//./-}-$4-$5
    caBundle: $(base64 -w0 "$PKI/ca.crt")
  failurePolicy: $8
  sideEffects: None
  rules: [{apiGroups: ["$3"], apiVersions: [$4], resources: [$6], operations: [$7]}]
  namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, kueue-system]}]}
TEXT
}

# Waits for Kueue, in the order in which an installation brings it up.
start_kueue() {
  await_part kube-apiserver 60 "the API server to take the kinds of Kueue" create_kueue_kinds
  : >"$STATE/run/kueue-kinds"
  await_part kueue 60 "Kueue to be ready" http_ok 127.0.0.1 "$(state_value kueue-port)" /readyz
  kubectl apply --server-side -f "$STATE/config/kueue-webhooks.yaml" >"$STATE/log/kueue-webhooks.log" 2>&1 ||
    fail "the webhooks of Kueue were not accepted (log: $STATE/log/kueue-webhooks.log)."
  await_part kueue 30 "Kueue to suspend the Jobs of its queues" kueue_suspends
}

create_kueue_kinds() {
  local folder
  folder=$(cache_folder kueue)
  {
    kubectl get namespace kueue-system || kubectl create namespace kueue-system
    kubectl apply --server-side -f "$folder/crds" &&
      kubectl wait --for=condition=Established crd --all --timeout=4s
  } >"$STATE/log/kueue-kinds.log" 2>&1
}

# By a Job that is never stored.
kueue_suspends() {
  local suspended
  suspended=$(kubectl create --dry-run=server -o 'jsonpath={.spec.suspend}' -f - 2>/dev/null <<TEXT
apiVersion: batch/v1
kind: Job
metadata: {name: example, namespace: default, labels: {kueue.x-k8s.io/queue-name: example}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: work, image: example}]}}}
TEXT
  ) || return 1
  [[ $suspended == true ]]
}
