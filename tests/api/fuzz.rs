//! Arbitrary objects that the schema accepts, and arbitrary bytes: each is read, decided on and carried out, and none
//! stops the others. `FUZZ_OBJECTS` sets the number of objects (default 20,000). Each test prints its random seed;
//! `FUZZ_SEED` repeats it.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use harness::arbitrary::{self, Instead, any_json, damaged, of_schema, schema_of};
use harness::*;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use task_manager::api::{Quantity, State, Task, TaskQueue, TaskStatus, TaskType};
use task_manager::core::attempt::PodEnd;
use task_manager::core::attempt::facts::{JobFacts, NodeState, Observed, PodAsked, PodFacts};
use task_manager::core::attempt::needs::Answered;
use task_manager::core::attempt::result::LeftResult;
use task_manager::core::batch::Ledger;
use task_manager::core::launch::resources::amount;
use task_manager::core::launch::{holds::Holds, job, task_type};
use task_manager::core::queue::{AdmissionQueue, QueueCounts, QueueState, Quota, queue_state, queue_status};
use task_manager::core::task::{self as lifecycle, Action, Admission, BatchFacts, ChunkFacts};
use task_manager::core::telling::warning as news;
use task_manager::core::{Input, ParsedType, Settings, decide, needs};

use crate::stage::seconds;

/// The number of objects by default.
const OBJECTS: u32 = 20_000;
/// A task, a type and a queue.
const OBJECTS_OF_A_CASE: u32 = 3;
/// Of so many objects one goes to the API server too, which takes its time.
const ONE_IN: u32 = 40;
/// Of the generator of random numbers.
const SEED_BYTES: usize = 32;
/// The times that a task is reconciled, a minute apart.
const MOMENTS: usize = 6;
/// At one moment, in a world in which nothing else happens, fewer decisions than this leave nothing to do.
const DECISIONS: usize = 100;
/// The most attempts at shrinking a failed case.
const SHRINKS: u32 = 500;
const ALL_WRITTEN: Duration = Duration::from_secs(240);

fn objects() -> u32 {
    std::env::var("FUZZ_OBJECTS").ok().and_then(|number| number.parse().ok()).unwrap_or(OBJECTS)
}

/// Draws with `FUZZ_SEED`, else with a seed of its own, which is printed.
fn runner(config: Config) -> TestRunner {
    let given = std::env::var("FUZZ_SEED").ok().and_then(|number| number.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one("a seed"));
    println!("FUZZ_SEED={seed}");
    let bytes: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(SEED_BYTES).collect();
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
fn the_same_seed_draws_the_same() {
    let drawn = |seed: u8| {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; SEED_BYTES]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        any_json().new_tree(&mut runner).expect("a value").current()
    };
    assert_eq!(drawn(7), drawn(7));
    assert!((1..20).any(|seed| drawn(seed) != drawn(0)));
}

/// Tries `holds` on that many values; shows the smallest for which it does not.
fn for_all<S: Strategy>(cases: u32, values: S, holds: impl Fn(S::Value)) {
    let mut runner =
        runner(Config { cases, failure_persistence: None, max_shrink_iters: SHRINKS, ..Config::default() });
    let tried = runner.run(&values, |value| {
        holds(value);
        Ok(())
    });
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(why, value)) => panic!("{why}\nfor {value:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Names meet, so that tasks find types and queues; templates are mostly such as can be used.
fn meeting() -> Instead {
    Arc::new(|field| match field {
        "type" => Some(select(vec!["one", "two", "three", "ünknown"]).prop_map(Value::from).boxed()),
        "queue" => Some(select(vec!["default", "narrow", "none"]).prop_map(Value::from).boxed()),
        "template" => Some(damaged(arbitrary::template())),
        // At the very end of the numbers an attempt has no next one, and its Job's name stays the same.
        "attempt" => Some((0..1_000_000i32).prop_map(Value::from).boxed()),
        _ => None,
    })
}

fn manifest(kind: &str) -> impl Strategy<Value = Value> + use<> {
    let properties = schema_of(kind);
    let of = |part: &str| properties.get(part).map_or(Just(Value::Null).boxed(), |part| of_schema(part, &meeting()));
    let kind = kind.to_owned();
    let metadata = (select(vec!["one", "two", "three"]), any::<u32>(), 1..3i64);
    (of("spec"), of("status"), metadata).prop_map(move |(spec, status, (name, version, generation))| {
        json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": kind, "spec": spec, "status": status, "metadata": {
            "name": name, "namespace": "docs", "uid": format!("uid-of-{name}"), "generation": generation,
            "resourceVersion": version.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z"}})
    })
}

/// Every object that the schema accepts can be read: one that could not would stop the watch.
fn read<K: DeserializeOwned>(manifest: Value) -> K {
    let text = manifest.to_string();
    serde_json::from_value(manifest).unwrap_or_else(|error| panic!("the schema lets it in and {error}: {text}"))
}

fn child(manifest: Value) -> impl Strategy<Value = Value> {
    prop_oneof![4 => damaged(manifest), 1 => any_json()]
}

fn a_pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "docs", "uid": "p", "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30,
            "labels": {"taskmanager.dev/task-uid": "uid-of-one", "batch.kubernetes.io/job-name": "j"},
            "annotations": {"taskmanager.dev/holds":
                r#"{"queue":"default","type":"one","priority":"normal","resources":{"cpu":"1"}}"#},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]},
        "spec": {"nodeName": "n", "activeDeadlineSeconds": 600, "containers": [{"name": "work", "image": "busybox"}]},
        "status": {"phase": "Failed", "reason": "Evicted", "message": "m", "startTime": "2026-01-01T00:00:01Z",
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
            "initContainerStatuses": [{"name": "i", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}],
            "containerStatuses": [{"name": "work", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "{\"error\": {\"type\": \"T\"}}",
                    "finishedAt": "2026-01-01T00:00:09Z"}}}]}})
}

fn a_job() -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "j", "namespace": "docs", "uid": "j", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"taskmanager.dev/task-uid": "uid-of-one"},
            "ownerReferences": [{"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "name": "one",
                "uid": "uid-of-one", "controller": true}]},
        "status": {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}]}})
}

/// A task, and all that surrounds it.
struct Case {
    task: Task,
    task_type: ParsedType,
    capacity: Quota,
    observed: Observed,
    settings: Settings,
    now: Timestamp,
}

impl Case {
    fn new(task: Value, task_type: Value, queue: Value, job: Value, pods: [Value; 2], second: i64) -> Self {
        let task_type: TaskType = read(task_type);
        let queue: TaskQueue = read(queue);
        let now = Timestamp::from_second(second).expect("a time");
        let mut task: Task = read(task);
        // One in four is a batch, as it comes.
        if second % 4 != 0 {
            task.spec.batch = None;
        }
        let mut summary = QueueCounts::default();
        summary.count(&task, task.status.as_ref().and_then(|status| status.priority).unwrap_or_default());
        queue_status(&queue, &summary, now);
        for usable in [task_type::Usable::No("é".repeat(3000)), task_type::Usable::Yes] {
            task_type::status(&task_type, &usable, &ParsedType::of(&task_type), now);
        }
        let jobs = serde_json::from_value::<Job>(job).iter().map(JobFacts::of).collect();
        let pods = pods.into_iter().filter_map(|pod| serde_json::from_value::<Pod>(pod).ok());
        // Every node was asked for, and is silent.
        let asked = PodAsked { node: NodeState::Silent, ..PodAsked::default() };
        let pods: Vec<_> = pods.map(|pod| PodFacts { asked: asked.clone(), ..PodFacts::of(&pod) }).collect();
        let observed = Observed::of(&task, jobs, pods);
        let capacity = Quota::of(&queue.spec);
        Self { task, task_type: ParsedType::of(&task_type), capacity, observed, settings: Settings::default(), now }
    }

    /// Does what is decided, time after time; each decision is decided twice alike, and at no moment does one
    /// write follow another without end.
    /// Tells whether it was launched.
    fn goes_on(&mut self) -> bool {
        let jobs = self.observed.jobs.len();
        for _ in 0..MOMENTS {
            let mut writes = 0;
            loop {
                self.admit();
                let action = self.decide();
                assert_eq!(action, self.decide());
                match action {
                    Action::Write(status) | Action::MakeRoom(status) => self.write(*status),
                    Action::Record(recording) => self.write(recording.then),
                    Action::Delete(deletion) => self.delete(&deletion.uid),
                    Action::EndPod(end) => self.end_pod(&end),
                    Action::Launch => {
                        self.launch();
                        break;
                    }
                    Action::Rest | Action::DeleteTask | Action::TellWorker(_) | Action::Batch(_) => break,
                }
                writes += 1;
                assert!(writes < DECISIONS, "it does not come to rest: {:?}", self.task.status);
            }
            self.now += SignedDuration::from_secs(61);
        }
        self.observed.jobs.len() > jobs
    }

    fn end_pod(&mut self, end: &PodEnd) {
        for pod in self.observed.pods.iter_mut().filter(|pod| pod.uid == end.uid) {
            pod.will_end(end.seconds, end.ended_for, self.now);
        }
    }

    fn decide(&self) -> Action {
        let input = Input {
            task: Arc::new(self.task.clone()),
            task_type: Some(Arc::new(self.task_type.clone())),
            dry_run_awaited: None,
            queue: Some(self.capacity.clone()),
            observed: self.observed.clone(),
            first_seen: 7,
            highest_seen: 8,
            earlier: lifecycle::Earlier::NotAsked,
            record_in_doubt: false,
            namespace_ends: None,
            waits_for: None,
            settings: Arc::new(self.settings.clone()),
            batch: self.batch(),
            answered: Answered::default(),
        };
        needs(&input, self.now);
        decide(&input, self.now).action
    }

    /// A batch of which nothing has happened, as the store and the watch tell.
    fn batch(&self) -> Option<BatchFacts> {
        let batch = self.task.spec.batch.as_ref()?;
        let chunk = ChunkFacts { task: Arc::new(self.task.clone()), is_asked: false };
        let chunks = self.task.spec.chunk.iter().map(|_| chunk.clone()).collect();
        Some(BatchFacts { ledger: Some(Arc::new(Ledger::new(batch.total()))), chunks, ..BatchFacts::default() })
    }

    fn admit(&mut self) {
        let mut admission = AdmissionQueue::new(None);
        let QueueState::Pending(pending) = queue_state(&self.task, Some(&self.task_type), 7, &self.settings) else {
            return;
        };
        admission.set_quota(pending.queue.clone(), Some(self.capacity.clone()));
        admission.set(&"uid-of-one".into(), QueueState::Pending(pending));
        for pending in admission.admit(self.now).admitted {
            let admission = Admission { arrival: pending.task.order.place(), holds: pending.admitted(), worker: None };
            self.write(lifecycle::admitted(&self.task, &self.task_type, &admission, self.now));
        }
    }

    /// A status that was written can be read again, and says the same.
    fn write(&mut self, status: TaskStatus) {
        let before = self.task.status.replace(status.clone()).unwrap_or_default();
        news::warning(&before, &status);
        let written: TaskStatus = read(serde_json::to_value(&status).expect("JSON"));
        assert_eq!((written.state, written.reason, written.attempt), (status.state, status.reason, status.attempt));
    }

    fn launch(&mut self) {
        let status = self.task.status.clone().unwrap_or_default();
        let Ok(job) = job::job(&self.task, &status, &self.task_type, &self.settings, &BTreeSet::new()) else { return };
        let name = job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        assert!(!name.is_empty() && name.len() <= 63, "{name}");
        // The API server refuses what is no Job.
        let Ok(job) = serde_json::from_value(job) else { return };
        self.observed.jobs.push(JobFacts { uid: name, ..JobFacts::of(&job) });
    }

    fn delete(&mut self, uid: &str) {
        self.observed.jobs.iter_mut().filter(|job| job.uid == uid).for_each(|job| job.gone = true);
        self.observed.pods.iter_mut().filter(|pod| pod.uid == uid).for_each(|pod| pod.gone_at = Some(self.now));
    }
}

#[test]
fn whatever_the_schema_lets_in_is_read_and_decided_on() {
    let objects_of_ours = (manifest("Task"), manifest("TaskType"), manifest("TaskQueue"));
    let pods = [child(a_pod()), child(a_pod())];
    let seconds = 1_700_000_000..1_800_000_000i64;
    let cases = (objects_of_ours, child(a_job()), pods, seconds);
    let launched = AtomicU32::new(0);
    let count = objects() / OBJECTS_OF_A_CASE + 1;
    for_all(count, cases, |((task, task_type, queue), job, pods, second)| {
        if Case::new(task, task_type, queue, job, pods, second).goes_on() {
            launched.fetch_add(1, Ordering::Relaxed);
        }
    });
    let launched = launched.into_inner();
    assert!(launched > count / 50, "{launched} of {count} tasks were launched: too few to show anything");
}

#[test]
fn any_json_and_any_text_goes_through_every_decoder() {
    for_all(objects() / 10, (any_json(), arbitrary::text()), |(json, text)| {
        let _ = serde_json::from_value::<Task>(json.clone());
        let _ = serde_json::from_value::<TaskType>(json.clone()).map(|task_type| ParsedType::of(&task_type));
        let _ = serde_json::from_value::<TaskQueue>(json.clone()).map(|queue| Quota::of(&queue.spec));
        let _ = serde_json::from_value::<TaskStatus>(json.clone());
        let _ = serde_json::from_value::<Job>(json.clone()).map(|job| JobFacts::of(&job));
        let _ = serde_json::from_value::<Pod>(json.clone()).map(|pod| PodFacts::of(&pod));
        let _ = serde_json::from_str::<Holds>(&text);
        let _ = LeftResult::of(&text, 1).remark();
        let _ = LeftResult::of(&json.to_string(), usize::MAX).remark();
        amount(&Quantity(text));
        let _ = serde_json::from_value::<Quantity>(json).map(|quantity| amount(&quantity));
    });
}

/// One of these values, at random.
fn drawn(values: &BoxedStrategy<Value>, runner: &mut TestRunner) -> Value {
    values.new_tree(runner).expect("a value").current()
}

/// Objects as people send them: what the operator's own writes put there is left to it, but for some.
fn sent(number: u32, values: &[(&str, BoxedStrategy<Value>)], runner: &mut TestRunner) -> Value {
    let (kind, values) = &values[number as usize % values.len()];
    let mut object = drawn(values, runner);
    let name = if *kind == "Task" { format!("task-{number}") } else { format!("other-{}", number % 7) };
    object["metadata"] = json!({ "name": name });
    object
}

#[tokio::test]
async fn arbitrary_objects_stop_nobody_else() {
    in_namespace("fuzz", async |ns| {
        let node = ns.fake_node();
        node.otherwise(Outcome::exit(1));
        let operator = ns.operator(&["--max-running-tasks", "50"]).await;
        for (name, queue) in [("one", "narrow"), ("two", "wide")] {
            ns.create(&task_type(name)).await;
            ns.create(&task_queue(queue, 5)).await;
        }
        let values = ["Task", "Task", "Task", "TaskType", "TaskQueue"].map(|kind| (kind, manifest(kind).boxed()));
        let mut runner = runner(Config { failure_persistence: None, ..Config::default() });
        let objects: Vec<_> = (0..objects() / ONE_IN).map(|number| sent(number, &values, &mut runner)).collect();
        let all = objects.len();
        let writes = futures::stream::iter(objects).map(async |object| write(&ns, object).await);
        let accepted = writes.buffer_unordered(16).filter(|accepted| std::future::ready(*accepted)).count();
        let accepted = tokio::time::timeout(ALL_WRITTEN, accepted).await.expect("all are written in time");
        assert!(accepted > all / 20, "{accepted} of {all} were accepted: too few to show anything");

        ns.create(&task_type("plain")).await;
        ns.create(&task("plain").with(|spec| (spec.type_, spec.queue) = ("plain".into(), "wide".into()))).await;
        node.script("plain", [Outcome::succeed()]);
        ns.task_within(seconds(120), "plain", "is Completed", |_, status| status.state == State::Completed).await;
        let log = operator.logged();
        assert!(!log.contains("panicked at") && !log.contains("cannot be read"), "it stumbled over one of them");
    })
    .await;
}

/// Creates it, and writes its status too, as nobody should who is not the operator; whether it was accepted.
async fn write(ns: &Namespace, object: Value) -> bool {
    let Ok(created) = ns.create_raw(object.clone()).await else { return false };
    let name = created.metadata.name.unwrap_or_default();
    let status = Patch::Merge(json!({"status": object["status"]}));
    if name.ends_with('3') && object["kind"] == "Task" {
        // The operator may be faster, or the status may not fit: both are well.
        let _ = ns.tasks().patch_status(&name, &PatchParams::default(), &status).await;
    }
    true
}
