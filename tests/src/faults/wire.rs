//! The connection between an operator and the API server: what has passed, and which faults strike where.

use std::collections::{HashMap, HashSet};
use std::fmt::{Display, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::point::{Asked, Kind, Point};

/// A fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator is gone before the request is sent.
    StopBefore,
    /// The request is carried out, and the operator gone before the answer arrives.
    StopAfter,
    /// It is carried out, and the connection breaks before the answer arrives.
    AnswerLost,
    /// It is carried out, and no answer ever arrives.
    AnswerHeld,
    /// It is not carried out, and no answer ever arrives.
    NeverSent,
    /// It is not carried out, and this is the answer.
    Answer(u16),
    /// It is carried out, and this is the answer all the same.
    CarriedOutBut(u16),
    /// Somebody else writes to the object a moment before.
    Overtaken,
}

/// A fault of a line of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFault {
    /// The line and those behind it are delayed.
    Late(Duration),
    Twice,
    /// The connection breaks in the middle of it.
    CutInside,
    /// The answer ends before it.
    EndBefore,
    /// Instead of it the API server says that the watch's version is too old, and ends the answer.
    Expired,
    /// The answer ends before it, and the API server answers 410 to each watch from there.
    EndThenGone,
}

/// The faults of a story and where they strike.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    Faultless,
    /// Once, at this request.
    At(Point, Fault),
    /// Once, at this line of a watch.
    AtEvent(Point, EventFault),
    EveryEvent(EventFault),
    /// The API server lags: the first watch of each of these resources is delayed by this time.
    Behind {
        resources: Vec<&'static str>,
        lag: Duration,
    },
    /// The same until [`Wire::catches_up`].
    BehindUntilTold(&'static str),
    /// A task of this name is unreadable for the operator.
    Unreadable(&'static str),
    /// No watch of this resource is ever answered.
    WatchesUnanswered(&'static str),
}

/// A request or a line that has passed.
#[derive(Clone, Debug)]
pub struct Passed {
    pub point: Point,
    /// The life of the operator in which it passed; 0 is the first.
    pub life: usize,
    pub at: Duration,
    /// How long the request lets the API server take.
    pub allowed: Option<Duration>,
    pub fate: String,
}

pub struct Wire {
    began: Instant,
    inner: Mutex<Inner>,
    /// The operator's present life. Requests of earlier lives no longer pass.
    life: watch::Sender<usize>,
    /// While this is set, nothing passes.
    cut: watch::Sender<bool>,
    caught_up: CancellationToken,
    /// Cancelled when the watches that run now go silent.
    silenced: Mutex<CancellationToken>,
}

struct Inner {
    plans: Vec<Plan>,
    struck: bool,
    passed: Vec<Passed>,
    counts: HashMap<(Kind, String), usize>,
    /// Resources of which a watch is answered 410 until they are listed.
    gone: HashSet<String>,
    /// Resources of which a watch was late.
    begun_behind: HashSet<String>,
}

impl Wire {
    pub fn new(plan: Plan) -> Arc<Self> {
        Self::of([plan])
    }

    /// A wire with several faults.
    pub fn of(plans: impl IntoIterator<Item = Plan>) -> Arc<Self> {
        let inner = Inner {
            plans: plans.into_iter().collect(),
            struck: false,
            passed: vec![],
            counts: HashMap::new(),
            gone: HashSet::new(),
            begun_behind: HashSet::new(),
        };
        let (life, cut) = (watch::Sender::new(0), watch::Sender::new(false));
        let caught_up = CancellationToken::new();
        let silenced = Mutex::default();
        Arc::new(Self { began: Instant::now(), inner: Mutex::new(inner), life, cut, caught_up, silenced })
    }

    /// From here on each request fails and each watch breaks off, until `mend`.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.cut.send_replace(false);
    }

    /// The watches that run now show nothing any longer, and none of them ends; those that begin later are well.
    pub fn silence(&self) {
        let mut present = self.silenced.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *present).cancel();
    }

    /// Cancelled when the watches that begin now go silent.
    pub(super) fn silenced(&self) -> CancellationToken {
        self.silenced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    pub(super) async fn is_being_cut(&self) {
        // It does not fail while the wire is there.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the lag of watches.
    pub fn catches_up(&self) {
        self.caught_up.cancel();
    }

    /// All that has passed so far.
    pub fn passed(&self) -> Vec<Passed> {
        self.lock().passed.clone()
    }

    /// The number of requests so far that change something, but those about the Lease.
    pub fn writes(&self) -> usize {
        self.lock().passed.iter().filter(|passed| passed.point.kind == Kind::Write).count()
    }

    /// The number of passes with this label in the operator's present life.
    pub fn passed_of(&self, label: &str) -> usize {
        let life = *self.life.borrow();
        self.lock().passed.iter().filter(|passed| passed.life == life && passed.point.label == label).count()
    }

    /// Whether the planned fault has struck.
    pub fn has_struck(&self) -> bool {
        self.lock().struck
    }

    /// The operator's present life; it is told whenever one ends.
    pub fn life(&self) -> watch::Receiver<usize> {
        self.life.subscribe()
    }

    /// Ends the operator's present life, with whatever it is doing.
    pub fn stop(&self) {
        self.life.send_modify(|life| *life += 1);
    }

    pub(super) fn is_alive(&self, life: usize) -> bool {
        *self.life.borrow() == life
    }

    /// A request is about to pass. Returns its place among all that passed, and what is to happen to it.
    pub(super) fn request(&self, life: usize, asked: &Asked) -> (usize, Option<Fault>) {
        let mut inner = self.lock();
        let point = inner.count(asked.kind, &asked.label);
        if asked.is_list {
            inner.gone.remove(&asked.resource);
        }
        let is_gone = asked.kind == Kind::Watch && inner.gone.contains(&asked.resource);
        let fault = inner.planned(|plan| match plan {
            Plan::At(at, fault) if *at == point => Some(*fault),
            Plan::WatchesUnanswered(resource) if asked.kind == Kind::Watch && asked.resource == *resource => {
                Some(Fault::NeverSent)
            }
            _ => None,
        });
        let fault = fault.or_else(|| is_gone.then_some(Fault::Answer(410)));
        inner.struck |= fault.is_some();
        let place = inner.note(point, life, self.began, fault.map_or_else(String::new, |fault| format!("{fault:?}")));
        inner.passed[place].allowed = asked.allowed;
        (place, fault)
    }

    /// Notes the outcome of a request.
    pub(super) fn fate(&self, place: usize, fate: &str) {
        let mut inner = self.lock();
        let told = &mut inner.passed[place].fate;
        *told = format!("{told} → {fate}").trim_start().to_owned();
    }

    /// The fault of a line of a watch that is about to pass.
    pub(super) fn event(&self, life: usize, label: &str) -> Option<EventFault> {
        let mut inner = self.lock();
        let point = inner.count(Kind::Event, label);
        let fault = inner.planned(|plan| match plan {
            Plan::AtEvent(at, fault) if *at == point => Some(*fault),
            Plan::EveryEvent(fault) => Some(*fault),
            _ => None,
        });
        inner.struck |= fault.is_some();
        inner.note(point, life, self.began, fault.map_or_else(String::new, |fault| format!("{fault:?}")));
        fault
    }

    pub(super) fn refuse_watches(&self, resource: &str) {
        self.lock().gone.insert(resource.to_owned());
    }

    /// The signal that this watch waits for, where it is to be delayed.
    pub(super) fn begins_behind(&self, resource: &str) -> Option<BoxFuture<'static, ()>> {
        let mut inner = self.lock();
        let behind = inner.planned(|plan| match plan {
            Plan::Behind { resources, lag } if resources.contains(&resource) => Some(tokio::time::sleep(*lag).boxed()),
            Plan::BehindUntilTold(late) if *late == resource => Some(self.caught_up.clone().cancelled_owned().boxed()),
            _ => None,
        })?;
        inner.struck = true;
        inner.begun_behind.insert(resource.to_owned()).then_some(behind)
    }
}

impl Wire {
    /// The name of the task that is unreadable, where this resource is tasks.
    pub(super) fn unreadable_name(&self, resource: &str) -> Option<&'static str> {
        self.lock().planned(|plan| match plan {
            Plan::Unreadable(name) if resource == "tasks" => Some(*name),
            _ => None,
        })
    }
}

impl Inner {
    fn planned<T>(&self, of: impl Fn(&Plan) -> Option<T>) -> Option<T> {
        self.plans.iter().find_map(of)
    }

    fn count(&mut self, kind: Kind, label: &str) -> Point {
        let count = self.counts.entry((kind, label.to_owned())).or_default();
        *count += 1;
        Point { kind, label: label.to_owned(), occurrence: *count }
    }

    fn note(&mut self, point: Point, life: usize, began: Instant, fate: String) -> usize {
        self.passed.push(Passed { point, life, at: began.elapsed(), allowed: None, fate });
        self.passed.len() - 1
    }
}

impl Display for Wire {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for Passed { point, life, at, fate, .. } in self.passed() {
            writeln!(f, "{:8.3} s, life {life}: {:?} {point} {fate}", at.as_secs_f64(), point.kind)?;
        }
        Ok(())
    }
}
