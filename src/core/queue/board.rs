//! Who waits, who holds a slot, and the pass that gives out slots. Never asks what a task is about, or what time it is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, btree_map};
use std::sync::Arc;

use jiff::Timestamp;

use super::capacity::Capacity;
use super::ledger::{Ledger, Room};
use super::line::{Line, Row, Spot};
use super::order::{Key, Order};
use super::standing::{Candidate, Holding, Standing};
use task_manager_api::Priority;

/// A pass admits at most so many; the next one goes on.
const MOST_PER_PASS: usize = 256;

/// Who waits, who holds what, and what bounds them.
#[derive(Debug, Default)]
pub struct Board {
    lines: HashMap<Row, Line>,
    /// Where in the lines a waiting task stands, by uid.
    places: HashMap<Arc<str>, (Row, Spot)>,
    holders: HashMap<Arc<str>, Holding>,
    depth: [usize; Priority::COUNT],
    ledger: Ledger,
}

/// What a pass came to.
#[derive(Debug, Default, PartialEq)]
pub struct Pass {
    /// In the order in which they got their slots.
    pub admitted: Vec<Candidate>,
    /// When a task that waits for its time becomes ready.
    pub wake: Option<Timestamp>,
    /// The pass reached its bound: there may be room for more.
    pub unfinished: bool,
}

impl Board {
    pub fn new(most_running: Option<i32>) -> Self {
        Self { ledger: Ledger::new(most_running), ..Self::default() }
    }

    /// The same, where a queue named "default" need not be created.
    pub fn with_default_queue(mut self, capacity: Capacity) -> Self {
        self.ledger.set_default_queue(capacity);
        self
    }

    /// Sets what bounds a queue; `None` when there is no such queue, which admits nobody.
    pub fn bound_queue(&mut self, queue: Key, capacity: Option<Capacity>) {
        self.ledger.bound_queue(queue, capacity);
    }

    /// What bounds a queue; `None` when there is no such queue.
    pub fn capacity(&self, queue: &Key) -> Option<&Capacity> {
        self.ledger.capacity(queue)
    }

    /// Sets how many tasks of a type, and of a type with one kbId, may run at once.
    pub fn bound_type(&mut self, kind: Key, most: Option<i32>, most_per_key: Option<i32>) {
        self.ledger.bound_type(kind, most, most_per_key);
    }

    /// Puts a task where it stands now; returns whether it stood elsewhere.
    pub fn place(&mut self, uid: &Arc<str>, standing: Standing) -> bool {
        if self.stands_so(uid, &standing) {
            return false;
        }
        self.remove(uid);
        match standing {
            Standing::Candidate(candidate) => self.enqueue(uid, candidate),
            Standing::Holder(holding) => self.hold(uid.clone(), holding),
            Standing::Neither => {}
        }
        true
    }

    fn stands_so(&self, uid: &Arc<str>, standing: &Standing) -> bool {
        match standing {
            Standing::Candidate(candidate) => {
                let place = self.places.get(uid);
                let waiting = place.and_then(|(row, spot)| self.lines.get(row)?.get(spot));
                waiting == Some(candidate) && !self.holders.contains_key(uid)
            }
            Standing::Holder(holding) => self.holders.get(uid) == Some(holding) && !self.places.contains_key(uid),
            Standing::Neither => !self.holders.contains_key(uid) && !self.places.contains_key(uid),
        }
    }

    /// Candidates of one line share what is the same of them, so that one more takes little memory.
    fn enqueue(&mut self, uid: &Arc<str>, candidate: Candidate) {
        let row = (candidate.queue.clone(), candidate.kind.clone());
        let row = self.lines.get_key_value(&row).map_or_else(|| Arc::new(row), |(row, _)| row.clone());
        let (queue, kind) = (*row).clone();
        self.depth[candidate.order.priority().index()] += 1;
        let line = self.lines.entry(row.clone()).or_default();
        let spot = line.insert(Candidate { queue, kind, order: candidate.order.of(uid.clone()), ..candidate });
        self.places.insert(uid.clone(), (row, spot));
    }

    fn dequeue(&mut self, uid: &Arc<str>) {
        let Some((row, spot)) = self.places.remove(uid) else { return };
        self.depth[spot.order.priority().index()] -= 1;
        if let Some(line) = self.lines.get_mut(&row) {
            line.remove(&spot);
            if line.is_empty() {
                self.lines.remove(&row);
            }
        }
    }

    fn hold(&mut self, uid: Arc<str>, holding: Holding) {
        self.ledger.take(&holding);
        self.holders.insert(uid, holding);
    }

    /// Forgets a task: it neither waits nor holds anything.
    pub fn remove(&mut self, uid: &Arc<str>) {
        self.dequeue(uid);
        if let Some(holding) = self.holders.remove(uid) {
            self.ledger.give_back(&holding);
        }
    }

    pub fn holds(&self, uid: &str) -> bool {
        self.holders.contains_key(uid)
    }

    /// How much is remembered beside who waits and who holds.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.lines.len() + self.ledger.open_books()
    }

    /// How many candidates wait, by priority.
    pub fn depth(&self) -> [usize; Priority::COUNT] {
        self.depth
    }

    pub fn running(&self) -> usize {
        self.holders.len()
    }

    /// How many slots of this queue are held.
    pub fn held_of(&self, queue: &Key) -> i64 {
        self.ledger.held_of(queue)
    }

    /// Gives out slots in order while there is room, and counts each one at once: who got one is a holder
    /// from here on.
    pub fn admit(&mut self, now: Timestamp) -> Pass {
        let wake = self.lines.values_mut().filter_map(|line| line.ripen(now)).min();
        let pass = Pass { wake, ..self.choose() };
        for candidate in &pass.admitted {
            let uid = candidate.order.uid().clone();
            self.dequeue(&uid);
            self.holders.insert(uid, candidate.holding());
        }
        pass
    }

    /// Walks the heads of all lines in the one order, each line for as long as there may be room for somebody in it.
    /// Books the slots it gives; leaves the lines alone.
    fn choose(&mut self) -> Pass {
        let mut pass = Pass::default();
        let mut full_queues = HashSet::new();
        let mut heads: BinaryHeap<Reverse<Head>> =
            self.lines.values().filter_map(|line| Head::next(line.due())).map(Reverse).collect();
        while let Some(Reverse(Head { candidate, rest })) = heads.pop() {
            if pass.admitted.len() == MOST_PER_PASS {
                pass.unfinished = true;
                break;
            }
            if full_queues.contains(&candidate.queue) {
                continue;
            }
            match self.ledger.room(candidate) {
                Room::AllFull => break,
                Room::QueueFull => {
                    full_queues.insert(&candidate.queue);
                    continue;
                }
                Room::TypeFull => continue,
                Room::HeldBack => {}
                Room::Yes => {
                    self.ledger.take(&candidate.holding());
                    pass.admitted.push(candidate.clone());
                }
            }
            heads.extend(Head::next(rest).map(Reverse));
        }
        pass
    }
}

/// The first of a line that has not been looked at, and the rest behind it.
struct Head<'a> {
    candidate: &'a Candidate,
    rest: btree_map::Values<'a, Order, Candidate>,
}

impl<'a> Head<'a> {
    fn next(mut rest: btree_map::Values<'a, Order, Candidate>) -> Option<Self> {
        rest.next().map(|candidate| Self { candidate, rest })
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.candidate.order == other.candidate.order
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.candidate.order.cmp(&other.candidate.order)
    }
}
