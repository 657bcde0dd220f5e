//! The archive on which the replicas agree: its id is an annotation of the Lease, written by whoever leads where there is
//! none. A replica with another one lets those go first that have this one. Knows nothing of archives but their ids.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// The annotation of the Lease. It stays when another leads.
pub const ARCHIVE: &str = "taskmanager.dev/archive";

pub struct AgreedArchive {
    /// The id of this replica's archive, once it is known.
    own: watch::Receiver<Option<String>>,
    /// Takes the agreed id whenever the Lease was seen.
    tell: Box<dyn Fn(Option<String>) + Send + Sync>,
    /// This replica's archive becomes the agreed one when it leads.
    adopts: bool,
}

type Annotations = BTreeMap<String, String>;

impl AgreedArchive {
    pub fn new(
        own: watch::Receiver<Option<String>>,
        tell: impl Fn(Option<String>) + Send + Sync + 'static,
        adopts: bool,
    ) -> Self {
        Self { own, tell: Box::new(tell), adopts }
    }

    /// The Lease was seen with these annotations.
    pub(super) fn seen(&self, annotations: Option<&Annotations>) {
        (self.tell)(annotations.and_then(|annotations| annotations.get(ARCHIVE).cloned()));
    }

    /// This replica has another archive, and is not to change that.
    pub(super) fn differs(&self, annotations: Option<&Annotations>) -> bool {
        let agreed = annotations.and_then(|annotations| annotations.get(ARCHIVE));
        let own = self.own.borrow();
        !self.adopts && matches!((&*own, agreed), (Some(own), Some(agreed)) if own != agreed)
    }

    /// The id that the Lease is to name when this replica leads.
    pub(super) fn to_say(&self, annotations: Option<&Annotations>) -> Option<String> {
        let agreed = annotations.and_then(|annotations| annotations.get(ARCHIVE).cloned());
        let own = self.own.borrow().clone();
        if self.adopts { own.or(agreed) } else { agreed.or(own) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(own: Option<&str>, adopts: bool) -> AgreedArchive {
        let (_, own) = watch::channel(own.map(str::to_owned));
        AgreedArchive::new(own, |_| {}, adopts)
    }

    #[test]
    fn the_agreed_archive_is_named_where_none_is_and_changed_only_when_told_so() {
        let agreed = Annotations::from([(ARCHIVE.to_owned(), "a".to_owned())]);
        for (own, adopts, before, differs, said) in [
            (Some("a"), false, None, false, Some("a")),
            (Some("b"), false, Some(&agreed), true, Some("a")),
            (Some("b"), true, Some(&agreed), false, Some("b")),
            (None, true, Some(&agreed), false, Some("a")),
            (None, false, None, false, None),
        ] {
            let archive = of(own, adopts);
            assert_eq!(
                (archive.differs(before), archive.to_say(before).as_deref()),
                (differs, said),
                "{own:?} {adopts}"
            );
        }
    }
}
