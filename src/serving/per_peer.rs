//! How much each address may have at once, so that none keeps the others out.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::listener::PeerAddress;

pub struct PerPeer {
    most: usize,
    at_work: Mutex<HashMap<PeerAddress, usize>>,
}

/// One of so many turns of an address, until it is dropped.
pub struct Turn<'a> {
    peers: &'a PerPeer,
    peer: Option<PeerAddress>,
}

impl PerPeer {
    pub fn new(most: usize) -> Self {
        Self { most, at_work: Mutex::default() }
    }

    /// A turn of this address; `None` when it has all of its turns. Who has no address is not counted.
    pub fn turn(&self, peer: Option<&PeerAddress>) -> Option<Turn<'_>> {
        if let Some(peer) = peer {
            let mut at_work = self.at_work.lock();
            let turns = at_work.entry(*peer).or_default();
            if *turns >= self.most {
                return None;
            }
            *turns += 1;
        }
        Some(Turn { peers: self, peer: peer.copied() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(peer) = self.peer else { return };
        let mut at_work = self.peers.at_work.lock();
        if let Some(turns) = at_work.get_mut(&peer) {
            *turns -= 1;
            if *turns == 0 {
                at_work.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_turns_and_leaves_the_others_theirs() {
        let peers = PerPeer::new(2);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| PeerAddress(text.parse().expect("an address")));
        let first = peers.turn(Some(&one));
        let second = peers.turn(Some(&one));
        assert!(first.is_some() && second.is_some() && peers.turn(Some(&one)).is_none());
        assert!(peers.turn(Some(&other)).is_some() && peers.turn(None).is_some());
        drop(first);
        assert!(peers.turn(Some(&one)).is_some());
        drop(second);
        assert!(peers.at_work.lock().is_empty());
    }
}
