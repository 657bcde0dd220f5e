//! Ends the term of a leader that stays blind: another replica may see.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::watch::Watches;

/// A watch that has been broken for so long, while it was tried again and again, is not about to mend. Until then a term
/// that ended would only cost the API server more: the next one begins with lists.
const BLIND: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Returns when a watch was blind for too long.
pub async fn run(watches: Arc<Watches>) {
    while watches.sight().blind_for().is_none_or(|blind| blind < BLIND) {
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let why = watches.sight().trouble().borrow().clone().unwrap_or_default();
    tracing::error!(why, seconds = BLIND.as_secs(), "blind for too long; gives up the lease");
}
