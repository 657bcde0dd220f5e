//! Watches that do not stand still where kube's own would. Knows nothing of what is watched.

use std::fmt::Debug;

use futures::stream::{self, Stream, StreamExt};
use kube::runtime::watcher::{self, Error, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// The version is no more known.
const GONE: u16 = 410;

/// A watch that is replaced by a new one, which begins with a list, after each error that asks for it.
pub fn endless<K>(
    api: Api<K>,
    config: watcher::Config,
    begins_anew: fn(&Error) -> bool,
) -> impl Stream<Item = watcher::Result<Event<K>>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    renewed(move || watcher(api.clone(), config.clone()).boxed(), begins_anew)
}

/// The least that is needed: kube's watcher asks for the same version for ever where a watch is refused outright for
/// its age.
pub fn when_too_old(error: &Error) -> bool {
    matches!(error, Error::WatchStartFailed(kube::Error::Api(why)) if why.code == GONE)
}

/// For who must know when all is known again: kube's watcher goes on from where it was without a word.
pub fn always(_: &Error) -> bool {
    true
}

fn renewed<S, T>(begin: impl Fn() -> S, begins_anew: fn(&Error) -> bool) -> impl Stream<Item = watcher::Result<T>>
where
    S: Stream<Item = watcher::Result<T>> + Unpin,
{
    stream::unfold((begin(), begin, begins_anew), async |(mut watch, begin, begins_anew)| {
        let event = watch.next().await?;
        if event.as_ref().is_err_and(begins_anew) {
            watch = begin();
        }
        Some((event, (watch, begin, begins_anew)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, Ordering};

    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> Error {
        Error::WatchStartFailed(kube::Error::Api(Status::failure("no", "No").with_code(code).boxed()))
    }

    /// What is told by watches each of which is refused with this code after its first word, and then goes on.
    async fn told(code: u16, begins_anew: fn(&Error) -> bool) -> Vec<Option<i32>> {
        let begun = AtomicI32::new(0);
        let watches = renewed(
            || {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                stream::iter([Ok(number), Err(refused(code)), Ok(number + 100)])
            },
            begins_anew,
        );
        watches.map(watcher::Result::ok).take(4).collect().await
    }

    #[tokio::test]
    async fn a_watch_begins_anew_when_its_version_is_too_old() {
        assert_eq!(told(GONE, when_too_old).await, [Some(0), None, Some(1), None]);
    }

    #[tokio::test]
    async fn a_watch_goes_on_after_any_other_error_unless_it_is_to_begin_anew() {
        assert_eq!(told(500, when_too_old).await, [Some(0), None, Some(100)]);
        assert_eq!(told(500, always).await, [Some(0), None, Some(1), None]);
    }
}
