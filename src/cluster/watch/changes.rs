//! The changes of one kind of object, without end: first a list, then what changes. After an error the watch goes on
//! from the version that it had reached, and says so; where the API server no longer knows that version, it begins with
//! a list again. kube's own watcher asks for such a version for ever, and goes on without a word.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Error, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// The API server no longer knows the version.
const GONE: u16 = 410;
/// So many objects are asked for at once.
const PAGE: u32 = 500;
/// A watch is silent for so long at most: the API server ends it after 290 seconds.
const SILENCE: Duration = Duration::from_secs(295);

/// One thing that a watch tells.
#[derive(Clone, Debug)]
pub enum Change<T> {
    Event(Event<T>),
    /// After an error, the watch goes on from where it was: what happened meanwhile follows.
    Resumed,
}

/// Which objects are watched. All, unless it says less.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    pub labels: Option<String>,
    pub fields: Option<String>,
}

/// Watches without end. After an error it pauses, the longer the more errors came in a row.
pub fn changes<K>(api: Api<K>, selected: Selected) -> impl Stream<Item = Result<Change<K>, Error>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let begin = Watch { api, selected, state: State::Unlisted, broke: false };
    stream::unfold(begin, |mut watch| async {
        loop {
            if let Some(told) = watch.step().await {
                return Some((told, watch));
            }
        }
    })
    .default_backoff()
}

struct Watch<K> {
    api: Api<K>,
    selected: Selected,
    state: State<K>,
    /// An error was told, and nothing after it.
    broke: bool,
}

enum State<K> {
    Unlisted,
    /// A list is being read: this page, and then the next one.
    Listing(VecDeque<K>, Next),
    /// Everything up to this version was told.
    Reached(String),
    Watching(String, BoxStream<'static, kube::Result<WatchEvent<K>>>),
}

enum Next {
    FirstPage,
    Page(String),
    /// There is none: the list shows this version.
    Version(String),
}

type Told<K> = Option<Result<Change<K>, Error>>;

fn event<K>(event: Event<K>) -> Told<K> {
    Some(Ok(Change::Event(event)))
}

impl<K> Watch<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Goes on by one request or one event.
    async fn step(&mut self) -> Told<K> {
        let (told, state) = match std::mem::replace(&mut self.state, State::Unlisted) {
            State::Unlisted => (event(Event::Init), State::Listing(VecDeque::new(), Next::FirstPage)),
            State::Listing(page, next) => self.list(page, next).await,
            State::Reached(version) => self.start(version).await,
            State::Watching(version, events) => self.hear(version, events).await,
        };
        match &told {
            Some(Err(_)) => self.broke = true,
            Some(Ok(_)) => self.broke = false,
            None => {}
        }
        self.state = state;
        told
    }

    async fn list(&mut self, mut page: VecDeque<K>, next: Next) -> (Told<K>, State<K>) {
        if let Some(object) = page.pop_front() {
            return (event(Event::InitApply(object)), State::Listing(page, next));
        }
        let token = match next {
            Next::Version(version) => return (event(Event::InitDone), State::Reached(version)),
            Next::Page(token) => Some(token),
            Next::FirstPage => None,
        };
        // Without a version, the list shows what is so when it is asked for. One from the past, out of an API server that
        // lags, would lack what is not on it yet, and that would be taken to be gone: an attempt for lost while its pod
        // runs.
        let asked = ListParams {
            label_selector: self.selected.labels.clone(),
            field_selector: self.selected.fields.clone(),
            limit: Some(PAGE),
            continue_token: token,
            ..ListParams::default()
        };
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        match self.api.list(&asked).await {
            Ok(list) => match (said(list.metadata.continue_), said(list.metadata.resource_version)) {
                (Some(token), _) => (None, State::Listing(list.items.into(), Next::Page(token))),
                (None, Some(version)) => (None, State::Listing(list.items.into(), Next::Version(version))),
                (None, None) => (Some(Err(Error::NoResourceVersion)), State::Unlisted),
            },
            Err(error) => (Some(Err(Error::InitialListFailed(error))), State::Unlisted),
        }
    }

    async fn start(&mut self, version: String) -> (Told<K>, State<K>) {
        let wanted = WatchParams {
            label_selector: self.selected.labels.clone(),
            field_selector: self.selected.fields.clone(),
            ..WatchParams::default()
        };
        match self.api.watch(&wanted, &version).await {
            Ok(events) => {
                let resumed = self.broke.then_some(Ok(Change::Resumed));
                (resumed, State::Watching(version, events.boxed()))
            }
            Err(kube::Error::Api(why)) if why.code == GONE => {
                (Some(Err(Error::WatchStartFailed(kube::Error::Api(why)))), State::Unlisted)
            }
            Err(error) => (Some(Err(Error::WatchStartFailed(error))), State::Reached(version)),
        }
    }

    async fn hear(
        &mut self,
        version: String,
        mut events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
    ) -> (Told<K>, State<K>) {
        let heard = tokio::time::timeout(SILENCE, events.next()).await.ok().flatten();
        match heard {
            None => (None, State::Reached(version)),
            // A line that is no event is passed over, and the watch goes on behind it.
            Some(Err(error)) => (Some(Err(Error::WatchFailed(error))), State::Watching(version, events)),
            Some(Ok(WatchEvent::Error(why))) if why.code == GONE => {
                (Some(Err(Error::WatchError(why))), State::Unlisted)
            }
            Some(Ok(WatchEvent::Error(why))) => (Some(Err(Error::WatchError(why))), State::Watching(version, events)),
            Some(Ok(first)) if self.broke => {
                let all = stream::iter([Ok(first)]).chain(events).boxed();
                (Some(Ok(Change::Resumed)), State::Watching(version, all))
            }
            Some(Ok(WatchEvent::Bookmark(mark))) => (None, State::Watching(mark.metadata.resource_version, events)),
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => told(Event::Apply(object), events),
            Some(Ok(WatchEvent::Deleted(object))) => told(Event::Delete(object), events),
        }
    }
}

/// An event, and the version that is reached with it.
fn told<K: Resource>(shown: Event<K>, events: BoxStream<'static, kube::Result<WatchEvent<K>>>) -> (Told<K>, State<K>) {
    let version = match &shown {
        Event::Apply(object) | Event::Delete(object) | Event::InitApply(object) => object.resource_version(),
        Event::Init | Event::InitDone => None,
    };
    match version.filter(|version| !version.is_empty()) {
        Some(version) => (event(shown), State::Watching(version, events)),
        None => (Some(Err(Error::NoResourceVersion)), State::Unlisted),
    }
}

#[cfg(test)]
mod tests;
