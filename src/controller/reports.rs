//! Takes what the work says over HTTP: finds the attempt that its pod is at work on, and keeps the word for the next
//! decision about the task. What must outlive us is in the task's status before the speaker is answered.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{BoxFuture, FutureExt};
use futures::{SinkExt, future};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Heard};
use crate::api::{Task, TaskStatus};
use crate::cluster::calls::Reads;
use crate::cluster::watch::Scope;
use crate::core::attempt::reports::{Said, Word, same};
use crate::live::{Deaf, Listener, Live, Speaker, Spot};

/// How long a speaker waits until the watches have shown what its attempt is.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// How long a speaker waits until its word is written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(8);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

type Wake = mpsc::Sender<ObjectRef<Task>>;

/// The values that listening uses.
pub struct Context {
    pub reads: Reads,
    /// Only pods of these namespaces are known.
    pub scope: Scope,
    pub cache: Arc<Cache>,
    pub live: Arc<Live>,
}

/// Listens until it is dropped.
pub async fn run(context: Context, wake: Wake, stop: CancellationToken) {
    let live = context.live.clone();
    let _listening = live.listens(Arc::new(Ear { context, wake, stop }));
    future::pending::<()>().await;
}

struct Ear {
    context: Context,
    wake: Wake,
    stop: CancellationToken,
}

impl Listener for Ear {
    fn whose<'a>(&'a self, speaker: &'a Speaker) -> BoxFuture<'a, Result<Spot, Deaf>> {
        self.until_stopped(async { self.task_of(speaker).await.map(|task| Spot::of(&task)) })
    }

    fn hear<'a>(&'a self, speaker: &'a Speaker, word: Word) -> BoxFuture<'a, Result<(), Deaf>> {
        self.until_stopped(async move {
            let task = self.task_of(speaker).await?;
            let before = self.context.live.keep(&Spot::of(&task), &speaker.uid, word.clone());
            if !is_awaited(&task, &before, &word) {
                self.look_at(&task).await?;
            }
            match word {
                Word::Progress(_) => Ok(()),
                Word::Error(_) | Word::Result(_) => self.written(speaker, &word).await,
            }
        })
    }
}

impl Ear {
    /// The reconciler ends when nobody can wake it any more, so nobody is heard out when the term is over.
    fn until_stopped<'a, T: Send + 'a>(
        &'a self,
        hearing: impl Future<Output = Result<T, Deaf>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Deaf>> {
        let heard = self.stop.run_until_cancelled(hearing);
        heard.map(|heard| heard.unwrap_or(Err(Deaf::NobodyLeads))).boxed()
    }

    /// The task on whose present attempt this pod is at work.
    async fn task_of(&self, speaker: &Speaker) -> Result<Arc<Task>, Deaf> {
        if !self.context.scope.covers(&speaker.namespace) {
            return Err(Deaf::Stranger);
        }
        let known = timeout(KNOWN_WITHIN, async {
            loop {
                match self.context.cache.heard(speaker) {
                    Heard::Present(task) => return Ok(task),
                    Heard::Over => return Err(Deaf::Over),
                    Heard::Stranger => return Err(Deaf::Stranger),
                    Heard::Unknown => self.find(speaker).await?,
                    Heard::TooSoon => sleep(BETWEEN_LOOKS).await,
                }
            }
        });
        known.await.unwrap_or(Err(Deaf::NotNow("its task is not known well enough yet")))
    }

    /// A pod may speak before the watch shows it.
    async fn find(&self, speaker: &Speaker) -> Result<(), Deaf> {
        let pods = self.context.reads.namespaced::<Pod>(&speaker.namespace);
        let found = self.context.reads.read(pods.get_opt(&speaker.pod)).await;
        let found = found.map_err(|_| Deaf::NotNow("the API server does not answer"))?;
        match found.filter(|pod| pod.uid().as_ref() == Some(&speaker.uid)) {
            Some(pod) if self.context.cache.pod_found(&pod) => Ok(()),
            Some(_) => Err(Deaf::Stranger),
            // Its token outlives it by a few seconds.
            None => Err(Deaf::Over),
        }
    }

    async fn look_at(&self, task: &Task) -> Result<(), Deaf> {
        let sent = timeout(KNOWN_WITHIN, self.wake.clone().send(ObjectRef::from_obj(task))).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Deaf::NotNow("too much else is going on")) }
    }

    /// Waits until the watch shows that the word is written.
    async fn written(&self, speaker: &Speaker, word: &Word) -> Result<(), Deaf> {
        let written = timeout(WRITTEN_WITHIN, async {
            while !self.task_of(speaker).await?.status.as_ref().is_some_and(|status| says(status, word)) {
                sleep(BETWEEN_LOOKS).await;
            }
            Ok(())
        });
        written.await.unwrap_or(Err(Deaf::NotNow("it could not be written to the task yet")))
    }
}

/// It says this already.
fn says(status: &TaskStatus, word: &Word) -> bool {
    match word {
        Word::Progress(progress) => status.progress.as_ref().is_some_and(|written| same(written, progress)),
        Word::Error(error) => status.reported_error.as_ref() == Some(error),
        Word::Result(result) => status.result_ref.as_ref() == Some(result),
    }
}

/// Somebody will look at the task anyway: a progress before this one waits for its time to be written.
fn is_awaited(task: &Task, before: &Said, word: &Word) -> bool {
    let status = task.status.clone().unwrap_or_default();
    let unwritten = before.progress.clone().map(Word::Progress).is_some_and(|before| !says(&status, &before));
    matches!(word, Word::Progress(_)) && unwritten
}
