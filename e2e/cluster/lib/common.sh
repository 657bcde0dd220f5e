# Speaking to the user, waiting with a deadline, small questions to the system.
# Never changes anything on the machine.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

# The last words of a command that cannot go on.
fail() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

# Seconds with one decimal since a $EPOCHREALTIME taken earlier.
seconds_since() {
  local from=${1/[.,]/} now=${EPOCHREALTIME/[.,]/} tenths
  tenths=$(((now - from) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# wait_until SECONDS COMMAND...: true as soon as COMMAND is, false at the end of
# the time. COMMAND must not block for long by itself.
wait_until() {
  local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
  shift
  until "$@"; do
    ((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
    sleep 0.1
  done
}

# http_ok ADDRESS PORT PATH: does a plain HTTP GET answer 200 within two seconds?
http_ok() {
  # shellcheck disable=SC2016 # $1.. are the inner shell's
  timeout 2 bash -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    printf "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" "$3" "$1" >&3
    read -r _ code _ <&3
    [[ $code == 200 ]]' _ "$1" "$2" "$3" 2>/dev/null
}

# A process counts as running until it is a zombie or gone.
pid_running() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  [[ ${stat%% *} != [ZX] ]]
}

# Runs a command with every inherited file closed but the standard three, so
# that a lasting process holds no lock and no pipe of whoever started it.
without_inherited_files() {
  local fd
  for fd in "/proc/$BASHPID/fd"/*; do
    fd=${fd##*/}
    ((fd < 3 || fd == 255)) || eval "exec $fd>&-"
  done
  exec "$@"
}
