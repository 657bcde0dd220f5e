# The Debian packages of a full node. Installs what is missing and nothing else;
# a service of a package is neither started nor left to start with the machine.
# shellcheck shell=bash

# program or file (* is any version) that must exist, and the package that has it
PACKAGES=(
  "runc runc"
  "/usr/lib/cni/bridge containernetworking-plugins"
  "iptables iptables"
  "nft nftables"
  "ip iproute2"
  "/bin/busybox busybox-static"
  "openssl openssl"
  "mount mount"
  "unshare util-linux"
  # The registry and the webhook of the tests.
  "python3 python3"
)

# The packages that are missing, one a line.
packages_missing() {
  local line what package
  for line in "${PACKAGES[@]}"; do
    read -r what package <<<"$line"
    if [[ $what == /bin/busybox ]]; then
      # The dynamic busybox has the same name, and is of no use in an image.
      dpkg-query -W -f '${Status}\n' busybox-static 2>/dev/null | grep -q ' installed$' || echo "$package"
    elif [[ $what == /* ]]; then
      compgen -G "$what" >/dev/null || echo "$package"
    else
      type -P "$what" >/dev/null || echo "$package"
    fi
  done | sort -u
}

# The services that start with the machine, one a line; none where there is no systemd.
packages_enabled() {
  { systemctl --root=/ list-unit-files --type=service --state=enabled --no-legend 2>/dev/null || true; } |
    awk '{ print $1 }' | sort
}

packages_install() {
  type -P apt-get >/dev/null || fail "this machine has no apt-get: only Debian and its kin are supported."

  local missing=()
  mapfile -t missing < <(packages_missing)
  if ((${#missing[@]} == 0)); then
    say "All Debian packages are there."
    return 0
  fi
  ((EUID == 0)) || fail "installing Debian packages (${missing[*]}) needs root: run this command as root."
  say "Installing Debian packages: ${missing[*]}"

  local work log enabled
  work=$(mktemp -d)
  log=$work/log
  enabled=$(packages_enabled)
  # While policy-rc.d says 101, no package starts its service. One that an
  # administrator has put there already is left as it is.
  local policy=/usr/sbin/policy-rc.d ours=
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    ours=$policy
  fi
  # shellcheck disable=SC2064 # the names of now
  trap "rm -rf '$work' $ours" EXIT
  if ! {
    DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
  } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install ${missing[*]}."
  fi

  # Those that the packages have enabled: they would start with the machine.
  local services=()
  mapfile -t services < <(comm -13 <(echo "$enabled") <(packages_enabled))
  ((${#services[@]} == 0)) || systemctl --root=/ disable "${services[@]}" >>"$log" 2>&1 ||
    fail "$(tail -n 1 "$log"): the services ${services[*]} start with the machine; disable them."

  mapfile -t missing < <(packages_missing)
  ((${#missing[@]} == 0)) || fail "still missing after the installation: ${missing[*]}"
  say "Installed."
}
