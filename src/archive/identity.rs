//! Which archive this is: an id made once and kept in it, so that it stays the same wherever its data is moved or restored
//! to. Replicas agree on one by the Lease; one with another archive knows nothing of what the others have recorded.

use tokio::sync::watch;

/// The id of this archive, and the one on which the replicas agree, as far as they are known.
pub struct Identity {
    own: watch::Sender<Option<String>>,
    agreed: watch::Sender<Option<String>>,
    /// Why this archive is not to be relied on; `None` while nothing is known against it.
    trouble: watch::Sender<Option<String>>,
}

impl Default for Identity {
    fn default() -> Self {
        let unknown = || watch::Sender::new(None);
        Self { own: unknown(), agreed: unknown(), trouble: watch::Sender::new(None) }
    }
}

impl Identity {
    /// The id of this archive, once it was read.
    pub fn own(&self) -> watch::Receiver<Option<String>> {
        self.own.subscribe()
    }

    pub(super) fn read(&self, id: String) {
        self.own.send_replace(Some(id));
        self.compare();
    }

    /// The replicas agree on this id now.
    pub fn agree(&self, id: Option<String>) {
        self.agreed.send_replace(id);
        self.compare();
    }

    /// Why this archive is not to be relied on, in a sentence.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// It is known to be another one than that on which the replicas agree.
    pub fn differs(&self) -> bool {
        self.trouble.borrow().is_some()
    }

    fn compare(&self) {
        let (own, agreed) = (self.own.borrow().clone(), self.agreed.borrow().clone());
        let trouble = match (own, agreed) {
            (Some(own), Some(agreed)) if own != agreed => Some(told(&own, &agreed)),
            _ => None,
        };
        self.trouble.send_if_modified(|before| {
            let is_news = *before != trouble;
            match (&trouble, is_news) {
                (Some(trouble), true) => tracing::error!("{trouble}"),
                (None, true) => tracing::info!("this replica has the archive on which all agree"),
                (_, false) => {}
            }
            *before = trouble;
            is_news
        });
    }
}

fn told(own: &str, agreed: &str) -> String {
    format!(
        "this replica's archive is {own}, and the Lease names {agreed}: what is recorded there is not known here, so tasks \
         with `once` wait and idempotency keys are refused; give all replicas the same --archive, or, if this one is right, \
         start it once with --adopt-archive"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_differs_only_when_both_ids_are_known_and_until_they_agree() {
        let identity = Identity::default();
        identity.agree(Some("a".into()));
        assert!(!identity.differs(), "it was not read yet");
        identity.read("b".into());
        let told = identity.trouble().borrow().clone().expect("a sentence");
        assert!(
            told.contains("archive is b") && told.contains("names a") && told.contains("--adopt-archive"),
            "{told}"
        );
        identity.agree(None);
        assert!(!identity.differs(), "nobody has said which");
        identity.agree(Some("b".into()));
        assert!(!identity.differs());
    }
}
