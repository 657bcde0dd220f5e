# Certificates and kubeconfigs of one cluster, made anew at every start.
# Never used for anything but a throw-away cluster: keys are not protected
# beyond file permissions.
# shellcheck shell=bash

EC=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650)

quiet_openssl() {
  local output
  output=$(openssl "$@" 2>&1) || fail "openssl $1 failed: $output"
}

# certificate NAME SUBJECT [ALTERNATIVE-NAMES]
certificate() {
  local more=()
  [[ -z ${3:-} ]] || more=(-addext "subjectAltName=$3")
  quiet_openssl req -x509 "${EC[@]}" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" \
    -subj "$2" -addext basicConstraints=critical,CA:FALSE \
    -addext extendedKeyUsage=serverAuth,clientAuth "${more[@]}" \
    -keyout "$PKI/$1.key" -out "$PKI/$1.crt"
}

# kubeconfig FILE CERTIFICATE-NAME SERVER
kubeconfig() {
  (umask 077 && cat >"$1.new") <<TEXT
apiVersion: v1
kind: Config
clusters:
- name: $CLUSTER_NAME
  cluster:
    server: $3
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$2.crt")
    client-key-data: $(base64 -w0 "$PKI/$2.key")
contexts:
- name: $CLUSTER_NAME
  context: {cluster: $CLUSTER_NAME, user: $2}
current-context: $CLUSTER_NAME
TEXT
  mv "$1.new" "$1"
}

# named_pki NAME SUBJECT SERVER: a certificate, and a kubeconfig with it.
named_pki() {
  certificate "$1" "$2"
  kubeconfig "$PKI/$1.kubeconfig" "$1" "$3"
}

# make_pki MODE ADDRESS SERVER
make_pki() {
  local mode=$1 address=$2 server=$3 part
  PKI=$STATE/pki
  (umask 077 && mkdir -p "$PKI")
  quiet_openssl req -x509 "${EC[@]}" -subj "/CN=$CLUSTER_NAME-ca" \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature \
    -keyout "$PKI/ca.key" -out "$PKI/ca.crt"
  quiet_openssl genrsa -out "$PKI/service-accounts.key" 2048
  quiet_openssl rsa -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub"

  certificate apiserver /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$SERVICE_ADDRESS,IP:$address"
  certificate admin /O=system:masters/CN=admin
  kubeconfig "$STATE/kubeconfig" admin "$server"
  certificate operators "/O=system:masters/CN=$OPERATORS"
  if [[ $mode != full ]]; then
    # The fake nodes are under nobody's rules, like the administrator.
    ! has_extra kwok || named_pki kwok "/O=system:masters/CN=kwok" "$server"
    if has_extra kueue; then
      named_pki kueue "/O=system:masters/CN=kueue" "$server"
      certificate kueue-webhooks /CN=kueue-webhooks IP:127.0.0.1
    fi
    ! has_extra kcm || named_pki kube-controller-manager /CN=system:kube-controller-manager "$server"
    ! has_extra scheduler || named_pki kube-scheduler /CN=system:kube-scheduler "$server"
    return 0
  fi

  certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  certificate kubelet "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$address"
  for part in kube-controller-manager kube-scheduler kube-proxy coredns; do
    certificate "$part" "/CN=system:$part"
  done
  for part in kubelet kube-controller-manager kube-scheduler kube-proxy coredns; do
    kubeconfig "$PKI/$part.kubeconfig" "$part" "$server"
  done
}
