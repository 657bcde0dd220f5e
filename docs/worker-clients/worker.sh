#!/bin/sh
# A whole worker, with curl and jq. Put your own command in the place of work: payload in, result out, both JSON.
work() {
    payload=$(cat)
    sleep "$(printf %s "$payload" | jq '.seconds // 0')"
    printf %s "$payload" | jq -c 'if has("fail") then error(.fail) else .answer end'
}

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
trap 'exit 0' TERM
said='{}'
while :; do
    told=$(printf %s "$said" | curl -s -m 90 -o "$answer" -w '%{http_code} %header{retry-after}' --data-binary @- \
        -H "Authorization: Bearer $(cat "$TASK_TOKEN_FILE")" -H 'Content-Type: application/json' \
        "$TASK_API_URL/worker/v1/next")
    status=${told%% *} pause=${told#* }
    lease=$(printf %s "$said" | jq -r '.done.lease // empty')
    if [ "$status" != 200 ] || { [ -n "$lease" ] && jq -e '.kept == null' "$answer" >/dev/null; }; then
        case $status in
            400 | 413 | 422) said=$(jq -nc --arg lease "$lease" '{done: {lease: $lease, error: {type: "ResultRefused"}}}') ;;
        esac
        sleep "${pause:-1}"
        continue
    fi
    if jq -e .stop "$answer" >/dev/null; then exit 0; fi
    said='{}'
    lease=$(jq -r '.task.lease // empty' "$answer")
    [ -n "$lease" ] || continue
    if result=$(jq -c .task.payload "$answer" | work); then
        said=$(printf %s "$result" | jq -c --arg lease "$lease" '{done: {lease: $lease, result: .}}')
    else
        said=$(jq -nc --arg lease "$lease" '{done: {lease: $lease, error: {type: "WorkFailed"}}}')
    fi
done
