# The two images of a node, made by hand from the static busybox: no registry and
# no image builder is needed. Never runs anything of an image.
# shellcheck shell=bash

# image FILE NAME ROOT ENTRYPOINT-JSON: an OCI archive of the folder ROOT.
image() {
  local file=$1 name=$2 root=$3 command=$4 work layer config manifest
  work=$file.work
  rm -rf "$work"
  mkdir -p "$work/blobs/sha256"
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$root" -cf "$work/layer" .
  layer=$(blob "$work/layer")
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(go_architecture)" "$command" "${layer%% *}" >"$work/config"
  config=$(blob "$work/config")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(descriptor image.config.v1+json "$config")" "$(descriptor image.layer.v1.tar "$layer")" >"$work/manifest"
  manifest=$(descriptor image.manifest.v1+json "$(blob "$work/manifest")")
  printf '{"schemaVersion":2,"manifests":[%s,"annotations":{"io.containerd.image.name":"%s"}}]}' \
    "${manifest%\}}" "$name" >"$work/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"
  tar -C "$work" -cf "$file" oci-layout index.json blobs
  rm -rf "$work"
}

# Moves a file among the blobs of its archive and says its digest and size.
blob() {
  local digest size
  digest=$(sha256sum <"$1" | cut -d' ' -f1)
  size=$(stat -c %s "$1")
  mv "$1" "${1%/*}/blobs/sha256/$digest"
  echo "$digest $size"
}

descriptor() {
  printf '{"mediaType":"application/vnd.oci.%s","digest":"sha256:%s","size":%s}' "$1" "${2% *}" "${2#* }"
}

go_architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) fail "no image can be made for a $(uname -m) machine" ;;
  esac
}

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
  image "$folder/busybox.tar" localhost/busybox:1 "$root" '"Cmd":["sh"]'
  image "$folder/pause.tar" localhost/pause:1 "$root" '"Entrypoint":["/bin/sleep","2147483647"]'
  rm -rf "$root"
}
