//! The replica that leads, as the others find it: its address and a key, in annotations of the Lease.
//!
//! The key opens one thing: the stream of what the work says. Whoever may read the Lease may read that stream.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::core::digest::hex;

const URL: &str = "taskmanager.dev/worker-url";
const KEY: &str = "taskmanager.dev/live-key";

/// How to reach the replica that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub url: String,
    pub key: String,
}

impl Peer {
    /// This replica, with a key of its own.
    pub fn new(url: &str) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self { url: url.trim_end_matches('/').into(), key: hex(&bytes) })
    }

    pub fn annotations(&self) -> BTreeMap<String, String> {
        [(URL, &self.url), (KEY, &self.key)].map(|(key, value)| (key.to_owned(), value.clone())).into()
    }

    pub fn read(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let text = |key: &str| annotations.get(key).cloned();
        Some(Self { url: text(URL)?, key: text(KEY)? })
    }

    /// Whether somebody has the key; how much of it is right shows in nothing, not even in time.
    pub fn is_opened_by(&self, key: &str) -> bool {
        Sha256::digest(&self.key) == Sha256::digest(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_found_by_what_it_says_of_itself() {
        let peer = Peer::new("http://10.0.0.7:8082/").expect("random bytes");
        assert_eq!((peer.url.as_str(), peer.key.len()), ("http://10.0.0.7:8082", 32));
        assert_eq!(Peer::read(&peer.annotations()).as_ref(), Some(&peer));
        assert!(peer.is_opened_by(&peer.key) && !peer.is_opened_by("") && !peer.is_opened_by(&peer.key[1..]));
        assert_ne!(Peer::new("http://x").expect("random bytes").key, peer.key);
        assert_eq!(Peer::read(&BTreeMap::new()), None);
    }
}
