//! Waiting for what changes about one task.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Index, Uid};

/// Tells when something changed about one task, which need not be known yet.
pub struct Subscription {
    index: Arc<Index>,
    uid: Uid,
    changes: watch::Receiver<()>,
}

impl Subscription {
    /// Resolves after a change since the last time this resolved, or since the subscription.
    pub async fn changed(&mut self) {
        // The sender lives as long as this subscription does.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.index.lock();
        if inner.readers.get(&self.uid).is_some_and(|sender| sender.receiver_count() <= 1) {
            inner.readers.remove(&self.uid);
        }
    }
}

impl Index {
    pub fn subscribe(self: &Arc<Self>, uid: &str) -> Subscription {
        let uid: Uid = uid.into();
        let changes = self.lock().readers.entry(uid.clone()).or_default().subscribe();
        Subscription { index: self.clone(), uid, changes }
    }
}
