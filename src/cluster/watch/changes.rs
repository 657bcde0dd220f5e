//! The changes of one kind of object, without end: first a list, then what changes. After an error the watch goes on
//! from the version that it had reached, and says so; where the API server no longer knows that version, it begins with
//! a list again. kube's own watcher asks for such a version for ever, and goes on without a word.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{Error, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::page::{Asked, Content, Page, PageEnd, PageSize, is_silence};

/// The API server no longer knows the version.
const GONE: u16 = 410;
/// The API server is asked to end a watch after so many seconds; the next one goes on from the version that was reached,
/// which a bookmark tells shortly before. It costs the API server one request that reads nothing.
const TERM: u32 = 15;
/// So a watch that is silent for longer has lost its connection, and nobody has said so.
const SILENCE: Duration = Duration::from_secs(20);
/// A watch begins at once, with an answer that has no end.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// The pauses after errors in a row, which grow up to this.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

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
    let begin = Watch { api, selected, state: State::Unlisted, first_page: PageSize::default(), broke: false };
    stream::unfold((begin, Pauses::default()), |(mut watch, mut pauses)| async {
        if let Some(pause) = pauses.due {
            sleep(pause).await;
        }
        loop {
            if let Some(told) = watch.step().await {
                pauses.after(&told);
                return Some((told, (watch, pauses)));
            }
        }
    })
}

/// The pauses after errors that follow one another.
struct Pauses {
    /// The one before the next step, which follows an error.
    due: Option<Duration>,
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { due: None, next: FIRST_PAUSE }
    }
}

impl Pauses {
    /// Only a whole list, or a watch that goes on, is an end of the errors: a list that is about to be asked for has no
    /// answer yet, and one that breaks off in its midst is begun anew as a whole.
    fn after<K, E>(&mut self, told: &Result<Change<K>, E>) {
        match told {
            Err(_) => {
                self.due = Some(self.next);
                self.next = (self.next * 2).min(LONGEST_PAUSE);
            }
            Ok(Change::Event(Event::Init | Event::InitApply(_))) => self.due = None,
            Ok(Change::Resumed | Change::Event(Event::InitDone | Event::Apply(_) | Event::Delete(_))) => {
                *self = Self::default();
            }
        }
    }
}

struct Watch<K> {
    api: Api<K>,
    selected: Selected,
    state: State<K>,
    /// With which the next list begins.
    first_page: PageSize,
    /// An error was told, and nothing after it.
    broke: bool,
}

enum State<K> {
    Unlisted,
    /// A list is to be read from the page on that this token names.
    ToList(Option<String>, PageSize),
    Listing(Page<K>),
    /// Everything up to this version was told.
    Reached(String),
    Watching(String, BoxStream<'static, kube::Result<WatchEvent<K>>>),
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
            State::Unlisted => (event(Event::Init), State::ToList(None, self.first_page)),
            State::ToList(token, size) => self.ask(token, size).await,
            State::Listing(page) => self.list(page).await,
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

    /// Asks for a page. Without a version, the list shows what is so when it is asked for. One from the past, out of an API
    /// server that lags, would lack what is not on it yet, and that would be taken to be gone: an attempt for lost while its
    /// pod runs.
    async fn ask(&mut self, token: Option<String>, size: PageSize) -> (Told<K>, State<K>) {
        let which = ListParams {
            label_selector: self.selected.labels.clone(),
            field_selector: self.selected.fields.clone(),
            ..ListParams::default()
        };
        let client = self.api.clone().into_client();
        let asked = Asked { url: self.api.resource_url(), which: &which, content: Content::Whole };
        match Page::ask(&client, asked, token, size).await {
            Ok(page) => (None, State::Listing(page)),
            Err(error) => self.failed(size, error),
        }
    }

    /// Goes on by one object of a page.
    async fn list(&mut self, mut page: Page<K>) -> (Told<K>, State<K>) {
        let asked = page.size();
        match page.next().await {
            Ok(Some(object)) => return (event(Event::InitApply(object)), State::Listing(page)),
            Ok(None) => {}
            Err(error) => return self.failed(asked, error),
        }
        match page.end() {
            Ok(PageEnd { next: Some(token), size, .. }) => (None, State::ToList(Some(token), size)),
            Ok(PageEnd { version: Some(version), .. }) => {
                self.first_page = PageSize::default();
                (event(Event::InitDone), State::Reached(version))
            }
            Ok(_) => (Some(Err(Error::NoResourceVersion)), State::Unlisted),
            Err(error) => self.failed(asked, error),
        }
    }

    /// A list failed at a page of this size: it is begun anew.
    fn failed(&mut self, size: PageSize, error: kube::Error) -> (Told<K>, State<K>) {
        if is_silence(&error) {
            self.first_page = size.smaller();
        }
        (Some(Err(Error::InitialListFailed(error))), State::Unlisted)
    }

    async fn start(&mut self, version: String) -> (Told<K>, State<K>) {
        let wanted = WatchParams {
            label_selector: self.selected.labels.clone(),
            field_selector: self.selected.fields.clone(),
            timeout: Some(TERM),
            ..WatchParams::default()
        };
        let begun = timeout(BEGINS_WITHIN, self.api.watch(&wanted, &version)).await;
        match begun.unwrap_or_else(|_| Err(silent(BEGINS_WITHIN))) {
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
        let Ok(heard) = timeout(SILENCE, events.next()).await else {
            return (Some(Err(Error::WatchFailed(silent(SILENCE)))), State::Reached(version));
        };
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

fn silent(time: Duration) -> kube::Error {
    let told = format!("the watch has been silent for {} s", time.as_secs());
    kube::Error::ReadEvents(io::Error::new(io::ErrorKind::TimedOut, told))
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
