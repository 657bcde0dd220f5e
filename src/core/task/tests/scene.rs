//! Builders: a task, what surrounds it, and its children as they are seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::attempt::facts::container::{Awaited, Awaiting, OutOfMemory};
use crate::attempt::facts::{JobEnd, JobFacts, JobSeen, NodeState, Phase, PodAsked, PodFacts, PodSeen, Why, Work};
use crate::attempt::needs::{Answered, Needs};
use crate::launch::holds;
use crate::task::*;
use crate::{ParsedType, Settings};
use task_manager_api::{Admitted, AttemptOutcome, TaskTypeSpec};

pub use crate::Reason;
pub use crate::attempt::facts::{LogOf, Observed};
pub use crate::attempt::{Child, Deletion, PodEnd, job_name};
pub use crate::queue::Quota;
pub use task_manager_api::{State, Task, TaskStatus};

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("a time")
}

pub fn merged(mut base: Value, fields: Value) -> Value {
    if let (Some(base), Value::Object(fields)) = (base.as_object_mut(), fields) {
        base.extend(fields);
    }
    base
}

/// A type whose pauses are without jitter's help easy to foretell, and whose limits are small.
pub fn kind(fields: Value) -> ParsedType {
    let spec = json!({
        "template": {"spec": {"containers": [{"name": "work", "image": "busybox", "resources": {"requests": {"cpu": "1"}}}]}},
        "defaults": {"timeoutSeconds": 600, "retry": {"limit": 2, "disruptionLimit": 3, "initialSeconds": 10, "factor": 2, "maxSeconds": 300}},
        "startDeadlineSeconds": 120,
    });
    ParsedType::read(&serde_json::from_value::<TaskTypeSpec>(merged(spec, fields)).expect("a type's spec"))
}

/// A task that was created at second 0 with resourceVersion 100, and what is known beside it.
pub struct Scene {
    pub task: Task,
    pub kind: Option<ParsedType>,
    pub dry_run_awaited: Option<Timestamp>,
    pub queue: Option<Quota>,
    pub observed: Observed,
    pub first_seen: u64,
    pub settings: Settings,
    pub earlier: Earlier,
    pub record_in_doubt: bool,
    pub namespace_ends: Option<Timestamp>,
    pub waits_for: Option<Why>,
}

pub fn queued(spec: Value) -> Scene {
    let spec = merged(json!({"type": "reports"}), spec);
    let mut task = Task::new("report-7", serde_json::from_value(spec).expect("a task's spec"));
    task.metadata.namespace = Some("docs".into());
    task.metadata.uid = Some("uid-1".into());
    task.metadata.generation = Some(1);
    task.metadata.resource_version = Some("100".into());
    task.metadata.creation_timestamp = Some(Time(at(0)));
    task.status = Some(TaskStatus { observed_generation: -1, ..TaskStatus::default() });
    Scene {
        task,
        kind: Some(kind(json!({}))),
        dry_run_awaited: None,
        queue: Some(Quota::of_tasks(50)),
        observed: Observed::default(),
        first_seen: 100,
        settings: Settings::default(),
        earlier: Earlier::NotAsked,
        record_in_doubt: false,
        namespace_ends: None,
        waits_for: None,
    }
}

/// Admitted at second 0.
pub fn with_slot(spec: Value) -> Scene {
    queued(spec).admit(0)
}

/// Its Job was made at second 0, and has no pod yet.
pub fn launched(spec: Value) -> Scene {
    with_slot(spec).launch(0)
}

/// Its pod runs since second 0.
pub fn running(spec: Value) -> Scene {
    let scene = launched(spec);
    let pod = scene.pod("p1");
    scene.with(pod)
}

impl Scene {
    /// Everything that is known before anything is asked for.
    pub fn input(&self) -> Input {
        Input {
            task: Arc::new(self.task.clone()),
            task_type: self.kind.clone().map(Arc::new),
            dry_run_awaited: self.dry_run_awaited,
            queue: self.queue.clone(),
            observed: self.observed.clone(),
            first_seen: self.first_seen,
            highest_seen: self.version(),
            earlier: self.earlier.clone(),
            record_in_doubt: self.record_in_doubt,
            namespace_ends: self.namespace_ends,
            waits_for: self.waits_for.clone(),
            settings: Arc::new(self.settings.clone()),
            batch: None,
            answered: Answered::default(),
        }
    }

    /// A node that nobody has asked for yet is silent.
    pub fn decide(&self, second: i64) -> Decision {
        let mut input = self.input();
        for pod in input.observed.pods.iter_mut().filter(|pod| pod.asked.node == NodeState::NotAsked) {
            pod.asked.node = NodeState::Silent;
        }
        decide(&input, at(second))
    }

    /// The API server is asked for the Job first.
    pub fn doubts(&self, second: i64) -> bool {
        let input = Input { answered: Answered { pods: true, pod: true, ..Answered::default() }, ..self.input() };
        matches!(needs(&input, at(second)), Needs::Launched { .. })
    }

    pub fn rests(&self, second: i64) -> bool {
        self.decide(second).action == Action::Rest
    }

    /// When it is looked at again, given that nothing is to be done.
    #[track_caller]
    pub fn wakes(&self, second: i64) -> Option<i64> {
        let decision = self.decide(second);
        assert_eq!(decision.action, Action::Rest);
        decision.wake.map(|wake| wake.as_second() - at(0).as_second())
    }

    /// The status that is written while the archive takes what it is given.
    #[track_caller]
    pub fn writes(&self, second: i64) -> TaskStatus {
        match self.decide(second).action {
            Action::Write(status) => *status,
            Action::Record(recording) => recording.then,
            action => panic!("expected a write, and not {action:?}"),
        }
    }

    /// The record that is to be put.
    #[track_caller]
    pub fn records(&self, second: i64) -> Recording {
        match self.decide(second).action {
            Action::Record(recording) => *recording,
            action => panic!("expected a record, and not {action:?}"),
        }
    }

    /// Writes what is decided while the archive takes nothing.
    #[track_caller]
    pub fn write_without_archive(mut self, second: i64) -> Self {
        let meanwhile = self.records(second).meanwhile.expect("something to write meanwhile");
        self.set(meanwhile);
        self
    }

    /// Writes what was decided.
    #[track_caller]
    pub fn write(mut self, second: i64) -> Self {
        let status = self.writes(second);
        self.set(status);
        self
    }

    pub fn set(&mut self, status: TaskStatus) {
        self.task.status = Some(status);
        self.touch();
    }

    /// Something wrote to the task.
    pub fn touch(&mut self) {
        self.task.metadata.resource_version = Some((self.version() + 1).to_string());
    }

    pub fn version(&self) -> u64 {
        self.task.metadata.resource_version.as_ref().map_or(100, |text| text.parse().expect("a number"))
    }

    /// A person changes the spec, and the watch shows it.
    pub fn edit(mut self, change: impl FnOnce(&mut task_manager_api::TaskSpec)) -> Self {
        let run_id = self.task.spec.run_id.clone();
        change(&mut self.task.spec);
        self.task.metadata.generation = self.task.metadata.generation.map(|generation| generation + 1);
        self.touch();
        if self.task.spec.run_id != run_id {
            self.first_seen = self.version();
        }
        self
    }

    pub fn admit(mut self, second: i64) -> Self {
        let kind = self.kind.as_ref().expect("a type");
        let counted = holds::counted(&self.task, kind, &self.settings).expect("a usable template");
        let spec = &self.task.spec;
        let holds = Admitted {
            queue: spec.queue.clone(),
            executor: None,
            worker: None,
            type_: Some(spec.type_.clone()),
            kb_id: spec.kb_id.clone(),
            resources: holds::to_quantities(&counted),
        };
        let admission = Admission { arrival: self.first_seen, holds, worker: None };
        let status = crate::task::admitted(&self.task, kind, &admission, at(second));
        self.set(status);
        self
    }

    pub fn launch(mut self, second: i64) -> Self {
        self.observed.jobs.push(self.job(second));
        self
    }

    pub fn with(mut self, pod: PodFacts) -> Self {
        self.observed.pods.push(pod);
        self
    }

    /// Its only pod is now `change`d.
    pub fn pod_is(mut self, change: impl FnOnce(PodFacts) -> PodFacts) -> Self {
        let pod = self.observed.pods.pop().expect("a pod");
        self.with(change(pod))
    }

    /// Its last Job is now `change`d.
    pub fn job_is(mut self, change: impl FnOnce(&mut JobFacts)) -> Self {
        change(self.observed.jobs.last_mut().expect("a Job"));
        self
    }

    pub fn job(&self, second: i64) -> JobFacts {
        let name = job_name(&self.task);
        JobFacts {
            kind: Child::Job,
            namespace: "docs".into(),
            uid: format!("uid of {name}"),
            name,
            owner: Some("uid-1".into()),
            created_at: at(second),
            deleting: false,
            deleted_at: None,
            finalizers: vec![],
            gone: false,
            finished: None,
            suspended: false,
            deadline_seconds: Some(720),
            holds: None,
            seen: JobSeen::default(),
        }
    }

    /// A pod of the present attempt whose work runs since second 0, for 600 s at most.
    pub fn pod(&self, name: &str) -> PodFacts {
        let job = job_name(&self.task);
        PodFacts {
            bare: None,
            namespace: "docs".into(),
            name: name.into(),
            uid: format!("uid of {name}"),
            owner: Some(format!("uid of {job}")),
            job,
            node: Some("node-3".into()),
            nominated: None,
            unseen_by: None,
            container: Some("work".into()),
            containers: 1,
            created_at: at(0),
            started_at: Some(at(0)),
            gates: vec![],
            deadline_seconds: Some(720),
            timeout_seconds: Some(600),
            ended_for: None,
            grace_seconds: 30,
            phase: Phase::Running,
            reason: None,
            message: None,
            due_gone_at: None,
            node_silent_since: None,
            deleted_at: None,
            without_grace: false,
            gone_at: None,
            disruption: None,
            disrupted_at: None,
            waiting: None,
            awaited: None,
            not_startable: None,
            work: Work::Running { started_at: Some(at(0)) },
            beside: vec![],
            ends_beside: vec![],
            out_of_memory: None,
            may_be_killed_after: None,
            failed_init: None,
            lists_no_container: false,
            holds: None,
            surplus: BTreeMap::new(),
            seen: PodSeen::default(),
            asked: PodAsked::default(),
            events: None,
        }
    }

    pub fn status(&self) -> &TaskStatus {
        self.task.status.as_ref().expect("a status")
    }

    /// The condition's status, where there is such a condition.
    pub fn condition(&self, type_: &str) -> Option<(&str, &str)> {
        let condition = self.status().conditions.iter().find(|condition| condition.type_ == type_)?;
        Some((condition.status.as_str(), condition.reason.as_str()))
    }
}

pub fn exits(exit_code: i32) -> impl FnOnce(PodFacts) -> PodFacts {
    exits_leaving(exit_code, None)
}

pub fn exits_leaving(exit_code: i32, left: Option<&str>) -> impl FnOnce(PodFacts) -> PodFacts {
    let left = left.map(str::to_owned);
    let phase = if exit_code == 0 { Phase::Succeeded } else { Phase::Failed };
    move |pod| PodFacts {
        phase,
        work: Work::Ended { exit_code, started_at: Some(at(0)), at: Some(at(5)), left },
        ..pod
    }
}

pub fn killed(container: &str) -> Option<OutOfMemory> {
    Some(OutOfMemory { container: container.into(), limit: None })
}

pub fn evicted(pod: PodFacts) -> PodFacts {
    PodFacts { disruption: Some(("EvictionByEvictionAPI".into(), "drained".into())), ..exits(143)(pod) }
}

/// It has a node and an image to wait for, or no node at all.
pub fn waits(reason: Reason) -> impl FnOnce(PodFacts) -> PodFacts {
    move |pod| PodFacts {
        phase: Phase::Pending,
        work: Work::NotStarted,
        awaited: Some(Awaited { container: "work".into(), is: Awaiting::Made }),
        node: pod.node.filter(|_| reason != Reason::Unschedulable),
        started_at: None,
        waiting: Some(Why { reason, message: format!("said of {reason}") }),
        ..pod
    }
}

/// Its deletion was asked for at `second`, with a grace of 30 s.
pub fn terminating(second: i64) -> impl FnOnce(PodFacts) -> PodFacts {
    move |pod| PodFacts { deleted_at: Some(at(second)), due_gone_at: Some(at(second + 30)), ..pod }
}

pub fn gone(pod: PodFacts) -> PodFacts {
    PodFacts { gone_at: Some(at(0)), ..pod }
}

pub fn finished(succeeded: bool, second: i64) -> impl FnOnce(&mut JobFacts) {
    move |job| job.finished = Some(JobEnd { succeeded, at: at(second) })
}

pub fn outcomes(status: &TaskStatus) -> Vec<(i32, AttemptOutcome, Reason)> {
    status.attempts.iter().map(|attempt| (attempt.number, attempt.outcome, attempt.reason)).collect()
}

pub fn cpu(count: &str) -> BTreeMap<String, task_manager_api::Quantity> {
    [("cpu".to_owned(), task_manager_api::Quantity(count.into()))].into()
}
