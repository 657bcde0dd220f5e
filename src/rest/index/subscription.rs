//! Waiting for a change of one task.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::tables::Tables;
use super::task::Uid;

/// Tells when something changed about one task, which need not be known yet.
pub struct Subscription {
    tables: Arc<Mutex<Tables>>,
    uid: Uid,
    changes: watch::Receiver<()>,
}

impl Subscription {
    pub(super) fn of(tables: &Arc<Mutex<Tables>>, uid: &str) -> Self {
        let uid: Uid = uid.into();
        let changes = tables.lock().readers.entry(uid.clone()).or_default().subscribe();
        Self { tables: tables.clone(), uid, changes }
    }

    /// Resolves after a change since the last time this resolved, or since the subscription.
    pub async fn changed(&mut self) {
        // The sender lives as long as this subscription does.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut tables = self.tables.lock();
        if tables.readers.get(&self.uid).is_some_and(|sender| sender.receiver_count() <= 1) {
            tables.readers.remove(&self.uid);
        }
    }
}
