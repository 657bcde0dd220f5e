//! The pending tasks of one type in a queue that are due and could fit it: those that wait for their turn, and those that
//! others of their kbId go before. Never asks whether there is room.

use std::collections::HashMap;
use std::sync::Arc;

use super::order::{Key, Order};
use super::ranked::Ranked;
use crate::launch::resources::Amounts;

/// The queue and the type whose pending tasks a line holds.
pub type LineKey = Arc<(Key, Key)>;

#[derive(Debug)]
pub struct Line {
    /// The copy that all its tasks share.
    pub key: LineKey,
    /// How many pending tasks belong to it, those that stand elsewhere included.
    pub members: usize,
    /// Those that wait for their turn.
    turn: Ranked<Order>,
    /// Those that others of their kbId go before, as many as may still start.
    held: Ranked<Order>,
    /// By kbId, where the type limits how many of one may run.
    kb_ids: HashMap<Arc<str>, OfKbId>,
    /// The requests of the task that came last. The next one mostly requests the same and then shares them.
    last_requests: Arc<Amounts>,
}

/// The tasks of one kbId.
#[derive(Debug, Default)]
struct OfKbId {
    all: Ranked<Order>,
    /// So many more of the kbId may start: the first of `all` wait for their turn.
    room: usize,
}

impl Line {
    pub fn new(key: LineKey) -> Self {
        let (turn, held, kb_ids, last_requests) = Default::default();
        Self { key, members: 0, turn, held, kb_ids, last_requests }
    }

    pub fn turn(&self) -> &Ranked<Order> {
        &self.turn
    }

    pub fn held(&self) -> &Ranked<Order> {
        &self.held
    }

    /// These requests, shared with other tasks of the line where they are equal.
    pub fn shared(&mut self, requests: Arc<Amounts>) -> Arc<Amounts> {
        if self.last_requests != requests {
            self.last_requests = requests;
        }
        self.last_requests.clone()
    }

    /// Lets a task in. `room` is how many more of its kbId may start, where that is limited.
    pub fn join(&mut self, order: Order, room: Option<(&Arc<str>, usize)>) {
        let Some((kb_id, room)) = room else { return self.turn.insert(order) };
        let kind = self.kb_ids.entry(kb_id.clone()).or_insert_with(|| OfKbId { room, ..OfKbId::default() });
        kind.all.insert(order.clone());
        if kind.all.before(&order) >= kind.room {
            return self.held.insert(order);
        }
        self.turn.insert(order);
        if let Some(pushed_out) = kind.all.nth(kind.room) {
            self.turn.remove(pushed_out);
            self.held.insert(pushed_out.clone());
        }
    }

    pub fn leave(&mut self, order: &Order, kb_id: Option<&Arc<str>>) {
        if let Some((kb_id, kind)) = kb_id.and_then(|kb_id| Some((kb_id, self.kb_ids.get_mut(kb_id)?)))
            && kind.all.remove(order)
        {
            if let Some(follows) = kind.room.checked_sub(1).and_then(|last| kind.all.nth(last))
                && self.held.remove(follows)
            {
                self.turn.insert(follows.clone());
            }
            if kind.all.is_empty() {
                self.kb_ids.remove(kb_id);
            }
        }
        self.turn.remove(order);
        self.held.remove(order);
    }

    /// So many more of this kbId may start. Returns whether anybody waits for that.
    pub fn set_room(&mut self, kb_id: &Arc<str>, room: usize) -> bool {
        let Some(kind) = self.kb_ids.get_mut(kb_id) else { return false };
        let before = std::mem::replace(&mut kind.room, room);
        for order in kind.all.from(before).take(room.saturating_sub(before)) {
            self.held.remove(order);
            self.turn.insert(order.clone());
        }
        for order in kind.all.from(room).take(before.saturating_sub(room)) {
            self.turn.remove(order);
            self.held.insert(order.clone());
        }
        before != room
    }

    /// How many of this kbId go before `order`.
    pub fn before_of_kb_id(&self, order: &Order, kb_id: &str) -> usize {
        self.kb_ids.get(kb_id).map_or(0, |kind| kind.all.before(order))
    }

    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        1 + self.kb_ids.len()
    }
}
