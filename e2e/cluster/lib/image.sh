# The two images of a node, made by hand from the static busybox: no registry and
# no image builder is needed. Never runs anything of an image.
# shellcheck shell=bash

# shellcheck source=/dev/null
source "$REPO/image/oci.sh"

make_images() {
  local folder=$1 root=$1/root applet
  rm -rf "$root"
  mkdir -p "$root"/{bin,tmp,etc,root,home,run,var}
  ln -s ../run "$root/var/run"
  chmod 1777 "$root/tmp"
  cp /bin/busybox "$root/bin/busybox"
  for applet in $(/bin/busybox --list); do
    [[ $applet == busybox ]] || ln "$root/bin/busybox" "$root/bin/$applet"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  oci_archive "$folder/busybox.tar" localhost/busybox:1 "$root" '"Env":["PATH=/bin"],"Cmd":["sh"]'
  oci_archive "$folder/pause.tar" localhost/pause:1 "$root" '"Env":["PATH=/bin"],"Entrypoint":["/bin/sleep","2147483647"]'
  rm -rf "$root"
}

# load_command FILE: gives the running node an image more, from an OCI archive.
load_command() {
  local pid
  [[ -r $1 ]] || misuse "\"load\" takes the file of an OCI archive"
  pid=$(node_process) || fail "the node of the cluster \"$CLUSTER_NAME\" does not run."
  nsenter --target "$pid" --mount "$(program_files ctr)" -a /run/containerd/containerd.sock -n k8s.io images import - <"$1" ||
    fail "containerd did not take $1."
}
