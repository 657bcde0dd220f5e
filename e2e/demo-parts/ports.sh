# REST and metrics at ports of this machine, by way of their Services. A process of its own keeps them open after the demo's
# end, also when the operator's pod is replaced.
# shellcheck shell=bash disable=SC2034 # variables of other files

FORWARD_LOG=$STATE/forward.log

rest_url='' metrics_url=''

open_ports() {
  step "REST and metrics"
  close_ports
  local rest=8080 metrics=8081 deadline=$((SECONDS + 30))
  is_free "$rest" || rest=$(free_port)
  is_free "$metrics" || metrics=$(free_port)
  telling_log=$FORWARD_LOG
  # A process group of its own: Ctrl-C in the terminal is for this script, and the ports
  # outlive it.
  set -m
  nohup "$REPO/e2e/demo" forward "$rest" "$metrics" >"$FORWARD_LOG" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/forward.pid"
  disown
  set +m
  until answers "$rest" "/api/v1/tasks?limit=1" && answers "$metrics" /readyz; do
    ((SECONDS < deadline)) || fail "REST and metrics did not answer within 30 seconds."
    sleep 0.2
  done
  telling_log=''
  rest_url=http://localhost:$rest metrics_url=http://localhost:$metrics/metrics
  addresses
}

addresses() {
  echo "REST:    $rest_url/api/v1/tasks, described at $rest_url/docs"
  echo "Metrics: $metrics_url"
  echo "They are forwarded to the operator's Services by process $(<"$STATE/forward.pid")."
}

# forward REST METRICS: this process.
forward() {
  keep_forwarding "service/$SYSTEM" "$1:8080" &
  keep_forwarding "service/$SYSTEM-metrics" "$2:8081" &
  wait
}

# Gives up when the cluster is gone: after a minute in vain.
keep_forwarding() {
  local vain=0 began
  while ((vain < 60)); do
    began=$SECONDS
    kubectl -n "$SYSTEM" port-forward "$1" "$2" || true
    vain=$((SECONDS - began > 5 ? 0 : vain + 1))
    sleep 1
  done
}

# The process that forwards, if the one that was recorded is really ours.
forward_pid() {
  local pid words
  pid=$(cat "$STATE/forward.pid" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  words=$(tr '\0' ' ' <"/proc/$pid/cmdline") 2>/dev/null || words=$(ps -o command= -p "$pid") || return 1
  [[ $words == *"$REPO/e2e/demo forward "* ]] || return 1
  echo "$pid"
}

close_ports() {
  local pid tries
  if pid=$(forward_pid 2>/dev/null); then
    kill -TERM -- "-$pid" 2>/dev/null || true
    for ((tries = 50; tries > 0; tries--)); do
      kill -0 -- "-$pid" 2>/dev/null || break
      sleep 0.1
    done
    ((tries)) || kill -KILL -- "-$pid" 2>/dev/null || true
  fi
  rm -f "$STATE/forward.pid"
}

free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    is_free "$port" && break
  done
  echo "$port"
}

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# answers PORT PATH: with 200.
answers() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
    read -r -t 2 _ code _ <&3
    [[ $code == 200 ]]
  ) 2>/dev/null
}
