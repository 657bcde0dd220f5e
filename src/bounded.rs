//! A map of at most so many entries: the one put in longest ago makes room. Reading an entry does not make it younger,
//! putting it in again does.

use std::borrow::Borrow;
use std::hash::Hash;

use lru::LruCache;

#[derive(Debug)]
pub struct Bounded<K: Hash + Eq, V, const MOST: usize> {
    // Without a bound of its own it makes room as it grows, and not for all entries at once.
    entries: LruCache<K, V>,
}

impl<K: Hash + Eq, V, const MOST: usize> Default for Bounded<K, V, MOST> {
    fn default() -> Self {
        Self { entries: LruCache::unbounded() }
    }
}

impl<K: Hash + Eq, V, const MOST: usize> Bounded<K, V, MOST> {
    pub fn insert(&mut self, key: K, value: V) {
        self.entries.put(key, value);
        if self.entries.len() > MOST {
            self.entries.pop_lru();
        }
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.peek(key)
    }

    pub fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains(key)
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.pop(key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_kept_and_the_oldest_are_forgotten() {
        let mut kept = Bounded::<usize, (), 10>::default();
        (0..15).for_each(|number| kept.insert(number, ()));
        assert!(!kept.contains(&4) && kept.contains(&5));
        assert_eq!((kept.len(), kept.values().count()), (10, 10));
    }

    #[test]
    fn one_that_is_taken_out_and_put_in_again_is_the_youngest() {
        let mut kept = Bounded::<usize, &str, 10>::default();
        kept.insert(100, "again");
        assert_eq!(kept.remove(&100), Some("again"));
        kept.insert(101, "other");
        kept.insert(100, "again");
        (0..9).for_each(|number| kept.insert(number, ""));
        assert!(!kept.contains(&101) && kept.get(&100) == Some(&"again"));
    }

    #[test]
    fn one_that_is_put_in_once_more_is_the_youngest_and_one_that_is_read_is_not() {
        let mut kept = Bounded::<usize, usize, 2>::default();
        kept.insert(1, 1);
        kept.insert(2, 1);
        kept.insert(1, 2);
        assert_eq!((kept.get(&2), kept.len()), (Some(&1), 2));
        kept.insert(3, 1);
        assert!(kept.get(&2).is_none() && kept.get(&1) == Some(&2));
    }
}
