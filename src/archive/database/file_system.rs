//! One thread that looks at files. A file system that hangs holds this thread and no other, however many ask: they are
//! told that it hangs, and after the first second at once. Knows nothing of databases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::error::Error;

/// A file system that takes longer to say whether a file is there hangs.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// Looks that wait for the thread. The others wait for their turn with their callers.
const WAITING: usize = 64;

type Look = Box<dyn FnOnce() + Send>;

#[derive(Debug, Default)]
pub(crate) struct FileSystem {
    looks: Mutex<Option<mpsc::Sender<Look>>>,
    /// When the look began that is under way.
    since: Arc<Mutex<Option<Instant>>>,
}

impl FileSystem {
    /// The answer of `look`, which may block.
    pub async fn ask<T: Send + 'static>(&self, look: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        if self.hangs() {
            return Err(hangs());
        }
        let (answer, answered) = oneshot::channel();
        let look: Look = Box::new(move || {
            if !answer.is_closed() {
                let _ = answer.send(look());
            }
        });
        let looks = self.thread()?;
        let asked = async move { looks.send(look).await.ok().map(|()| answered)?.await.ok() };
        timeout(ANSWERS_WITHIN, asked).await.ok().flatten().ok_or_else(hangs)
    }

    /// A look has been under way for too long.
    fn hangs(&self) -> bool {
        self.since.lock().is_some_and(|since| since.elapsed() >= ANSWERS_WITHIN)
    }

    /// The thread, which ends with this.
    fn thread(&self) -> Result<mpsc::Sender<Look>, Error> {
        let mut looks = self.looks.lock();
        if let Some(looks) = &*looks {
            return Ok(looks.clone());
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let since = self.since.clone();
        let started = std::thread::Builder::new().name("archive-file".into()).spawn(move || serve(receiver, &since));
        started.map_err(|error| Error::Down(format!("no thread to look at its file: {error}")))?;
        Ok(looks.insert(sender).clone())
    }
}

fn serve(mut looks: mpsc::Receiver<Look>, since: &Mutex<Option<Instant>>) {
    while let Some(look) = looks.blocking_recv() {
        *since.lock() = Some(Instant::now());
        look();
        *since.lock() = None;
    }
}

fn hangs() -> Error {
    Error::Down("the file system does not say within a second whether the file is there".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_file_system_that_hangs_costs_one_thread_and_no_caller_more_than_a_second() {
        let files = FileSystem::default();
        assert_eq!(files.ask(|| 7).await.expect("an answer"), 7);
        let begun = Arc::new(AtomicUsize::new(0));
        let (let_go, held) = mpsc::channel::<()>();
        let stuck = files.ask(move || held.recv().is_ok());
        let others = join_all((0..200).map(|_| {
            let begun = begun.clone();
            files.ask(move || begun.fetch_add(1, Ordering::Relaxed))
        }));
        let (stuck, others) = futures::join!(stuck, others);
        assert!(stuck.is_err_and(|error| error.is_temporary()));
        assert!(others.iter().all(Result::is_err));
        let began = Instant::now();
        for _ in 0..1000 {
            files.ask(|| 7).await.expect_err("it hangs");
        }
        assert!(began.elapsed() < ANSWERS_WITHIN, "told at once, not after {:?}", began.elapsed());
        assert_eq!(begun.load(Ordering::Relaxed), 0, "none of them blocks another thread");

        let_go.send(()).expect("it goes on");
        let answers = async {
            loop {
                match files.ask(|| 7).await {
                    Ok(answer) => break answer,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        assert_eq!(timeout(Duration::from_secs(20), answers).await, Ok(7));
    }
}
