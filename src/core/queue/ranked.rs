//! A sorted set that knows the place of each of its members. Never knows what they stand for.

/// So many members a chunk has at most: a member is found by a search among the chunks and one within its chunk, and
/// joining or leaving moves at most so many.
const CHUNK: usize = 512;

/// Sorted chunks, one behind the other. None of them is empty.
#[derive(Debug)]
pub struct Ranked<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Ranked<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Ord> Ranked<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn first(&self) -> Option<&T> {
        self.chunks.first()?.first()
    }

    /// The member that so many go before.
    pub fn nth(&self, mut place: usize) -> Option<&T> {
        for chunk in &self.chunks {
            match chunk.get(place) {
                Some(member) => return Some(member),
                None => place -= chunk.len(),
            }
        }
        None
    }

    pub fn contains(&self, member: &T) -> bool {
        self.chunks.get(self.chunk_of(member)).is_some_and(|chunk| chunk.binary_search(member).is_ok())
    }

    /// How many members are less than `member`, which need not be one itself.
    pub fn before(&self, member: &T) -> usize {
        let chunk = self.chunk_of(member);
        let whole: usize = self.chunks[..chunk].iter().map(Vec::len).sum();
        let place = |chunk: &Vec<T>| chunk.binary_search(member).unwrap_or_else(|place| place);
        whole + self.chunks.get(chunk).map_or(0, place)
    }

    /// The members from the one on that so many go before.
    pub fn from(&self, place: usize) -> impl Iterator<Item = &T> {
        let mut skipped = 0;
        let mut chunk = 0;
        while self.chunks.get(chunk).is_some_and(|chunk| skipped + chunk.len() <= place) {
            skipped += self.chunks[chunk].len();
            chunk += 1;
        }
        self.chunks[chunk..].iter().flatten().skip(place - skipped)
    }

    pub fn insert(&mut self, member: T) {
        // Most sets have one member.
        if self.chunks.is_empty() {
            self.chunks.reserve_exact(1);
            self.chunks.push(Vec::with_capacity(1));
        }
        let mut at = self.chunk_of(&member).min(self.chunks.len() - 1);
        let Err(mut place) = self.chunks[at].binary_search(&member) else { return };
        if self.chunks[at].len() == CHUNK {
            // Members that come in order leave full chunks behind them.
            let comes_last = at + 1 == self.chunks.len() && place == CHUNK;
            let kept = if comes_last { CHUNK } else { CHUNK / 2 };
            let rest = self.chunks[at].split_off(kept);
            self.chunks.insert(at + 1, rest);
            if place >= kept {
                (at, place) = (at + 1, place - kept);
            }
        }
        self.chunks[at].insert(place, member);
        self.len += 1;
    }

    /// Returns whether it was a member.
    pub fn remove(&mut self, member: &T) -> bool {
        let at = self.chunk_of(member);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let Ok(place) = chunk.binary_search(member) else { return false };
        chunk.remove(place);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        true
    }

    /// The only chunk that may hold `member`; behind the last one where all are less.
    fn chunk_of(&self, member: &T) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| last < member))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn agree(ranked: &Ranked<u16>, plain: &BTreeSet<u16>, asked: u16) -> Result<(), TestCaseError> {
        prop_assert_eq!(
            (ranked.len(), ranked.first(), ranked.is_empty()),
            (plain.len(), plain.first(), plain.is_empty())
        );
        prop_assert_eq!(ranked.before(&asked), plain.range(..asked).count());
        prop_assert_eq!(ranked.contains(&asked), plain.contains(&asked));
        let place = usize::from(asked) % (plain.len() + 2);
        prop_assert_eq!(ranked.nth(place), plain.iter().nth(place));
        prop_assert!(ranked.from(place).eq(plain.iter().skip(place)));
        Ok(())
    }

    proptest! {
        #[test]
        fn it_answers_as_a_plain_sorted_set_does(
            begin in 0..1_500u16,
            steps in prop::collection::vec((any::<bool>(), 0..2_000u16), 0..60),
        ) {
            let (mut ranked, mut plain) = (Ranked::default(), BTreeSet::new());
            for member in 0..begin {
                ranked.insert(member);
                plain.insert(member);
            }
            for (joins, member) in steps {
                if joins {
                    ranked.insert(member);
                    plain.insert(member);
                } else {
                    prop_assert_eq!(ranked.remove(&member), plain.remove(&member));
                }
                agree(&ranked, &plain, member)?;
            }
            prop_assert!(ranked.from(0).eq(plain.iter()));
        }
    }
}
