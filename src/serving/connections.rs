//! The connections of one port: so many at once. When all are taken, the one that has been idle longest makes room; where
//! none is idle, the one whose request has been arriving longest.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::{Phase, Phases};

/// The head of a request is a few hundred bytes: one that takes longer is trickled, or its client has stopped.
const HEAD_IN: Duration = Duration::from_millis(500);
/// While all are taken and none makes room, it is looked again after so long.
const AGAIN: Duration = Duration::from_millis(100);

pub struct Connections {
    slots: Arc<Semaphore>,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    phases: Phases,
    close: CancellationToken,
}

/// An open connection's place among the others, until it is dropped.
pub struct Place {
    connections: Arc<Connections>,
    number: u64,
    /// Cancelled when the connection has to make room.
    pub close: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Connections {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { slots: Arc::new(Semaphore::new(most)), next: AtomicU64::new(0), open: Mutex::default() })
    }

    /// A place for a new connection, as soon as there is one.
    pub async fn place(self: &Arc<Self>, phases: Phases) -> Place {
        let slot = self.slot().await;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let close = CancellationToken::new();
        self.open.lock().insert(number, Open { phases, close: close.clone() });
        Place { connections: self.clone(), number, close, _slot: slot }
    }

    async fn slot(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(slot) = self.slots.clone().try_acquire_owned() {
                return slot;
            }
            self.close_one();
            if let Ok(Ok(slot)) = timeout(AGAIN, self.slots.clone().acquire_owned()).await {
                return slot;
            }
        }
    }

    fn close_one(&self) {
        let open = self.open.lock();
        let may_go = open.values().filter(|one| !one.close.is_cancelled()).filter_map(|one| match one.phases.now() {
            Phase::Idle(since) => Some((false, since, &one.close)),
            Phase::Head(since) => (since.elapsed() >= HEAD_IN).then_some((true, since, &one.close)),
            Phase::Handling | Phase::Answering => None,
        });
        if let Some((.., close)) = may_go.min_by_key(|(is_head, since, _)| (*is_head, *since)) {
            close.cancel();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn when_all_are_taken_the_longest_idle_one_makes_room() {
        let connections = Connections::new(3);
        let mut places = vec![];
        let mut at_work = vec![];
        for number in 0..3 {
            let phases = Phases::idle();
            if number == 0 {
                at_work.push(phases.handling());
            }
            places.push(connections.place(phases).await);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(timeout(Duration::from_secs(1), connections.place(Phases::idle())).await.is_err(), "none has gone yet");
        let closed: Vec<bool> = places.iter().map(|place| place.close.is_cancelled()).collect();
        assert_eq!(closed, [false, true, true], "one at a time, and none that is at work");
        drop(places.remove(1));
        assert!(timeout(Duration::from_secs(1), connections.place(Phases::idle())).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_is_idle_a_request_that_does_not_arrive_makes_room() {
        let connections = Connections::new(2);
        let (trickles, works) = (Phases::idle(), Phases::idle());
        trickles.bytes_came();
        let _at_work = works.handling();
        let places = [connections.place(trickles).await, connections.place(works).await];
        assert!(timeout(HEAD_IN / 2, connections.place(Phases::idle())).await.is_err(), "it has a moment");
        assert!(!places[0].close.is_cancelled());
        assert!(timeout(2 * HEAD_IN, connections.place(Phases::idle())).await.is_err(), "it has not gone yet");
        assert_eq!(places.each_ref().map(|place| place.close.is_cancelled()), [true, false]);
    }
}
