//! The lives of a task that are walked, and how each must end whatever happens on the way.

use harness::{Namespace, Outcome, With, task, task_type};
use serde_json::{Value, json};
use task_manager::api::{AttemptOutcome, Executor, Reason, State, Task, TaskType};

/// One life of the task "one".
#[derive(Clone)]
pub struct Life {
    pub name: &'static str,
    /// The fates of its attempts.
    pub outcomes: Vec<Outcome>,
    pub retry: Value,
    pub timeout_seconds: Option<i32>,
    /// The change of its spec while its first attempt runs.
    pub changed: Option<Value>,
    pub end: End,
    pub executor: Executor,
    /// The memory limit of each attempt, in MiB.
    pub memory: Vec<i64>,
}

/// The end of a life.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub state: State,
    pub run_id: &'static str,
    pub attempt: i32,
    pub failures: i32,
    pub oom_kills: i32,
    pub attempts: Vec<(i32, AttemptOutcome, Reason)>,
}

const SUCCESS: (AttemptOutcome, Reason) = (AttemptOutcome::Succeeded, Reason::Succeeded);

impl Life {
    fn new(name: &'static str, outcomes: Vec<Outcome>, end: End) -> Self {
        let memory = vec![32; outcomes.len()];
        // Not one failure more than the life has is forgiven.
        Self {
            name,
            outcomes,
            retry: json!({"limit": end.failures}),
            timeout_seconds: None,
            changed: None,
            end,
            executor: Executor::default(),
            memory,
        }
    }

    pub fn success() -> Self {
        Self::new("success", vec![Outcome::succeed()], End::completed("1", &[SUCCESS]))
    }

    /// The same life, run by bare pods.
    pub fn in_bare_pods(self, name: &'static str) -> Self {
        Self { name, executor: Executor::Pod, ..self }
    }

    pub fn retry() -> Self {
        let failed = (AttemptOutcome::Failed, Reason::ExitCode);
        Self::new("retry", vec![Outcome::exit(1), Outcome::succeed()], End::completed("1", &[failed, SUCCESS]))
    }

    pub fn out_of_memory() -> Self {
        let failed = (AttemptOutcome::Failed, Reason::OOMKilled);
        let end = End { oom_kills: 1, ..End::completed("1", &[failed, SUCCESS]) };
        Self {
            retry: json!({"limit": 1, "oomMemoryFactor": 2}),
            memory: vec![32, 64],
            ..Self::new("oom", vec![Outcome::OutOfMemory, Outcome::succeed()], end)
        }
    }

    /// Its retries are used up.
    pub fn dead_letter() -> Self {
        let failed = (AttemptOutcome::Failed, Reason::ExitCode);
        let end = End { state: State::Failed, ..End::completed("1", &[failed]) };
        Self { retry: json!({"limit": 0}), ..Self::new("dead-letter", vec![Outcome::exit(1)], end) }
    }

    /// Its first attempt runs until its time is over.
    pub fn timeout() -> Self {
        let failed = (AttemptOutcome::Failed, Reason::Timeout);
        let outcomes = vec![Outcome::Hold, Outcome::succeed()];
        Self { timeout_seconds: Some(2), ..Self::new("timeout", outcomes, End::completed("1", &[failed, SUCCESS])) }
    }

    /// The helper beside its work does not end.
    pub fn helped() -> Self {
        Self::new("helped", vec![Outcome::HelperStays(0)], End::completed("1", &[SUCCESS]))
    }

    pub fn cancel() -> Self {
        let cancelled = (AttemptOutcome::Cancelled, Reason::Cancelled);
        let end = End { state: State::Cancelled, ..End::completed("1", &[cancelled]) };
        Self { changed: Some(json!({"cancel": true})), ..Self::new("cancel", vec![Outcome::Hold], end) }
    }

    pub fn new_run() -> Self {
        let outcomes = vec![Outcome::Hold, Outcome::succeed()];
        let end = End::completed("2", &[SUCCESS]);
        Self { changed: Some(json!({"runId": "2"})), ..Self::new("new-run", outcomes, end) }
    }

    /// The type of all its tasks. A helper that is not told to stay ends with the work.
    pub fn kind(&self) -> TaskType {
        let has_helper = self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::HelperStays(_)));
        task_type("work").with(|spec| {
            spec.executor = self.executor;
            let containers = spec.template["spec"]["containers"].as_array_mut().expect("containers");
            let helper =
                json!({"name": "helper", "image": "localhost/busybox:1", "resources": containers[0]["resources"]});
            containers.extend(has_helper.then_some(helper));
        })
    }

    pub async fn begin(&self, ns: &Namespace) {
        let retry = serde_json::from_value(self.retry.clone()).expect("retry");
        let task = task("one").with(|spec| (spec.retry, spec.timeout_seconds) = (Some(retry), self.timeout_seconds));
        ns.create(&task).await;
    }
}

impl End {
    /// Completed after these attempts.
    fn completed(run_id: &'static str, attempts: &[(AttemptOutcome, Reason)]) -> Self {
        let numbered = (1..).zip(attempts).map(|(number, (outcome, reason))| (number, *outcome, *reason));
        let failures = attempts.iter().filter(|(outcome, _)| *outcome == AttemptOutcome::Failed).count();
        Self {
            state: State::Completed,
            run_id,
            attempt: attempts.len() as i32,
            failures: failures as i32,
            oom_kills: 0,
            attempts: numbered.collect(),
        }
    }

    /// The end of `task`, or its present state.
    pub fn of(task: &Task) -> Self {
        let status = crate::stage::status(task);
        let run_id = ["1", "2"].into_iter().find(|known| status.run_id.as_deref() == Some(known));
        let attempts = status.attempts.iter().map(|attempt| (attempt.number, attempt.outcome, attempt.reason));
        Self {
            state: status.state,
            run_id: run_id.unwrap_or("another"),
            attempt: status.attempt,
            failures: status.failures + status.disruptions,
            oom_kills: status.oom_kills,
            attempts: attempts.collect(),
        }
    }
}
