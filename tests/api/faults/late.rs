//! Requests that are carried out late, or whose outcome their sender does not know.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use harness::faults::{Fault, Kind, Plan, Point, Wire, WiredOperator};
use harness::*;
use http::{Request, header};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kube::ResourceExt;
use kube::client::ConfigExt;
use serde_json::json;
use task_manager::api::{Reason, State, Task};

use super::lives::Life;
use super::walk::{PATIENCE, walk};
use crate::stage::{seconds, status};

/// The lease is ours for nine seconds after a renewal.
const LEASE: Duration = Duration::from_secs(9);
/// The outcomes of a request that was carried out and not answered so.
const UNKNOWN: [Fault; 2] = [Fault::AnswerLost, Fault::CarriedOutBut(504)];

fn first(label: &str, fault: Fault) -> Plan {
    Plan::At(Point { kind: Kind::Write, label: label.to_owned(), occurrence: 1 }, fault)
}

#[tokio::test]
async fn statuses_and_jobs_give_the_api_server_no_longer_than_the_lease_lasts() {
    let passed = walk(&Life::success(), &Wire::new(Plan::Faultless)).await;
    for label in ["PUT tasks/one/status Processing", "POST jobs one", "PUT tasks/one/status Completed"] {
        let of_it: Vec<_> = passed.iter().filter(|passed| passed.point.label == label).collect();
        assert!(!of_it.is_empty(), "{label} has passed");
        for passed in of_it {
            assert!(passed.allowed.is_some_and(|time| !time.is_zero() && time <= LEASE), "{label}: {passed:?}");
        }
    }
}

/// Admits the task, and gives the API server so long for it; the end of the request arrives only after `held`. Returns
/// the code of the answer.
async fn admit_slowly(ns: &Namespace, task: &Task, allowed: Duration, held: Duration) -> u16 {
    let admitted = json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": task.name_any(), "namespace": ns.name, "resourceVersion": task.resource_version()},
        "status": {"state": "Processing", "reason": "Launching", "runId": "1", "attempt": 1}});
    let mut head = admitted.to_string();
    let end = head.split_off(head.len() - 1);
    let end = stream::once(async move {
        tokio::time::sleep(held).await;
        end
    });
    let parts = stream::once(async { head }).chain(end).map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part))));
    let config = ns.cluster.config().await;
    let path = format!("apis/taskmanager.dev/v1alpha1/namespaces/{}/tasks/{}/status", ns.name, task.name_any());
    let request = Request::put(format!("{}{path}?timeout={}ms", config.cluster_url, allowed.as_millis()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(StreamBody::new(Box::pin(parts)))
        .expect("a request");
    let connector = config.rustls_https_connector().expect("a connector");
    let client = Client::builder(TokioExecutor::new()).build(connector);
    client.request(request).await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn the_api_server_carries_out_no_status_write_after_the_time_that_it_was_given() {
    in_namespace("late-write", async |ns| {
        let (late, in_time) = (ns.create(&task("late")).await, ns.create(&task("in-time")).await);
        let (late_code, in_time_code) = tokio::join!(
            admit_slowly(&ns, &late, seconds(2), seconds(5)),
            admit_slowly(&ns, &in_time, seconds(60), seconds(5)),
        );
        assert_eq!((late_code, in_time_code), (504, 200));
        assert_eq!(status(&ns.task("in-time").await).state, State::Processing);
        stays("it is not admitted", seconds(5), async || status(&ns.task("late").await).state == State::Queued).await;
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_creation_was_not_answered_is_not_taken_for_a_strangers() {
    for fault in UNKNOWN {
        in_namespace("unanswered-job", async |ns| {
            ns.create(&task_type("work")).await;
            let node = ns.fake_node();
            let tasks = ns.record::<Task>().await;
            ns.create(&task("one")).await;
            let wire = Wire::new(first("POST jobs one", fault));
            let operator = WiredOperator::start(&ns, &wire, &[]);
            let is_final = |_: &Task, status: &task_manager::api::TaskStatus| status.state.is_final();
            let done = status(&ns.task_within(PATIENCE, "one", "is final", is_final).await);
            assert!(wire.has_struck());
            assert_eq!((done.state, done.attempt, node.starts_of("one")), (State::Completed, 1, 1), "{fault:?}");
            for seen in tasks.seen() {
                let told = status(&seen.object);
                let words = told.message.unwrap_or_default();
                assert!(told.reason != Reason::LaunchRefused && !words.contains("somebody else"), "{fault:?}: {words}");
            }
            operator.stop().await;
        })
        .await;
    }
}
