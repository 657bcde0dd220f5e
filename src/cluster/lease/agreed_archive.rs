//! The archive on which the replicas agree: its id is an annotation of the Lease, written by whoever leads where there is
//! none. A replica with another one lets those go first that have this one; where it leads, for none of them was there, it
//! says so on the Lease, and whoever has the agreed one asks it there to make room. Knows nothing of archives but their ids.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use tokio::sync::watch;

/// The annotation of the Lease. It stays when another leads.
pub const ARCHIVE: &str = "taskmanager.dev/archive";

/// The id of the leader's archive, where that is another one.
const LED_WITH: &str = "taskmanager.dev/led-with-archive";
/// The name of a replica that waits for the lease and has the agreed one.
pub(super) const ASKED_BY: &str = "taskmanager.dev/asked-to-make-room-by";

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

    /// The annotations that the Lease is to have when this replica leads.
    pub(super) fn to_say(&self, annotations: Option<&Annotations>) -> Annotations {
        let agreed = annotations.and_then(|annotations| annotations.get(ARCHIVE).cloned());
        let own = self.own.borrow().clone();
        let led_with = own.clone().filter(|_| self.differs(annotations));
        let agreed = if self.adopts { own.or(agreed) } else { agreed.or(own) };
        [(ARCHIVE, agreed), (LED_WITH, led_with)]
            .into_iter()
            .filter_map(|(key, id)| Some((key.to_owned(), id?)))
            .collect()
    }

    /// Somebody who has the agreed archive waits for the Lease.
    pub(super) fn is_asked_for(&self, lease: &ObjectMeta) -> bool {
        lease.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(ASKED_BY))
    }

    /// Writes down that this replica waits for the Lease, where it has the agreed archive and whoever leads has not; false
    /// where there is nothing to write.
    pub(super) fn ask(&self, replica: &str, lease: &mut ObjectMeta) -> bool {
        let is_right = self.own.borrow().is_some() && !self.differs(lease.annotations.as_ref());
        let annotations = lease.annotations.get_or_insert_default();
        let asks = is_right && annotations.contains_key(LED_WITH) && !annotations.contains_key(ASKED_BY);
        if asks {
            annotations.insert(ASKED_BY.to_owned(), replica.to_owned());
        }
        asks
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
            let says = archive.to_say(before);
            assert_eq!(
                (archive.differs(before), says.get(ARCHIVE).map(String::as_str)),
                (differs, said),
                "{own:?} {adopts}"
            );
            assert_eq!(says.get(LED_WITH).map(String::as_str), own.filter(|_| differs));
        }
    }

    #[test]
    fn whoever_has_the_agreed_archive_asks_a_leader_that_has_not_once() {
        let led_with_b = of(Some("b"), false).to_say(Some(&Annotations::from([(ARCHIVE.into(), "a".into())])));
        for (own, adopts, asks) in
            [(Some("a"), false, true), (Some("b"), false, false), (Some("c"), true, true), (None, false, false)]
        {
            let mut lease = ObjectMeta { annotations: Some(led_with_b.clone()), ..ObjectMeta::default() };
            let archive = of(own, adopts);
            assert_eq!(archive.ask("me", &mut lease), asks, "{own:?}");
            assert_eq!((archive.is_asked_for(&lease), archive.ask("me", &mut lease)), (asks, false), "{own:?}");
        }
        let led_with_a = of(Some("a"), false).to_say(Some(&Annotations::from([(ARCHIVE.into(), "a".into())])));
        let mut lease = ObjectMeta { annotations: Some(led_with_a), ..ObjectMeta::default() };
        assert!(!of(Some("a"), false).ask("me", &mut lease), "the right one leads");
    }
}
