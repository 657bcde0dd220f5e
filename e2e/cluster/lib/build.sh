# Builds the programs of a cluster from the pinned Go modules in modules/ into a
# cache outside the checkout. Never writes into the checkout and never replaces
# a program half-way: each one appears whole or not at all.
# shellcheck shell=bash

KUBERNETES_VERSION=v1.34.4
RECIPE=1 # to be raised when programs must be built anew though the modules are the same

# program, module, package, and the name that "go build" gives it
PROGRAMS=(
  "etcd etcd go.etcd.io/etcd/server/v3 server"
  "etcdctl etcd go.etcd.io/etcd/etcdctl/v3 etcdctl"
  "kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver"
  "kubectl kubernetes k8s.io/kubernetes/cmd/kubectl kubectl"
  "kube-controller-manager kubernetes k8s.io/kubernetes/cmd/kube-controller-manager kube-controller-manager"
  "kube-scheduler kubernetes k8s.io/kubernetes/cmd/kube-scheduler kube-scheduler"
  "kubelet kubernetes k8s.io/kubernetes/cmd/kubelet kubelet"
  "kube-proxy kubernetes k8s.io/kubernetes/cmd/kube-proxy kube-proxy"
  "coredns coredns github.com/coredns/coredns coredns"
  "kwok kwok sigs.k8s.io/kwok/cmd/kwok kwok"
)
CONTROL_PLANE_PROGRAMS=(etcd kube-apiserver kubectl)
FULL_PROGRAMS=(etcd etcdctl kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet kube-proxy coredns)

# The folder in the cache for exactly these modules.
cache_folder() {
  local hash
  hash=$({ cat "$CLUSTER_HOME"/modules/*/go.{mod,sum}; echo "$RECIPE $(uname -m)"; } | sha256sum)
  echo "${TASK_MANAGER_CACHE:-${HOME:?}/.cache/task-manager}/kubernetes-$KUBERNETES_VERSION-${hash:0:12}"
}

# programs_missing FOLDER PROGRAM...: those that are not built yet.
programs_missing() {
  local folder=$1 program
  shift
  for program; do
    [[ -x $folder/bin/$program ]] || echo "$program"
  done
}

# build_command MODE
build_command() {
  # shellcheck disable=SC2046 # words
  build_programs $(programs_of "$1")
  say "The programs are in $(cache_folder)/bin"
}

# programs_of MODE: all that such a cluster needs, with its extras.
programs_of() {
  case $1 in
    full) echo "${FULL_PROGRAMS[@]}" ;;
    *) echo "${CONTROL_PLANE_PROGRAMS[@]}" ;;
  esac
  extra_programs
}

# build_programs PROGRAM...: makes sure that all of these are in the cache.
build_programs() {
  local folder missing=()
  folder=$(cache_folder)
  mapfile -t missing < <(programs_missing "$folder" "$@")
  ((${#missing[@]})) || return 0

  type -P go >/dev/null || fail "Go is missing: install Go 1.24 or newer and put \"go\" on the PATH (the Kubernetes programs are built from source)."
  mkdir -p "$folder/bin" "$folder/log"
  exec 8>"$folder/lock"
  if ! flock -n 8; then
    say "Another build into $folder is under way: waiting for it (at most 30 minutes)."
    flock -w 1800 8 || fail "waited 30 minutes for another build into $folder to end."
    mapfile -t missing < <(programs_missing "$folder" "$@")
  fi

  local module line program in package built_as programs packages
  for module in etcd kubernetes coredns kwok; do
    programs=() packages=()
    for line in "${PROGRAMS[@]}"; do
      read -r program in package built_as <<<"$line"
      [[ $in == "$module" && " ${missing[*]} " == *" $program "* ]] || continue
      programs+=("$program=$built_as")
      packages+=("$package")
    done
    ((${#programs[@]} == 0)) || build_module "$module"
  done
  exec 8>&-
}

# build_module MODULE, with its programs and packages in the arrays of the caller.
build_module() {
  local module=$1 log=$folder/log/$1.log work=$folder/work.$1 flags="-s -w" from=$EPOCHREALTIME
  local names="${programs[*]%%=*}" version=k8s.io/component-base/version
  if [[ $module == kubernetes ]]; then
    local numbers
    IFS=. read -ra numbers <<<"${KUBERNETES_VERSION#v}"
    flags+=" -X $version.gitVersion=$KUBERNETES_VERSION -X $version.gitMajor=${numbers[0]}"
    flags+=" -X $version.gitMinor=${numbers[1]} -X $version.gitTreeState=clean"
  fi
  rm -rf "$work"
  mkdir -p "$work"

  [[ -t 1 ]] || say "Building $names …"
  # A process group of its own: an interruption ends the compilers as well.
  set -m
  (
    cd "$CLUSTER_HOME/modules/$module" &&
      exec env GOFLAGS='' GOWORK=off GO111MODULE=on CGO_ENABLED=0 \
        go build -v -mod=readonly -buildvcs=false -trimpath -ldflags "$flags" -o "$work/" "${packages[@]}"
  ) >"$log" 2>&1 </dev/null 8>&- &
  local job=$!
  set +m
  # shellcheck disable=SC2064 # the job of now
  trap "kill -- -$job 2>/dev/null; echo; echo 'cluster: the build was interrupted.' >&2; exit 130" INT TERM HUP

  local beat=0
  while pid_running "$job"; do
    sleep 0.25
    beat=$((beat + 1))
    if [[ -t 1 ]]; then
      printf '\r\e[KBuilding %s … %s s, %d packages' "$names" "$(seconds_since "$from")" "$(wc -l <"$log")"
    elif ((beat % 120 == 0)); then
      say "  … $(seconds_since "$from") s, $(wc -l <"$log") packages"
    fi
  done
  [[ ! -t 1 ]] || printf '\r\e[K'
  if ! wait "$job"; then
    tail -n 25 "$log" >&2
    fail "building $names failed; the whole log is $log"
  fi
  trap - INT TERM HUP

  local pair
  for pair in "${programs[@]}"; do
    mv "$work/${pair#*=}" "$folder/bin/${pair%%=*}"
  done
  rm -rf "$work"
  say "Built $names in $(seconds_since "$from") s"
}
