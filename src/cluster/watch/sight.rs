//! Which watches see nothing at present, since when and why. Health tells it, and a leader that stays blind ends its term.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Default)]
pub struct Sight {
    inner: Mutex<Inner>,
    told: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    blind: BTreeMap<u64, Blind>,
}

struct Blind {
    since: Instant,
    why: String,
}

/// One watch, as long as there is one.
pub struct Eye {
    sight: Arc<Sight>,
    number: u64,
}

impl Sight {
    pub fn eye(self: &Arc<Self>) -> Eye {
        let mut inner = self.inner.lock();
        inner.next += 1;
        Eye { sight: self.clone(), number: inner.next }
    }

    /// The trouble of the watches, if any of them has some.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.told.subscribe()
    }

    /// How many watches see nothing.
    pub fn blind(&self) -> usize {
        self.inner.lock().blind.len()
    }

    /// How long the watch that has been blind longest has seen nothing.
    pub fn blind_for(&self) -> Option<Duration> {
        self.inner.lock().blind.values().map(|blind| blind.since.elapsed()).max()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<u64, Blind>)) {
        let mut inner = self.inner.lock();
        change(&mut inner.blind);
        let why: Vec<&str> = inner.blind.values().map(|blind| blind.why.as_str()).collect();
        let told = (!why.is_empty()).then(|| why.join("; "));
        self.told.send_if_modified(|before| {
            let is_news = *before != told;
            *before = told;
            is_news
        });
    }
}

impl Eye {
    /// The watch broke.
    pub fn breaks(&self, why: String) {
        self.sight.change(|blind| {
            let since = blind.get(&self.number).map_or_else(Instant::now, |before| before.since);
            blind.insert(self.number, Blind { since, why });
        });
    }

    /// The watch has shown something, or goes on.
    pub fn sees(&self) {
        let is_blind = self.sight.inner.lock().blind.contains_key(&self.number);
        if is_blind {
            self.sight.change(|blind| drop(blind.remove(&self.number)));
        }
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        self.sees();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_blind_from_its_first_error_until_it_sees_or_is_gone() {
        let sight = Arc::new(Sight::default());
        let (pods, jobs) = (sight.eye(), sight.eye());
        let told = sight.trouble();
        assert_eq!((sight.blind_for(), told.borrow().clone()), (None, None));
        pods.breaks("Pod: silent".into());
        tokio::time::advance(Duration::from_secs(3)).await;
        pods.breaks("Pod: refused".into());
        jobs.breaks("Job: silent".into());
        assert_eq!(sight.blind_for(), Some(Duration::from_secs(3)), "the second error changes nothing");
        assert_eq!(told.borrow().as_deref(), Some("Pod: refused; Job: silent"));
        pods.sees();
        assert_eq!(sight.blind_for(), Some(Duration::ZERO));
        drop(jobs);
        assert_eq!((sight.blind_for(), told.borrow().clone()), (None, None));
    }
}
