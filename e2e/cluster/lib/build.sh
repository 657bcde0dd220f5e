# Builds the programs of a cluster from the pinned Go modules in modules/ into a
# cache outside the checkout, a folder for each module: raising one builds only
# that one anew. Never writes into the checkout and never replaces a program
# half-way: each one appears whole or not at all.
# shellcheck shell=bash

RECIPE=2 # to be raised when programs must be built anew though their module is the same

# program, module, package, and the name that "go build" gives it
PROGRAMS=(
  "etcd etcd go.etcd.io/etcd/server/v3 server"
  "kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver"
  "kubectl kubernetes k8s.io/kubernetes/cmd/kubectl kubectl"
  "kube-controller-manager kubernetes k8s.io/kubernetes/cmd/kube-controller-manager kube-controller-manager"
  "kube-scheduler kubernetes k8s.io/kubernetes/cmd/kube-scheduler kube-scheduler"
  "kubelet kubernetes k8s.io/kubernetes/cmd/kubelet kubelet"
  "kube-proxy kubernetes k8s.io/kubernetes/cmd/kube-proxy kube-proxy"
  "containerd containerd github.com/containerd/containerd/v2/cmd/containerd containerd"
  "containerd-shim-runc-v2 containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 containerd-shim-runc-v2"
  "ctr containerd github.com/containerd/containerd/v2/cmd/ctr ctr"
  "coredns coredns github.com/coredns/coredns coredns"
  "kwok kwok sigs.k8s.io/kwok/cmd/kwok kwok"
  "kueue kueue sigs.k8s.io/kueue/cmd/kueue kueue"
  "helm helm helm.sh/helm/v3/cmd/helm helm"
  "helm4 helm4 helm.sh/helm/v4/cmd/helm helm"
)
CONTROL_PLANE_PROGRAMS=(etcd kube-apiserver kubectl helm helm4)
FULL_PROGRAMS=(
  etcd kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet kube-proxy
  containerd containerd-shim-runc-v2 ctr coredns helm helm4
)

VERSION='' # of the API server, when it is not the newest: 1.34

# use_version VERSION: takes the API server of that version, where modules/ has it.
use_version() {
  local known
  known=$(cd "$CLUSTER_HOME/modules" && printf '%s\n' kubernetes-*)
  [[ -z $1 || -d $CLUSTER_HOME/modules/kubernetes-$1 ]] ||
    misuse "\"--version\" knows $(xargs <<<"${known//kubernetes-/}"), not: $1"
  VERSION=$1
}

# module_of PROGRAM
module_of() {
  local line program module
  for line in "${PROGRAMS[@]}"; do
    read -r program module _ <<<"$line"
    [[ $program == "$1" ]] || continue
    [[ -z $VERSION || $program != kube-apiserver ]] || module+=-$VERSION
    echo "$module"
    return 0
  done
  fail "there is no program \"$1\" to build."
}

# module_version MODULE: the version of what it is named after, as its go.mod requires it.
module_version() {
  local line module package
  for line in "${PROGRAMS[@]}"; do
    read -r _ module package _ <<<"$line"
    [[ $module != "${1%%-*}" ]] || break
  done
  awk -v package="$package/" 'index(package, $1 "/") == 1 && $2 ~ /^v/ { print $2; exit }' "$CLUSTER_HOME/modules/$1/go.mod"
}

# cache_folder MODULE: the folder in the cache for exactly this module.
cache_folder() {
  local hash
  hash=$({ cat "$CLUSTER_HOME/modules/$1"/go.{mod,sum}; echo "$RECIPE $(uname -m)"; } | sha256sum)
  echo "${TASK_MANAGER_CACHE:-${HOME:?}/.cache/task-manager}/${1%%-*}-$(module_version "$1")-${hash:0:12}"
}

# program_files PROGRAM...: where they are, or will be.
program_files() {
  local program
  for program; do
    echo "$(cache_folder "$(module_of "$program")")/bin/$program"
  done
}

# link_programs PROGRAM...: the folder bin/ of the cluster, with all of them.
link_programs() {
  local file
  rm -rf "$STATE/bin"
  mkdir -p "$STATE/bin"
  for file in $(program_files "$@"); do
    ln -s "$file" "$STATE/bin/"
  done
}

# build_command MODE ONLY: those of the mode, or those of the list ONLY alone.
build_command() {
  local programs
  # shellcheck disable=SC2206 # words
  programs=(${2//,/ })
  # shellcheck disable=SC2207 # words
  ((${#programs[@]})) || programs=($(programs_of "$1"))
  build_programs "${programs[@]}"
  say "The programs are built:"
  program_files "${programs[@]}"
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
  local program module
  local -A of_module=()
  for program; do
    module=$(module_of "$program")
    of_module[$module]+=" $program"
  done
  for module in $(printf '%s\n' "${!of_module[@]}" | sort); do
    # shellcheck disable=SC2086 # words
    build_module "$module" ${of_module[$module]}
  done
}

# missing_of FOLDER PROGRAM...: those that are not built yet.
missing_of() {
  local folder=$1 program
  shift
  for program; do
    [[ -x $folder/bin/$program ]] || echo "$program"
  done
}

# build_module MODULE PROGRAM...
build_module() {
  local module=$1 folder missing=()
  shift
  folder=$(cache_folder "$module")
  mapfile -t missing < <(missing_of "$folder" "$@")
  ((${#missing[@]})) || return 0

  require_go
  mkdir -p "$folder/bin" "$folder/log"
  exec 8>"$folder/lock"
  if ! flock -n 8; then
    say "Another build into $folder is under way: waiting for it (at most 30 minutes)."
    flock -w 1800 8 || fail "waited 30 minutes for another build into $folder to end."
    mapfile -t missing < <(missing_of "$folder" "$@")
  fi
  ((${#missing[@]} == 0)) || compile "$module" "$folder" "${missing[@]}"
  exec 8>&-
}

require_go() {
  type -P go >/dev/null || fail "Go is missing: install Go 1.26 or newer and put \"go\" on the PATH (the Kubernetes programs are built from source)."
}

# build_flags MODULE: one a line.
build_flags() {
  local flags="-s -w" version=k8s.io/component-base/version number numbers package
  case $1 in
    kubernetes*)
      number=$(module_version "$1")
      IFS=. read -ra numbers <<<"${number#v}"
      flags+=" -X $version.gitVersion=$number -X $version.gitMajor=${numbers[0]}"
      flags+=" -X $version.gitMinor=${numbers[1]} -X $version.gitTreeState=clean"
      ;;
    helm*)
      number=$(module_version "$1")
      flags+=" -X helm.sh/helm/${number%%.*}/internal/version.version=$number"
      # Helm 3 takes a cluster that it does not ask for a Kubernetes 1.20, unless this says otherwise. Helm 4 needs nothing.
      numbers=$(awk '$1 == "k8s.io/client-go" { print $2 }' "$CLUSTER_HOME/modules/$1/go.mod")
      numbers=${numbers#v0.}
      for package in pkg/chartutil pkg/lint/rules; do
        flags+=" -X helm.sh/helm/v3/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/$package.k8sVersionMinor=${numbers%%.*}"
      done
      ;;
    # What the node does without.
    containerd) printf '%s\n' -tags no_btrfs,no_devmapper,no_zfs,no_rdt,no_tracing ;;
  esac
  printf '%s\n' -ldflags "$flags"
}

# compile MODULE FOLDER PROGRAM...
compile() {
  local module=$1 folder=$2 log work from=$EPOCHREALTIME line program package built_as
  local programs=() packages=() flags=()
  shift 2
  log=$folder/log/build.log work=$folder/work
  for line in "${PROGRAMS[@]}"; do
    read -r program _ package built_as <<<"$line"
    [[ " $* " == *" $program "* ]] || continue
    programs+=("$program=$built_as")
    packages+=("$package")
  done
  mapfile -t flags < <(build_flags "$module")
  rm -rf "$work"
  mkdir -p "$work"

  [[ -t 1 ]] || say "Building $* ($(module_version "$module")) …"
  # A process group of its own: an interruption ends the compilers as well.
  set -m
  (
    cd "$CLUSTER_HOME/modules/$module" &&
      exec env GOFLAGS='' GOWORK=off GO111MODULE=on CGO_ENABLED=0 \
        go build -v -mod=readonly -buildvcs=false -trimpath "${flags[@]}" -o "$work/" "${packages[@]}"
  ) >"$log" 2>&1 </dev/null 8>&- &
  local job=$!
  set +m
  # shellcheck disable=SC2064 # the job of now
  trap "kill -- -$job 2>/dev/null; echo; echo 'cluster: the build was interrupted.' >&2; exit 130" INT TERM HUP
  show_progress "$job" "$log" "$from" "$*"
  if ! wait "$job"; then
    tail -n 25 "$log" >&2
    fail "building $* failed; the whole log is $log"
  fi
  trap - INT TERM HUP

  local pair
  keep_sources "$module" "$folder"
  for pair in "${programs[@]}"; do
    mv "$work/${pair#*=}" "$folder/bin/${pair%%=*}"
  done
  rm -rf "$work"
  say "Built $* in $(seconds_since "$from") s"
}

# show_progress PROCESS LOG FROM WHAT: until the process ends.
show_progress() {
  local job=$1 log=$2 from=$3 beat=0
  while pid_running "$job"; do
    sleep 0.25
    beat=$((beat + 1))
    if [[ -t 1 ]]; then
      printf '\r\e[KBuilding %s … %s s, %d packages' "$4" "$(seconds_since "$from")" "$(wc -l <"$log")"
    elif ((beat % 120 == 0)); then
      say "  … $(seconds_since "$from") s, $(wc -l <"$log") packages"
    fi
  done
  [[ ! -t 1 ]] || printf '\r\e[K'
}

# keep_sources MODULE FOLDER: what a program's cluster needs of its sources, besides the program.
keep_sources() {
  local sources
  [[ $1 == kueue ]] || return 0
  sources=$(cd "$CLUSTER_HOME/modules/$1" && GOFLAGS='' GOWORK=off go list -mod=readonly -m -f '{{.Dir}}' sigs.k8s.io/kueue)
  rm -rf "$2/crds"
  cp -r "$sources/config/components/crd/bases" "$2/crds"
  chmod -R u+w "$2/crds"
}
