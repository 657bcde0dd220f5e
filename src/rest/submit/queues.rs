//! The queue that a submission names, and whether it could ever hold the task. Asked of the API server, and remembered for
//! a moment: a bulk request asks for the same one a thousand times.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use super::Submitter;
use super::validate::may_be_name;
use crate::api::{Capacity, Task, TaskQueue, TaskQueueSpec, TaskType};
use crate::core::launch::{holds, policy};
use crate::core::queue::Quota;
use crate::core::{ParsedType, Settings};
use crate::rest::api_server::ApiServer;
use crate::serving::problem::{Problem, ProblemType};

/// How long an answer counts.
const REMEMBERED: Duration = Duration::from_secs(2);
const MOST_REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
const LONGEST_NAME: usize = 253;
/// The queue that need not be created.
const USUAL: &str = "default";

/// The API server's last answers about one kind of object, by namespace and name.
struct Answers<K>(Mutex<LruCache<(String, String), Answer<K>>>);

/// When it was given, and the object, if there is one.
type Answer<K> = (Instant, Option<Arc<K>>);

impl<K> Answers<K> {
    fn none() -> Self {
        Self(Mutex::new(LruCache::new(MOST_REMEMBERED)))
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Option<Arc<K>>> {
        let mut answers = self.0.lock();
        let (at, answer) = answers.get(&(namespace.to_owned(), name.to_owned()))?;
        (at.elapsed() < REMEMBERED).then(|| answer.clone())
    }

    fn keep(&self, namespace: &str, name: &str, answer: Option<Arc<K>>) -> Option<Arc<K>> {
        self.0.lock().put((namespace.to_owned(), name.to_owned()), (Instant::now(), answer.clone()));
        answer
    }
}

/// Queues, and the types whose templates say how large a task is.
pub struct Queues {
    settings: Settings,
    queues: Answers<TaskQueue>,
    types: Answers<ParsedType>,
}

impl Queues {
    pub fn new(settings: Settings) -> Self {
        Self { settings, queues: Answers::none(), types: Answers::none() }
    }

    /// `None` for the usual queue where nobody created it. Another one that is not there is asked for each time: it may
    /// have been made a moment ago.
    async fn queue(&self, api: &ApiServer, namespace: &str, name: &str) -> Result<Option<Arc<TaskQueue>>, Problem> {
        match self.queues.get(namespace, name) {
            Some(known) if known.is_some() || name == USUAL => Ok(known),
            _ => {
                let queue = api.task_queue(namespace, name).await?.map(Arc::new);
                Ok(self.queues.keep(namespace, name, queue))
            }
        }
    }

    async fn task_type(
        &self,
        api: &ApiServer,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<ParsedType>>, Problem> {
        if let Some(Some(known)) = self.types.get(namespace, name) {
            return Ok(Some(known));
        }
        let kind: Option<TaskType> = api.task_type(namespace, name).await?;
        Ok(self.types.keep(namespace, name, kind.map(|kind| Arc::new(ParsedType::of(&kind)))))
    }
}

impl Submitter {
    /// Refuses a task whose queue does not exist, or could never hold it.
    pub(super) async fn fits_its_queue(&self, namespace: &str, task: &Task) -> Result<(), Problem> {
        let name = task.spec.queue.as_str();
        if !(1..=LONGEST_NAME).contains(&name.len()) {
            // The API server refuses that, in words about its length.
            return Ok(());
        }
        let queue = match may_be_name(name) {
            true => self.queues.queue(&self.api, namespace, name).await?,
            false => None,
        };
        match queue {
            Some(queue) => self.fits(namespace, task, &queue.spec).await,
            None if name == USUAL => Ok(()),
            None => Err(unknown(name)),
        }
    }

    async fn fits(&self, namespace: &str, task: &Task, queue: &TaskQueueSpec) -> Result<(), Problem> {
        if queue.capacity.resources.is_empty() {
            return Ok(());
        }
        // Gone in this moment: the task waits for it.
        let Some(kind) = self.queues.task_type(&self.api, namespace, &task.spec.type_).await? else { return Ok(()) };
        // Nor is a template that cannot be used told here; the task waits for its correction.
        let Ok(amounts) = holds::counted(task, &kind, &self.queues.settings) else { return Ok(()) };
        // A capacity of no tasks at all holds a queue for a while; it says nothing of how large a task may be.
        let capacity = Capacity { tasks: None, ..queue.capacity.clone() };
        let quota = Quota::of(&TaskQueueSpec { capacity, ..queue.clone() });
        let why = quota.never_fits(policy::priority(&task.spec, Some(&kind.spec)), &amounts);
        why.map_or(Ok(()), |why| Err(larger(&task.spec.queue, &why.for_ever())))
    }
}

fn unknown(name: &str) -> Problem {
    ProblemType::UnknownQueue
        .because(format!(
            "there is no TaskQueue {name:?} here; look for a typing error, or leave it out for the usual queue"
        ))
        .at("queue")
}

fn larger(name: &str, why: &str) -> Problem {
    ProblemType::LargerThanQueue
        .because(format!("queue {name} can never hold this: {why}; ask for less, or use another queue"))
        .at("queue")
}
