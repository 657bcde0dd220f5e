# What each part of a cluster is started with: one small script for each is written
# to target/NAME/parts/, to be run by lib/supervise.sh. Only writes files; never
# starts anything. A new part is one more function that calls "part".
# shellcheck shell=bash

# part NAME: the rest of its script comes on the standard input.
part() {
  {
    cat <<TEXT
#!/bin/sh
# $1, written at the start of the cluster.
await() {
  tries=600
  until [ -e "\$1" ]; do
    tries=\$((tries - 1))
    [ \$tries -gt 0 ] || { echo "waited a minute for \$1" >&2; exit 1; }
    sleep 0.1
  done
}
TEXT
    cat
  } >"$STATE/parts/$1"
}

# write_parts MODE ADDRESS PORT ETCD-PORT ETCD-PEER-PORT HERE BIN
# HERE and BIN are the state and the programs as the parts see them.
write_parts() {
  local mode=$1 address=$2 port=$3 etcd=$4 peer=$5 here=$6 bin=$7
  mkdir -p "$STATE/parts" "$STATE/config"
  part_etcd
  part_apiserver
  if [[ $mode != full ]]; then
    write_extra_parts
    return 0
  fi
  part_controller_manager
  part_scheduler
  part_containerd
  part_kubelet
  part_proxy
  part_coredns
}

part_etcd() {
  part etcd <<TEXT
exec $bin/etcd \\
  --name=local \\
  --data-dir=$here/node/etcd \\
  --listen-client-urls=http://127.0.0.1:$etcd \\
  --advertise-client-urls=http://127.0.0.1:$etcd \\
  --listen-peer-urls=http://127.0.0.1:$peer \\
  --initial-advertise-peer-urls=http://127.0.0.1:$peer \\
  --initial-cluster=local=http://127.0.0.1:$peer \\
  --quota-backend-bytes=8589934592 \\
  --unsafe-no-fsync \\
  --log-level=warn
TEXT
}

# The requests of operators under test, by which tests/run finds out whether each of their rights is used and none is
# missing. The API server asks for its policy who has logged in, and not whom he impersonates.
audit_policy() {
  cat >"$STATE/config/audit.yaml" <<TEXT
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, users: [$OPERATORS]}
- {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
TEXT
}

part_apiserver() {
  local special profiling=false
  if [[ $mode == full ]]; then
    special="--bind-address=0.0.0.0 \\
  --authorization-mode=Node,RBAC \\
  --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement \\
  --endpoint-reconciler-type=lease \\
  --kubelet-client-certificate=$here/pki/kubelet-client.crt \\
  --kubelet-client-key=$here/pki/kubelet-client.key \\
  --kubelet-certificate-authority=$here/pki/ca.crt \\
  --kubelet-preferred-address-types=InternalIP"
  else
    special="--bind-address=127.0.0.1 \\
  --authorization-mode=RBAC \\
  --enable-admission-plugins=OwnerReferencesPermissionEnforcement \\
  --endpoint-reconciler-type=none"
    # Where nobody makes service accounts, pods must do without.
    has_extra kcm || special+=" \\
  --disable-admission-plugins=ServiceAccount"
    # For measuring: nobody is throttled, and no compaction falls into one run and not into another. A profile may
    # be asked for.
    if ((${#EXTRAS[@]})); then
      profiling=true
      special+=" \\
  --max-requests-inflight=3000 \\
  --max-mutating-requests-inflight=1000 \\
  --etcd-compaction-interval=0"
    fi
  fi
  if ! ((${#EXTRAS[@]})); then
    audit_policy
    special+=" \\
  --audit-policy-file=$here/config/audit.yaml \\
  --audit-log-path=$here/log/audit.log \\
  --audit-log-maxsize=100 \\
  --audit-log-maxbackup=10 \\
  --audit-log-compress"
  fi
  part kube-apiserver <<TEXT
exec $bin/kube-apiserver \\
  --advertise-address=$address \\
  --secure-port=$port \\
  --etcd-servers=http://127.0.0.1:$etcd \\
  --client-ca-file=$here/pki/ca.crt \\
  --tls-cert-file=$here/pki/apiserver.crt \\
  --tls-private-key-file=$here/pki/apiserver.key \\
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \\
  --service-account-key-file=$here/pki/service-accounts.pub \\
  --service-account-signing-key-file=$here/pki/service-accounts.key \\
  --service-cluster-ip-range=$SERVICE_CIDR \\
  --allow-privileged \\
  --profiling=$profiling \\
  $special
TEXT
}

# Two control planes side by side share this machine's ports: neither part serves any.
part_controller_manager() {
  local special=""
  [[ $mode == full ]] || special="--secure-port=0 \\
  --concurrent-job-syncs=50 \\
  "
  part kube-controller-manager <<TEXT
await $here/run/api-ready
exec $bin/kube-controller-manager \\
  --kubeconfig=$here/pki/kube-controller-manager.kubeconfig \\
  --bind-address=127.0.0.1 \\
  --leader-elect=false \\
  --use-service-account-credentials \\
  --service-account-private-key-file=$here/pki/service-accounts.key \\
  --root-ca-file=$here/pki/ca.crt \\
  --flex-volume-plugin-dir=$here/node/volume-plugins \\
  --service-cluster-ip-range=$SERVICE_CIDR \\
  $special$(api_rate)
TEXT
}

part_scheduler() {
  local special=""
  [[ $mode == full ]] || special="--secure-port=0 \\
  "
  part kube-scheduler <<TEXT
await $here/run/api-ready
exec $bin/kube-scheduler \\
  --kubeconfig=$here/pki/kube-scheduler.kubeconfig \\
  --bind-address=127.0.0.1 \\
  --leader-elect=false \\
  $special$(api_rate)
TEXT
}

# How fast a client may ask: enough for a node; for measuring, no limit that shows.
api_rate() {
  case $mode in
    full) printf -- '--kube-api-qps=200 \\\n  --kube-api-burst=400' ;;
    *) printf -- '--kube-api-qps=1000 \\\n  --kube-api-burst=2000' ;;
  esac
}

part_containerd() {
  # restrict_oom_score_adj: in many containers and virtual machines even root may
  # not lower the score, and no sandbox would start.
  cat >"$STATE/config/containerd.toml" <<TEXT
version = 4
root = "$here/node/containerd"
state = "/run/containerd"
[plugins."io.containerd.server.v1.grpc"]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$here/node/opt"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$here/config/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
TEXT
  mkdir -p "$STATE/config/cni"
  cat >"$STATE/config/cni/pods.conflist" <<TEXT
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "pods0",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": "$POD_CIDR"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
TEXT
  # It finds its shim by the PATH.
  part containerd <<TEXT
PATH=$bin:\$PATH
export PATH
exec $bin/containerd --config $here/config/containerd.toml --log-level warn
TEXT
}

part_kubelet() {
  cat >"$STATE/config/kubelet.yaml" <<TEXT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
podLogsDir: $here/log/pods
volumePluginDir: $here/node/volume-plugins
cgroupDriver: cgroupfs
cgroupRoot: /$ID
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
authentication:
  anonymous: {enabled: false}
  x509: {clientCAFile: $here/pki/ca.crt}
tlsCertFile: $here/pki/kubelet.crt
tlsPrivateKeyFile: $here/pki/kubelet.key
clusterDomain: cluster.local
clusterDNS: [$DNS_ADDRESS]
resolvConf: /dev/null
maxPods: 250
kubeAPIQPS: 200
kubeAPIBurst: 400
eventRecordQPS: 200
eventBurst: 400
serializeImagePulls: false
# The two images must stay, and a full disk of this machine is not the node's business.
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 50Mi
  nodefs.available: 0%
  nodefs.inodesFree: 0%
  imagefs.available: 0%
  imagefs.inodesFree: 0%
TEXT
  # The images come first, so that a node that is ready can run every pod.
  part kubelet <<TEXT
await /run/containerd/containerd.sock
for image in pause busybox; do
  tries=100
  until $bin/ctr -a /run/containerd/containerd.sock -n k8s.io images import $here/node/images/\$image.tar; do
    tries=\$((tries - 1))
    [ \$tries -gt 0 ] || exit 1
    sleep 0.1
  done
done
await $here/run/api-ready
exec $bin/kubelet \\
  --config=$here/config/kubelet.yaml \\
  --kubeconfig=$here/pki/kubelet.kubeconfig \\
  --root-dir=$here/node/kubelet \\
  --hostname-override=$NODE \\
  --node-ip=$address
TEXT
}

part_proxy() {
  # Zeros: the limits of connection tracking are this machine's, not the node's.
  cat >"$STATE/config/kube-proxy.yaml" <<TEXT
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: $NODE
clusterCIDR: $POD_CIDR
clientConnection: {kubeconfig: $here/pki/kube-proxy.kubeconfig}
healthzBindAddress: 0.0.0.0:10256
metricsBindAddress: 127.0.0.1:10249
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
TEXT
  part kube-proxy <<TEXT
await $here/run/api-ready
exec $bin/kube-proxy --config=$here/config/kube-proxy.yaml
TEXT
}

# Cluster DNS is a plain process behind a Service without selector.
part_coredns() {
  cat >"$STATE/config/Corefile" <<TEXT
cluster.local in-addr.arpa ip6.arpa {
  bind $address
  errors
  ready 0.0.0.0:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $here/pki/coredns.kubeconfig
    pods insecure
    ttl 5
  }
  cache 5
}
# There is no way out of the node: say so at once for every other name.
. {
  bind $address
  template ANY ANY {
    rcode NXDOMAIN
  }
}
TEXT
  cat >"$STATE/config/coredns.yaml" <<TEXT
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $DNS_ADDRESS
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns}
addressType: IPv4
ports:
- {name: dns, port: 53, protocol: UDP}
- {name: dns-tcp, port: 53, protocol: TCP}
endpoints:
- addresses: [$address]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: coredns}
rules:
- {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coredns}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:coredns"}
TEXT
  part coredns <<TEXT
await $here/run/api-ready
exec $bin/coredns -conf $here/config/Corefile
TEXT
}
