//! A set of uids that keeps the latest ones and forgets the oldest.

use std::collections::{HashSet, VecDeque};

use super::Uid;

/// So many are remembered.
pub const MOST: usize = 10_000;

#[derive(Default)]
pub struct Remembered {
    uids: HashSet<Uid>,
    order: VecDeque<Uid>,
}

impl Remembered {
    pub fn contains(&self, uid: &str) -> bool {
        self.uids.contains(uid)
    }

    pub fn insert(&mut self, uid: Uid) {
        if self.uids.insert(uid.clone()) {
            self.order.push_back(uid);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
    }

    pub fn remove(&mut self, uid: &str) {
        if self.uids.remove(uid) {
            self.order.retain(|other| **other != *uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_uids_are_remembered_and_the_oldest_are_forgotten() {
        let mut remembered = Remembered::default();
        (0..MOST + 5).for_each(|number| remembered.insert(number.to_string().into()));
        assert!(!remembered.contains("4") && remembered.contains("5"));
        assert_eq!((remembered.uids.len(), remembered.order.len()), (MOST, MOST));
    }

    #[test]
    fn what_is_taken_out_and_put_in_again_is_the_youngest() {
        let mut remembered = Remembered::default();
        remembered.insert("again".into());
        remembered.remove("again");
        remembered.insert("other".into());
        remembered.insert("again".into());
        (0..MOST - 1).for_each(|number| remembered.insert(number.to_string().into()));
        assert!(!remembered.contains("other") && remembered.contains("again"));
    }
}
