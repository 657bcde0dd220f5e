//! What the archive has taken, and whether it is busy with large results: then a record that gets no answer says nothing of it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Large results count as being stored for so long after the last thing that was taken, which is longer than one may take.
/// After that an archive that takes nothing is not busy but down, however many results follow one another.
const BELIEVED_FOR: Duration = Duration::from_secs(45);

#[derive(Default)]
pub struct Activity(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// When it last took a record or a result.
    taken: Option<Instant>,
    /// Results that are being stored, or wait for their turn.
    storing: usize,
    /// Since when there have been some without anything that was taken.
    in_vain_since: Option<Instant>,
}

/// One result that is being stored.
pub struct Storing<'a>(&'a Activity);

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.0.lock();
        inner.storing = inner.storing.saturating_sub(1);
        if inner.storing == 0 {
            inner.in_vain_since = None;
        }
    }
}

impl Activity {
    pub fn took(&self) {
        let mut inner = self.0.lock();
        inner.taken = Some(Instant::now());
        inner.in_vain_since = inner.in_vain_since.and(inner.taken);
    }

    /// A large result is stored from here on.
    pub fn stores(&self) -> Storing<'_> {
        let mut inner = self.0.lock();
        inner.storing += 1;
        inner.in_vain_since.get_or_insert_with(Instant::now);
        Storing(self)
    }

    /// Something was taken since then, or large results are being stored: the archive is busy and not down.
    pub fn is_busy_since(&self, began: Instant) -> bool {
        let inner = self.0.lock();
        let stores = inner.in_vain_since.is_some_and(|since| since.elapsed() < BELIEVED_FOR);
        stores || inner.taken.is_some_and(|taken| taken >= began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_archive_is_busy_while_a_result_is_stored_and_when_it_took_something() {
        let activity = Activity::default();
        let began = Instant::now();
        assert!(!activity.is_busy_since(began));
        let storing = activity.stores();
        pass(40).await;
        assert!(activity.is_busy_since(Instant::now()));
        drop(storing);
        assert!(!activity.is_busy_since(began));
        activity.took();
        assert!(activity.is_busy_since(began));
        pass(1).await;
        assert!(!activity.is_busy_since(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn results_that_follow_one_another_keep_no_archive_up_that_takes_nothing() {
        let activity = Activity::default();
        let mut storing = activity.stores();
        for _ in 0..4 {
            pass(11).await;
            let next = activity.stores();
            assert!(activity.is_busy_since(Instant::now()));
            storing = next;
        }
        pass(2).await;
        assert!(!activity.is_busy_since(Instant::now()), "nothing was taken for {BELIEVED_FOR:?}");
        activity.took();
        pass(40).await;
        assert!(activity.is_busy_since(Instant::now()), "it is slow, and takes them");
        drop(storing);
    }
}
