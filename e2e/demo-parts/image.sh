# The operator's image: built here as `make image` builds it, and brought to the nodes.
# shellcheck shell=bash disable=SC2034 # variables of other files

BUILD_LOG=$STATE/build.log
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
BUILT_IMAGE=localhost/task-manager:$VERSION

# Whether the image is built here: for the local node, and for a cluster of kind.
builds_image() { [[ -z ${CONTEXT:-} ]] || loads_into_kind; }

loads_into_kind() {
  [[ ${CONTEXT:-} == kind-* && -z ${IMAGE:-} && $(uname -s) == Linux ]] &&
    type -P kind >/dev/null && { [[ -n ${DEMO_BINARY:-} ]] || type -P cargo >/dev/null; }
}

image=$BUILT_IMAGE # the one to install
# It changes with the image, whose name may stay the same: by that its pods are made anew.
image_mark=''

get_image() {
  rm -rf "$STATE/bin"
  if ! builds_image; then
    image=${IMAGE:-$BUILT_IMAGE}
    image_mark=${IMAGE:-$(date -u +%FT%TZ)}
    return 0
  fi
  step "Building the image $image"
  build_image
  image_mark=$(grep -o 'sha256:[0-9a-f]*' "$BUILD_LOG" | tail -n 1)
  mkdir -p "$STATE/bin"
  ln -sf "$(realpath "${DEMO_BINARY:-$(built_program)}")" "$STATE/bin/task-manager"
  load_image >>"$BUILD_LOG" 2>&1 || fail "the nodes did not take the image; the whole log is $BUILD_LOG"
  telling_log=''
}

load_image() {
  if [[ -n ${CONTEXT:-} ]]; then
    kind load image-archive "$(image_file)" --name "${CONTEXT#kind-}"
  else
    e2e/cluster/cluster load "$(image_file)" --name "$NODE"
  fi
}

image_file() {
  if [[ -n ${DEMO_BINARY:-} ]]; then echo target/image/task-manager-local.tar; else echo target/image/task-manager.tar; fi
}

# The program in the image is static, and runs here too.
built_program() {
  echo "${TASK_MANAGER_IMAGE_TARGET:-target/image}/$(uname -m)-unknown-linux-gnu/image/task-manager"
}

build_image() {
  local began=$SECONDS beat=0 status=0 of=()
  [[ -z ${DEMO_BINARY:-} ]] || of=(--binary "$DEMO_BINARY")
  telling_log=$BUILD_LOG
  # A process group of its own: an interruption of this script ends the compilers as well.
  set -m
  CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 \
    TASK_MANAGER_IMAGE=$image TASK_MANAGER_IMAGE_FILE='' image/build ${of[@]+"${of[@]}"} >"$BUILD_LOG" 2>&1 </dev/null 9>&- &
  building=$!
  set +m
  while [[ -n $(jobs -r) ]]; do
    sleep 0.25
    beat=$((beat + 1))
    if [[ -t 1 ]]; then
      printf '\r\e[KBuilding … %d s%s' "$((SECONDS - began))" "$(built_so_far)"
    elif ((beat % 80 == 0)); then
      printf '  … %d s%s\n' "$((SECONDS - began))" "$(built_so_far)"
    fi
  done
  [[ ! -t 1 ]] || printf '\r\e[K'
  wait "$building" || status=$?
  building=''
  forget_progress
  ((status == 0)) || fail "the image could not be built; the whole log is $BUILD_LOG"
  echo "Built in $((SECONDS - began)) s: $(tail -n 1 "$BUILD_LOG")"
}

# ", 12 of 345 steps", as cargo counts them.
built_so_far() {
  tail -c 1000 "$BUILD_LOG" | tr '\r' '\n' | sed -n 's|^ *Building .*\] *\([0-9]*\)/\([0-9]*\).*|, \1 of \2 steps|p' | tail -n 1
}

# Leaves what cargo said in the log, and not how far it was each time.
forget_progress() {
  tr '\r' '\n' <"$BUILD_LOG" | grep -v '^ *Building .*[0-9]/[0-9]' >"$BUILD_LOG.new" || true
  mv "$BUILD_LOG.new" "$BUILD_LOG"
}

end_build() {
  local tries
  kill -TERM -- "-$building" 2>/dev/null || true
  wait "$building" 2>/dev/null || true
  for ((tries = 50; tries > 0; tries--)); do
    kill -0 -- "-$building" 2>/dev/null || break
    sleep 0.1
  done
  ((tries)) || kill -KILL -- "-$building" 2>/dev/null || true
  forget_progress
  echo "The build has ended."
}

# Whether a node of the context tells that it has the image. A node tells of fifty at most.
nodes_have_image() {
  local names number
  names=$(kubectl get nodes -o 'jsonpath={range .items[*].status.images[*]}{.names[*]}{"\n"}{end}') || return 1
  number=$(wc -l <<<"$names")
  ((number >= 50)) || tr ' ' '\n' <<<"$names" | grep -qxF "$BUILT_IMAGE"
}

# One a line: how the image gets to the nodes of the context.
how_to_get_the_image_there() {
  local make="make image" file=target/image/task-manager.tar cluster=${CONTEXT#kind-} nodes
  nodes=$(kubectl get nodes -o 'jsonpath={.items[0].status.nodeInfo.architecture}' 2>/dev/null) || nodes=''
  case $nodes-$(uname -m) in
    amd64-x86_64 | arm64-aarch64 | arm64-arm64 | -*) ;;
    *) make="make image ARCH=$nodes" file=target/image/task-manager-$nodes.tar ;;
  esac
  echo "the nodes of context \"$CONTEXT\" have no image $BUILT_IMAGE. Build it and bring it there:"
  if [[ $(uname -s) == Linux ]]; then
    printf '    %s\n' "$make" \
      "kind load image-archive $file --name $cluster                      # into a cluster of kind" \
      "skopeo copy oci-archive:$file docker://registry.example.com/task-manager:$VERSION   # or into a registry"
  else
    printf '    %s\n' "docker build -t $BUILT_IMAGE .    # the static program is built on Linux alone" \
      "kind load docker-image $BUILT_IMAGE --name $cluster    # into a cluster of kind" \
      "docker tag $BUILT_IMAGE registry.example.com/task-manager:$VERSION && docker push registry.example.com/task-manager:$VERSION   # or into a registry"
  fi
  echo "  and then: make demo CONTEXT=$CONTEXT, with IMAGE=registry.example.com/task-manager:$VERSION if it is in a registry." \
    "A node tells of a new image up to a minute later."
}
