//! The bound on the tasks that this process knows. One beyond it is shown by its metadata alone, as one that cannot be read
//! is: it is there, and nothing is decided about it. A task that holds a slot is always shown whole. A place that becomes free
//! is given to the oldest beyond the bound, whom no newer one overtakes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::shared::Passing;
use super::{Scope, Seen, Shown};
use crate::api::{State, Task};
use crate::cluster::identity;
use crate::metrics::Metrics;

/// Tasks beyond the bound are shown whole by a list that is read anew, so often at most.
const BETWEEN_LISTS: Duration = Duration::from_secs(30);
/// How often it is looked whether there is room for some of them.
const LOOK: Duration = Duration::from_secs(2);
/// A list is worth its cost when there is room for all of them, or for this part of the bound...
const ROOM: usize = 20;
/// ...and after so long for any of them.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A uid: a number is a third of its text.
type Id = u128;

pub struct Bound {
    most: usize,
    metrics: Arc<Metrics>,
    /// For uids that are no UUIDs.
    hasher: RandomState,
    inner: Mutex<Inner>,
    told: watch::Sender<Option<String>>,
}

struct Inner {
    known: HashMap<Id, Scope>,
    beyond: HashMap<Id, Beyond>,
    /// Those beyond for whom there was room when the last list began.
    next: HashSet<Id>,
    /// Those on the present list of each watch, so far.
    listed: HashMap<Scope, HashSet<Id>>,
    last_list: Instant,
}

struct Beyond {
    scope: Scope,
    /// Its age: when it was created, in seconds.
    created: i64,
}

impl Bound {
    pub fn new(most: usize, metrics: Arc<Metrics>) -> Self {
        let (known, beyond, next, listed) = Default::default();
        let inner = Mutex::new(Inner { known, beyond, next, listed, last_list: Instant::now() });
        Self { most, metrics, hasher: RandomState::new(), inner, told: watch::Sender::new(None) }
    }

    /// How many are beyond it, in words.
    pub fn beyond(&self) -> watch::Receiver<Option<String>> {
        self.told.subscribe()
    }

    fn passed(&self, source: &Scope, shown: Shown<Task>) -> Shown<Task> {
        let Shown::Event(event) = shown else { return shown };
        let event = match event {
            Event::Init => {
                let mut inner = self.inner.lock();
                inner.listed.insert(source.clone(), HashSet::new());
                inner.last_list = Instant::now();
                inner.choose(self.most);
                Event::Init
            }
            Event::InitApply(task) => {
                let id = self.id(task.meta());
                self.inner.lock().listed.entry(source.clone()).or_default().insert(id);
                Event::InitApply(self.seen(id, source, task))
            }
            Event::Apply(task) => {
                let id = self.id(task.meta());
                Event::Apply(self.seen(id, source, task))
            }
            Event::Delete(task) => {
                let (id, mut inner) = (self.id(task.meta()), self.inner.lock());
                inner.known.remove(&id);
                inner.beyond.remove(&id);
                Event::Delete(task)
            }
            Event::InitDone => {
                self.inner.lock().is_listed(source);
                Event::InitDone
            }
        };
        self.tell();
        Shown::Event(event)
    }

    fn seen(&self, id: Id, source: &Scope, task: Seen<Task>) -> Seen<Task> {
        let Seen::Whole(whole) = task else { return task };
        let mut inner = self.inner.lock();
        let holds = whole.status_or_default().state == State::Processing;
        if holds || inner.known.contains_key(&id) || inner.gets_a_place(id, self.most) {
            inner.known.insert(id, source.clone());
            inner.beyond.remove(&id);
            return Seen::Whole(whole);
        }
        let created = whole.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
        inner.beyond.insert(id, Beyond { scope: source.clone(), created });
        Seen::InPart(Arc::new(identity(&whole.metadata)))
    }

    /// Returns when there is room for tasks beyond the bound.
    async fn has_room(&self) {
        loop {
            sleep(LOOK).await;
            let inner = self.inner.lock();
            let (room, beyond) = (inner.room(self.most), inner.beyond.len());
            let is_worth_it = room >= beyond.min(self.most / ROOM + 1) || inner.last_list.elapsed() >= LONGEST_WAIT;
            if beyond > 0 && room > 0 && is_worth_it && inner.last_list.elapsed() >= BETWEEN_LISTS {
                return;
            }
        }
    }

    fn tell(&self) {
        let (known, beyond) = {
            let inner = self.inner.lock();
            (inner.known.len(), inner.beyond.len())
        };
        if beyond == 0 && self.told.borrow().is_none() {
            return;
        }
        self.metrics.tasks_beyond(beyond);
        let told = (beyond > 0).then(|| {
            format!("{known} tasks are known, and {beyond} more are not looked at: --max-known-tasks is {}", self.most)
        });
        match (&*self.told.borrow(), &told) {
            (None, Some(told)) => {
                tracing::warn!("{told}; delete tasks that are no longer needed, or allow more memory")
            }
            (Some(_), None) => tracing::info!("all tasks are known again"),
            _ => {}
        }
        self.told.send_replace(told);
    }

    fn id(&self, metadata: &ObjectMeta) -> Id {
        let uid = metadata.uid.as_deref().unwrap_or_default();
        let digits = uid.bytes().filter(|byte| *byte != b'-');
        let number = digits.clone().try_fold(0_u128, |number, digit| {
            let digit = char::from(digit).to_digit(16)?;
            Some((number << 4) | u128::from(digit))
        });
        let is_uuid = uid.len() == 36 && digits.count() == 32;
        number.filter(|_| is_uuid).unwrap_or_else(|| self.hasher.hash_one(uid).into())
    }
}

impl Passing<Task> for Bound {
    /// Objects that are not watched any longer are not known either.
    fn watched(&self, scopes: &[Scope]) {
        let mut inner = self.inner.lock();
        inner.known.retain(|_, of| scopes.contains(of));
        inner.beyond.retain(|_, of| scopes.contains(&of.scope));
        inner.listed.clear();
    }

    /// With less of those beyond the bound.
    fn pass(&self, source: &Scope, shown: Shown<Task>) -> Shown<Task> {
        self.passed(source, shown)
    }

    /// Then a list shows them.
    fn wants_a_list(&self) -> BoxFuture<'_, ()> {
        self.has_room().boxed()
    }
}

impl Inner {
    /// A whole list was shown: what is not on it is gone.
    fn is_listed(&mut self, source: &Scope) {
        let listed = self.listed.remove(source).unwrap_or_default();
        let is_there = |id: &Id, of: &Scope| of != source || listed.contains(id);
        self.known.retain(|id, of| is_there(id, of));
        self.beyond.retain(|id, of| is_there(id, &of.scope));
    }

    fn room(&self, most: usize) -> usize {
        most.saturating_sub(self.known.len())
    }

    /// A list begins, by which those beyond can be known: the oldest are to be, as far as there is room. By the order of the
    /// list itself, which is that of the names, some would never be.
    fn choose(&mut self, most: usize) {
        let mut oldest: Vec<(i64, Id)> = self.beyond.iter().map(|(id, of)| (of.created, *id)).collect();
        oldest.sort_unstable();
        self.next = oldest.into_iter().take(self.room(most)).map(|(_, id)| id).collect();
    }

    /// It is not known, and has waited long enough to be; or there is room for it beside all that wait.
    fn gets_a_place(&self, id: Id, most: usize) -> bool {
        let room = self.room(most);
        if self.beyond.contains_key(&id) {
            room >= self.beyond.len() || room > 0 && self.next.contains(&id)
        } else {
            room > self.beyond.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{TaskSpec, TaskStatus};

    fn whole(name: &str, state: State) -> Task {
        let mut task = Task::new(name, TaskSpec::default());
        task.metadata.uid = Some(name.into());
        task.status = Some(TaskStatus { state, ..TaskStatus::default() });
        task
    }

    fn task(name: &str, state: State) -> Seen<Task> {
        Seen::Whole(Arc::new(whole(name, state)))
    }

    fn is_whole(bound: &Bound, event: Event<Seen<Task>>) -> bool {
        let shown = bound.pass(&Scope::All, Shown::Event(event));
        matches!(shown, Shown::Event(Event::Apply(Seen::Whole(_)) | Event::InitApply(Seen::Whole(_))))
    }

    fn bound(most: usize) -> Bound {
        Bound::new(most, Arc::default())
    }

    #[tokio::test]
    async fn so_many_tasks_are_known_and_those_beyond_are_counted() {
        let bound = bound(2);
        let shown = |name, state| is_whole(&bound, Event::Apply(task(name, state)));
        assert!(shown("a", State::Queued) && shown("b", State::Completed));
        assert!(!shown("c", State::Queued), "there is no room");
        assert!(shown("a", State::Failed), "it is known");
        assert!(bound.beyond().borrow().as_deref().is_some_and(|told| told.contains("1 more")));
        assert!(shown("c", State::Processing), "it holds a slot");
        assert_eq!(*bound.beyond().borrow(), None);
        assert!(!shown("d", State::Queued));
        bound.pass(&Scope::All, Shown::Event(Event::Delete(task("d", State::Queued))));
        assert_eq!(*bound.beyond().borrow(), None);
    }

    fn aged(name: &str, second: i64) -> Seen<Task> {
        let mut task = whole(name, State::Queued);
        task.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).expect("a time")));
        Seen::Whole(Arc::new(task))
    }

    #[tokio::test]
    async fn whoever_waits_beyond_the_bound_is_overtaken_by_nobody_newer() {
        let bound = bound(3);
        let apply = |task| is_whole(&bound, Event::Apply(task));
        for name in ["k-1", "k-2", "k-3"] {
            assert!(apply(aged(name, 1)));
        }
        assert!(!apply(aged("z-old", 10)) && !apply(aged("a-later", 20)) && !apply(aged("b-later", 30)));
        bound.pass(&Scope::All, Shown::Event(Event::Delete(aged("k-1", 1))));
        assert!(!apply(aged("new", 40)), "the free place is not for a new one");
        assert!(!apply(aged("b-later", 30)), "nor for one that only changed");
        bound.pass(&Scope::All, Shown::Event(Event::Init));
        let listed = ["a-later", "b-later", "k-2", "k-3", "new", "z-old"]
            .map(|name| (name, is_whole(&bound, Event::InitApply(aged(name, 50)))));
        assert_eq!(listed.map(|(_, whole)| whole), [false, false, true, true, false, true], "the oldest: {listed:?}");
        bound.pass(&Scope::All, Shown::Event(Event::InitDone));
        for name in ["k-2", "k-3", "z-old", "a-later"] {
            bound.pass(&Scope::All, Shown::Event(Event::Delete(aged(name, 1))));
        }
        assert!(apply(aged("b-later", 30)) && apply(aged("new", 40)), "there is room for all that wait");
        assert!(apply(aged("newest", 60)) && !apply(aged("beyond", 70)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_read_for_a_single_place_too_after_a_while() {
        let bound = bound(100);
        for number in 0..100 {
            assert!(is_whole(&bound, Event::Apply(task(&format!("k-{number}"), State::Queued))));
        }
        for number in 0..50 {
            assert!(!is_whole(&bound, Event::Apply(task(&format!("b-{number}"), State::Queued))));
        }
        bound.pass(&Scope::All, Shown::Event(Event::Delete(task("k-1", State::Queued))));
        let began = Instant::now();
        bound.has_room().await;
        assert!((LONGEST_WAIT - LOOK..LONGEST_WAIT + LOOK).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_not_on_a_whole_list_is_known_no_longer() {
        let bound = bound(1);
        assert!(is_whole(&bound, Event::Apply(task("a", State::Queued))));
        bound.pass(&Scope::All, Shown::Event(Event::Init));
        assert!(!is_whole(&bound, Event::InitApply(task("b", State::Queued))), "the other may still be there");
        bound.pass(&Scope::All, Shown::Event(Event::InitDone));
        assert!(is_whole(&bound, Event::Apply(task("b", State::Queued))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_read_anew_when_there_is_room_and_not_too_often() {
        let bound = bound(1);
        assert!(is_whole(&bound, Event::Apply(task("a", State::Queued))));
        assert!(!is_whole(&bound, Event::Apply(task("b", State::Queued))));
        let never = tokio::time::timeout(Duration::from_secs(600), bound.has_room());
        assert!(never.await.is_err(), "there is none");
        bound.pass(&Scope::All, Shown::Event(Event::Delete(task("a", State::Queued))));
        bound.pass(&Scope::All, Shown::Event(Event::Init));
        let began = Instant::now();
        bound.has_room().await;
        assert!(began.elapsed() >= BETWEEN_LISTS);
    }
}
