//! Plays the Job controller, the scheduler, the kubelet and the garbage collector for one namespace, by a script.
//!
//! For each Job it makes the pod. That, or the bare pod of a task, ends as the script says for that task's next attempt; what
//! no script speaks of succeeds at once. A pod that is deleted ends by SIGTERM and goes, and one whose deadline is over ends
//! and stays; a Job that is deleted takes its pods along, and a Task its Jobs and bare pods. A Job that is suspended gets no pod, and
//! loses the one that it has. A Task that is deleted takes its chunks along.

mod acts;
mod pods;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::namespace::Namespace;

/// The fate of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Exit code 0, with this in the result file.
    Succeed(Option<String>),
    /// Another exit code, with this in the result file.
    Exit(i32, Option<String>),
    /// A container is killed for its use of memory.
    OutOfMemory,
    /// The kubelet ends it for its timeout.
    DeadlineExceeded,
    /// An eviction by the API, as a drain makes it.
    Evicted,
    /// The kubelet evicts it for its use of disk.
    DiskPressure,
    /// The kubelet refuses the pod with this word, before it makes a container.
    Refused(String),
    /// It runs until [`FakeNode::end`] says how it ends.
    Hold,
    /// Its work ends so, and what stands beside that runs on; until [`FakeNode::end`].
    HelperStays(i32),
    /// It runs for this time, and then this happens.
    After(Duration, Box<Outcome>),
    /// Its container does not start, for this reason of the kubelet's; until [`FakeNode::end`].
    Waiting(String),
    /// No node takes it; until [`FakeNode::end`].
    Unschedulable,
    /// The Job controller cannot make the pod, and says so in an event. Of a Job alone.
    NoPod(String),
}

impl Outcome {
    pub fn succeed() -> Self {
        Self::Succeed(None)
    }

    pub fn result(result: &str) -> Self {
        Self::Succeed(Some(result.into()))
    }

    pub fn exit(code: i32) -> Self {
        Self::Exit(code, None)
    }

    pub fn after(time: Duration, then: Self) -> Self {
        Self::After(time, Box::new(then))
    }
}

/// A pod that was started.
#[derive(Clone, Debug)]
pub struct Start {
    pub task: String,
    /// The name of its Job; of a bare pod its own.
    pub job: String,
    pub pod: String,
    pub at: Timestamp,
}

pub struct FakeNode {
    stage: Arc<Stage>,
    actor: JoinHandle<()>,
}

/// State shared by the fake components.
struct Stage {
    namespace: Namespace,
    script: Mutex<Script>,
    /// Notified when the test has said something new.
    told: Notify,
}

/// The fate of a chunk, by the content of its items file.
type ByItems = Arc<dyn Fn(&str) -> Outcome + Send + Sync>;

#[derive(Default)]
struct Script {
    by_items: Option<ByItems>,
    outcomes: HashMap<String, VecDeque<Outcome>>,
    otherwise: Option<Outcome>,
    told: HashMap<String, Outcome>,
    lingering: HashSet<String>,
    injected: Vec<Container>,
    starts: Vec<Start>,
}

impl FakeNode {
    pub(crate) fn start(namespace: &Namespace) -> Self {
        let stage = Arc::new(Stage { namespace: namespace.clone(), script: Mutex::default(), told: Notify::new() });
        let actor = tokio::spawn(acts::play(stage.clone()));
        Self { stage, actor }
    }

    /// Sets the fates of this task's attempts, one after another.
    pub fn script(&self, task: &str, outcomes: impl IntoIterator<Item = Outcome>) {
        self.stage.script().outcomes.entry(task.into()).or_default().extend(outcomes);
    }

    /// Sets the fate of every attempt without a script. Default: it succeeds at once.
    pub fn otherwise(&self, outcome: Outcome) {
        self.stage.script().otherwise = Some(outcome);
    }

    /// Sets the fate of every chunk of a batch, by the content of its items file.
    pub fn chunks(&self, fate: impl Fn(&str) -> Outcome + Send + Sync + 'static) {
        self.stage.script().by_items = Some(Arc::new(fate));
    }

    /// From here on the pods of Jobs are made with one more container, as by a webhook that skips dry runs.
    pub fn inject(&self, container: Container) {
        self.stage.script().injected.push(container);
    }

    /// Ends the held attempt of this task.
    pub fn end(&self, task: &str, outcome: Outcome) {
        self.stage.script().told.insert(task.into(), outcome);
        self.stage.told.notify_waiters();
    }

    /// Pods of this task do not end when they are deleted, until `let_go`.
    pub fn linger(&self, task: &str) {
        self.stage.script().lingering.insert(task.into());
    }

    pub fn let_go(&self, task: &str) {
        self.stage.script().lingering.remove(task);
        self.stage.told.notify_waiters();
    }

    /// The pods started so far, in the order of their launches.
    pub fn starts(&self) -> Vec<Start> {
        self.stage.script().starts.clone()
    }

    pub fn starts_of(&self, task: &str) -> usize {
        self.starts().iter().filter(|start| start.task == task).count()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.actor.abort();
    }
}

impl Stage {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `items` is the content of the items file that its pod is given.
    fn next_outcome(&self, task: &str, items: Option<&String>) -> Outcome {
        let by_items = self.script().by_items.clone();
        if let Some((fate, items)) = by_items.zip(items) {
            return fate(items);
        }
        let mut script = self.script();
        let scripted = script.outcomes.get_mut(task).and_then(VecDeque::pop_front);
        scripted.or_else(|| script.otherwise.clone()).unwrap_or_else(Outcome::succeed)
    }

    /// Waits until the test says how the held attempt of this task ends.
    async fn told(&self, task: &str) -> Outcome {
        self.once(|script| script.told.remove(task)).await
    }

    async fn no_longer_lingering(&self, task: &str) {
        self.once(|script| (!script.lingering.contains(task)).then_some(())).await;
    }

    async fn once<T>(&self, mut look: impl FnMut(&mut Script) -> Option<T>) -> T {
        loop {
            let told = self.told.notified();
            tokio::pin!(told);
            // Registered before looking, so that nothing is missed.
            told.as_mut().enable();
            if let Some(found) = look(&mut self.script()) {
                return found;
            }
            told.await;
        }
    }
}
