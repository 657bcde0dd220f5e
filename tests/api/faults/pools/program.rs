//! The program in the pods of warm workers, one of whose calls is struck.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harness::faults::Wire;
use harness::{Answer, Namespace, Rest, WarmWorker, eventually};
use hyper::Method;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::PATIENCE;

/// Between two tries of a call.
const PAUSE: Duration = Duration::from_millis(200);
/// No answer takes longer than its wait and this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Whoever hangs up does so before an answer may come.
const HANGS_UP_AFTER: Duration = Duration::from_millis(3);

/// A call of the worker, about one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// It is given the task.
    Given,
    Progress,
    Error,
    Result,
    /// It hands in.
    Done,
}

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    NotSent,
    Answer,
    HungUp,
    /// The operator is gone before the call comes, or when it has answered; the answer is lost too.
    OperatorBefore,
    OperatorAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    pub call: Call,
    pub attempt: i32,
    pub lost: Lost,
}

pub struct Program {
    namespace: Namespace,
    way: Rest,
    wire: Arc<Wire>,
    strike: Option<Strike>,
    struck: AtomicBool,
    /// Names and attempts of the tasks that were begun.
    worked: Mutex<Vec<(String, i32)>>,
    /// How many have something to hand in, or are at work.
    busy: AtomicUsize,
    /// What is not as it must be.
    wrong: Mutex<Vec<String>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Program {
    /// Every call of an attempt of "one", and every way in which it can be lost.
    pub fn strikes(attempt: i32) -> Vec<Strike> {
        let all = [Lost::NotSent, Lost::Answer, Lost::HungUp, Lost::OperatorBefore, Lost::OperatorAfter];
        let reported = if attempt == 1 { Call::Error } else { Call::Result };
        let of = |call: Call, lost: &[Lost]| -> Vec<Strike> {
            lost.iter().map(|lost| Strike { call, attempt, lost: *lost }).collect()
        };
        // Which call will bring the task is known only by its answer.
        let given = of(Call::Given, &[Lost::Answer, Lost::OperatorAfter]);
        [given, of(Call::Progress, &all), of(reported, &all), of(Call::Done, &all)].concat()
    }

    /// Runs in every pod of the pool, until what is returned beside it is dropped.
    pub fn start(
        namespace: &Namespace,
        way: Rest,
        wire: Arc<Wire>,
        strike: Option<Strike>,
    ) -> (Arc<Self>, JoinSet<()>) {
        let program = Arc::new(Self {
            namespace: namespace.clone(),
            way,
            wire,
            strike,
            struck: AtomicBool::new(false),
            worked: Mutex::default(),
            busy: AtomicUsize::new(0),
            wrong: Mutex::default(),
        });
        let mut pods = JoinSet::new();
        pods.spawn(program.clone().in_every_pod());
        (program, pods)
    }

    async fn in_every_pod(self: Arc<Self>) {
        let mut begun: HashSet<String> = HashSet::new();
        // Dropped with this, they end.
        let mut running = JoinSet::new();
        loop {
            for pod in self.namespace.workers_now("warm").await {
                let name = pod.name_any();
                if !begun.insert(name) {
                    continue;
                }
                let worker = WarmWorker::of(&self.namespace, &pod, self.way.clone()).await;
                let this = self.clone();
                running.spawn(async move { this.run(worker).await });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Panics where something was not as it must be.
    pub fn is_well(&self) {
        let wrong = lock(&self.wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    pub async fn has_nothing_to_say(&self) {
        eventually("all was handed in", PATIENCE, async || (self.busy.load(Ordering::SeqCst) == 0).then_some(())).await;
        self.is_well();
    }

    pub fn has_struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// The attempts of this task that were begun, in order.
    pub fn worked(&self, name: &str) -> Vec<i32> {
        lock(&self.worked).iter().filter(|(of, _)| of == name).map(|(_, attempt)| *attempt).collect()
    }

    /// Until the pod is no worker any longer.
    async fn run(&self, worker: WarmWorker) {
        let mut done: Option<(Value, Value)> = None;
        loop {
            let mut body = json!({"wait": 2, "beats": true});
            if let Some((_, done)) = &done {
                body["done"] = done.clone();
            }
            let about = done.as_ref().map(|(task, _)| task);
            let Some(answer) = self.call(&worker, Call::Done, about, (Method::POST, "next"), body.to_string()).await
            else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            match answer.status {
                200 => {}
                401 | 403 => return self.note(done.is_none(), || format!("{} may not hand in", worker.pod)),
                _ => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            let answer = answer.json();
            if self.loses_what_is_given(&answer["task"]) {
                continue;
            }
            if let Some((task, _)) = &done {
                match answer["kept"].as_bool() {
                    Some(kept) => self.is_durable(task, kept).await,
                    None => continue,
                }
                done = None;
                self.busy.fetch_sub(1, Ordering::SeqCst);
            }
            if answer["stop"] == json!(true) {
                return;
            }
            if !answer["task"].is_null() {
                self.busy.fetch_add(1, Ordering::SeqCst);
                done = Some((answer["task"].clone(), self.work(&worker, &answer["task"]).await));
            }
        }
    }

    fn note(&self, is_right: bool, told: impl FnOnce() -> String) {
        if !is_right {
            lock(&self.wrong).push(told());
        }
    }

    /// `kept` is never said before it is written.
    async fn is_durable(&self, task: &Value, kept: bool) {
        let (name, attempt) = (task["name"].as_str().unwrap_or_default(), task["attempt"].as_i64().unwrap_or_default());
        let status = self.namespace.task(name).await.status.unwrap_or_default();
        let is_there = status.attempts.iter().any(|ended| i64::from(ended.number) == attempt);
        self.note(kept && is_there, || format!("kept {kept} was said of attempt {attempt}: {status:#?}"));
    }

    /// Does the task, and returns what there is to hand in.
    async fn work(&self, worker: &WarmWorker, task: &Value) -> Value {
        let name = task["name"].as_str().unwrap_or_default().to_owned();
        let attempt = task["attempt"].as_i64().unwrap_or_default() as i32;
        lock(&self.worked).push((name.clone(), attempt));
        let lease = &task["lease"];
        if name != "one" {
            return json!({"lease": lease, "result": {"name": name}});
        }
        self.report(worker, Call::Progress, task, "progress", json!({"percent": 40 + attempt})).await;
        if attempt == 1 {
            self.report(worker, Call::Error, task, "error", json!({"type": "Broken", "message": "page 7"})).await;
            return json!({"lease": lease, "exit_code": 1, "log": "no page 7"});
        }
        self.report(worker, Call::Result, task, "result", json!("x".repeat(5000))).await;
        json!({"lease": lease})
    }

    /// Says it until it is taken.
    async fn report(&self, worker: &WarmWorker, call: Call, task: &Value, path: &str, said: Value) {
        let method = if call == Call::Result { Method::PUT } else { Method::POST };
        loop {
            let answer = self.call(worker, call, Some(task), (method.clone(), path), said.to_string()).await;
            match answer.map(|answer| answer.status) {
                Some(204) => return,
                None | Some(503) => tokio::time::sleep(PAUSE).await,
                Some(other) => return self.note(false, || format!("{path} was answered with {other}")),
            }
        }
    }

    /// The answer that brings the task is lost, or the operator is gone when the worker has it.
    fn loses_what_is_given(&self, task: &Value) -> bool {
        match self.strikes_at(Call::Given, Some(task)) {
            Some(Lost::OperatorAfter) => {
                self.wire.stop();
                false
            }
            struck => struck.is_some(),
        }
    }

    fn strikes_at(&self, call: Call, task: Option<&Value>) -> Option<Lost> {
        let strike = self.strike.filter(|strike| strike.call == call)?;
        let is_it = task.is_some_and(|task| task["name"] == json!("one") && task["attempt"] == json!(strike.attempt));
        (is_it && !self.struck.swap(true, Ordering::SeqCst)).then_some(strike.lost)
    }

    async fn call(
        &self,
        worker: &WarmWorker,
        call: Call,
        task: Option<&Value>,
        path: (Method, &str),
        body: String,
    ) -> Option<Answer> {
        let lease = task.and_then(|task| task["lease"].as_str()).filter(|_| path.1 != "next").map(str::to_owned);
        let send = async |within| {
            worker.try_to_say(within, path.clone(), lease.as_deref(), "application/json", body.clone()).await
        };
        match self.strikes_at(call, task) {
            None => send(ANSWERS_WITHIN).await,
            Some(Lost::NotSent) => None,
            Some(Lost::HungUp) => {
                send(HANGS_UP_AFTER).await;
                None
            }
            Some(Lost::Answer) => {
                send(ANSWERS_WITHIN).await;
                None
            }
            Some(Lost::OperatorBefore) => {
                self.wire.stop();
                send(ANSWERS_WITHIN).await
            }
            Some(Lost::OperatorAfter) => {
                send(ANSWERS_WITHIN).await;
                self.wire.stop();
                None
            }
        }
    }
}
