# Ends a cluster for certain, whatever state it is in, and removes what it left.
# Only ends processes that belong to this cluster: those that carry its state
# folder in their arguments, and those in its control groups.
# shellcheck shell=bash

# take_down: quiet; false with a sentence when something resisted.
take_down() {
  local pids=() pid file
  # The parts of "--control-plane"; those of a full node end with its process 1.
  if [[ $(state_value mode) == control-plane ]]; then
    for file in "$STATE"/run/*.pid; do
      pid=$(cat "$file" 2>/dev/null) || continue
      ! grep -qzF -- "$STATE/" "/proc/$pid/cmdline" 2>/dev/null || pids+=("$pid")
    done
  fi
  # shellcheck disable=SC2207 # numbers
  pids+=($(supervisors))
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
  wait_until 5 none_running "${pids[@]}" || { say "These processes do not end: ${pids[*]}"; return 1; }

  wait_until 5 remove_cgroups || { say "These control groups cannot be removed: $(cgroups | xargs)"; return 1; }
  wait_until 2 no_interfaces || for file in $(interfaces); do ip link delete "$file" 2>/dev/null || true; done
  no_interfaces || { say "This interface cannot be removed: $(interfaces | xargs)"; return 1; }
  remove_state
}

none_running() {
  local pid
  for pid; do
    ! pid_running "$pid" || return 1
  done
}

no_interfaces() { [[ -z $(interfaces) ]]; }

# Removes the control groups from the leaves up, and ends what is left in them.
remove_cgroups() {
  local tops pid
  mapfile -t tops < <(cgroups)
  ((${#tops[@]})) || return 0
  find "${tops[@]}" -depth -type d -exec rmdir {} + 2>/dev/null || true
  [[ -n $(cgroups) ]] || return 0
  while read -r pid; do
    kill -KILL "$pid" 2>/dev/null || true
  done < <(find "${tops[@]}" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u)
  return 1
}

# The logs and bin/ stay.
remove_state() {
  local mount
  while read -r mount; do
    umount -l "$mount" || { say "This mount cannot be removed: $mount"; return 1; }
  done < <(awk -v state="$STATE/" 'index($5, state) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
  rm -rf --one-file-system "${STATE:?}"/{kubeconfig,host-address,config,node,parts,pki,run}
}

# An "up" or "down" of the same cluster never runs beside this one.
# lock_state SECONDS
lock_state() {
  mkdir -p "$STATE"
  exec 9<>"$STATE/lock"
  if ! flock -w "$1" 9; then
    fail "waited $1 s for another \"cluster\" command on $STATE (process $(cat "$STATE/lock" 2>/dev/null)) to end."
  fi
  echo $$ >"$STATE/lock"
}

# Ends an "up" that is under way, which then takes down what it has started.
interrupt_up() {
  local pid
  pid=$(cat "$STATE/lock" 2>/dev/null) || return 0
  [[ -n $pid && $pid != "$$" ]] || return 0
  ! flock -n "$STATE/lock" true || return 0
  if grep -qzFx up "/proc/$pid/cmdline" 2>/dev/null && grep -qz '/cluster$' "/proc/$pid/cmdline"; then
    kill -TERM "$pid" 2>/dev/null || true
  fi
}

down_command() {
  local was
  if [[ ! -d $STATE && -z $(supervisors)$(interfaces)$(cgroups) ]]; then
    say "The cluster \"$CLUSTER_NAME\" is not running."
    return 0
  fi
  interrupt_up
  lock_state 20
  was=$(ailment) || true
  if [[ $was == "not running" ]]; then
    remove_state
    say "The cluster \"$CLUSTER_NAME\" is not running."
    return 0
  fi
  take_down || fail "\"$CLUSTER_NAME\" could not be taken down wholly."
  say "The cluster \"$CLUSTER_NAME\" is down; its last logs are in $STATE/log"
}
