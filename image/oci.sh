# Makes OCI archives out of folders, with tar and sha256sum alone. The same files make the same digest, wherever and
# whenever. Never runs anything of an image.
# shellcheck shell=bash

# oci_archive FILE NAME ROOT CONFIG [ARCHITECTURE [TAR-OPTION...]]: the folder ROOT as the image NAME. CONFIG is the inside
# of the image's "config"; the options go to the tar that makes the layer.
oci_archive() {
  local file=$1 name=$2 root=$3 inside=$4 architecture=${5:-$(go_architecture)} work layer config manifest
  shift $(($# < 5 ? 4 : 5))
  work=$file.work
  rm -rf "$work"
  mkdir -p "$work/blobs/sha256"
  same_tar "$@" -C "$root" -cf "$work/layer" .
  layer=$(blob "$work/layer")
  printf '{"architecture":"%s","os":"linux","config":{%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$architecture" "$inside" "${layer%% *}" >"$work/config"
  config=$(blob "$work/config")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(descriptor image.config.v1+json "$config")" "$(descriptor image.layer.v1.tar "$layer")" >"$work/manifest"
  manifest=$(descriptor image.manifest.v1+json "$(blob "$work/manifest")")
  printf '{"schemaVersion":2,"manifests":[%s,"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
    "${manifest%\}}" "$name" "${name##*:}" >"$work/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"
  same_tar -C "$work" -cf "$file" oci-layout index.json blobs
  rm -rf "$work"
}

# tar, of files that have one order, one time and one owner.
same_tar() {
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu "$@"
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
