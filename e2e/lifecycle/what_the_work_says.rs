//! Reports of a container over HTTP, with the kubelet's token and nothing but busybox.

use harness::{Cluster, Operator, SOON, eventually, in_namespace_of, task};
use kube::ResourceExt;
use serde_json::json;
use task_manager::api::State;

use e2e::world::{A_TASK, pods_can_be_made, shell};

/// wget posts; it cannot PUT, so that is written by hand. Whoever closes their side before the answer gets none.
const SCRIPT: &str = r#"
set -e
say() {
    wget -q -O - --header "Authorization: Bearer $(cat "$TASK_TOKEN_FILE")" \
        --header 'Content-Type: application/json' --post-data "$2" "$TASK_API_URL/worker/v1/$1"
}
say progress '{"percent": 40, "done": 4, "total": 10, "message": "page 4"}'
until [ -e /tmp/go ]; do sleep 1; done
say progress '{"percent": 100}'
seq 1 20000 > /tmp/result
at=${TASK_API_URL#http://}
put() {
    printf 'PUT /worker/v1/result HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n' "$at"
    printf 'Authorization: Bearer %s\r\nContent-Type: text/plain\r\n' "$(cat "$TASK_TOKEN_FILE")"
    printf 'Content-Length: %s\r\n\r\n' "$(wc -c < /tmp/result)"
    cat /tmp/result
    sleep 10
}
put | nc "${at%:*}" "${at##*:}" | head -n 1 | grep ' 204 '
"#;

#[tokio::test]
async fn a_container_reports_progress_and_a_large_result_with_busybox_alone() {
    in_namespace_of(Cluster::Node, "says", async |namespace| {
        pods_can_be_made(&namespace).await;
        let operator = Operator::with_worker(&namespace, &[]).await;
        let rest = operator.rest();
        namespace.create(&shell("work", SCRIPT)).await;
        let id = namespace.create(&task("report")).await.uid().expect("a uid");
        let told = json!({"percent": 40, "done": 4, "total": 10, "message": "page 4"});
        eventually("its progress is told", A_TASK, async || (rest.status(&id).await["progress"] == told).then_some(()))
            .await;
        let pods = namespace.pods_now().await;
        let pod = pods.first().expect("its pod").name_any();
        let go = namespace.kubectl(&["exec", &pod, "--", "touch", "/tmp/go"]).await;
        assert!(go.status.success(), "{}", String::from_utf8_lossy(&go.stderr));
        let done = namespace.task_within(A_TASK, "report", "is final", |_, status| status.state.is_final()).await;
        let status = done.status.expect("a status");
        assert_eq!(status.state, State::Completed, "{:?}", status.message);
        assert_eq!(status.progress.and_then(|progress| progress.percent), Some(100));
        let whole: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(status.result_ref.map(|result| result.bytes), Some(whole.len() as i64));
        let answer = eventually("the result is told", SOON, async || {
            Some(rest.get(&format!("/api/v1/tasks/{id}/result")).await).filter(|answer| answer.status == 200)
        })
        .await;
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert!(answer.text == whole, "another content");
    })
    .await;
}
