//! A set of items as ranges of their indexes, so that its size follows from how scattered the items are, not from how many.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The beginning of the last word of a text that was cut.
const MORE: &str = "…";

/// A set of items. As text: `17,300-305`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// The last index of each range, by its first. Ranges neither overlap nor touch.
    ranges: BTreeMap<u32, u32>,
    count: u32,
}

impl Items {
    pub fn range(first: u32, last: u32) -> Self {
        let mut items = Self::default();
        items.insert(first, last);
        items
    }

    /// The items 0 to `total` - 1.
    pub fn up_to(total: u32) -> Self {
        total.checked_sub(1).map_or_else(Self::default, |last| Self::range(0, last))
    }

    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn contains(&self, index: u32) -> bool {
        self.ranges.range(..=index).next_back().is_some_and(|(_, last)| *last >= index)
    }

    pub fn first(&self) -> Option<u32> {
        self.ranges.keys().next().copied()
    }

    pub fn last(&self) -> Option<u32> {
        self.ranges.values().next_back().copied()
    }

    /// First and last index of each range, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    pub fn indexes(&self) -> impl Iterator<Item = u32> {
        self.ranges().flat_map(|(first, last)| first..=last)
    }

    /// Adds a range; what of it is there already stays.
    pub fn insert(&mut self, first: u32, last: u32) {
        if first > last {
            return;
        }
        self.remove(first, last);
        self.count += last - first + 1;
        let before = first.checked_sub(1).and_then(|before| self.ranges.range(..=before).next_back());
        let joined = before.filter(|(_, end)| end.checked_add(1) == Some(first)).map(|(begin, _)| *begin);
        let behind = last.checked_add(1).and_then(|behind| self.ranges.remove(&behind));
        self.ranges.insert(joined.unwrap_or(first), behind.unwrap_or(last));
    }

    /// Takes a range out, as far as it is there.
    pub fn remove(&mut self, first: u32, last: u32) {
        while let Some((begin, end)) = self.ranges.range(..=last).next_back().map(|(begin, end)| (*begin, *end)) {
            if end < first {
                return;
            }
            self.ranges.remove(&begin);
            let (from, to) = (begin.max(first), end.min(last));
            self.count -= to - from + 1;
            if begin < from {
                self.ranges.insert(begin, from - 1);
            }
            if end > to {
                self.ranges.insert(to + 1, end);
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        other.ranges().for_each(|(first, last)| self.insert(first, last));
    }

    pub fn take_out(&mut self, other: &Self) {
        other.ranges().for_each(|(first, last)| self.remove(first, last));
    }

    /// The items of both.
    pub fn common(&self, other: &Self) -> Self {
        let mut common = Self::default();
        for (first, last) in other.ranges() {
            let from = self.ranges.range(..=first).next_back().map_or(first, |(begin, _)| *begin);
            let overlapping = self.ranges.range(from..=last).filter(|(_, end)| **end >= first);
            overlapping.for_each(|(begin, end)| common.insert((*begin).max(first), (*end).min(last)));
        }
        common
    }

    /// The first so many items.
    pub fn first_few(&self, most: u32) -> Self {
        let mut few = Self::default();
        for (first, last) in self.ranges() {
            let left = most - few.len();
            if left == 0 {
                break;
            }
            few.insert(first, last.min(first.saturating_add(left - 1)));
        }
        few
    }

    /// Reads `17,300-305`; an empty text is no item. `None` where it is anything else, or names an item twice.
    pub fn read(text: &str) -> Option<Self> {
        let mut items = Self::default();
        for range in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || !items.common(&Self::range(first, last)).is_empty() {
                return None;
            }
            items.insert(first, last);
        }
        Some(items)
    }

    /// The text, of which no more than `most` bytes are written; a text that was cut ends with an ellipsis.
    pub fn text_within(&self, most: usize) -> String {
        let mut text = String::new();
        for (first, last) in self.ranges() {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            let comma = if text.is_empty() { "" } else { "," };
            if text.len() + comma.len() + range.len() + 1 + MORE.len() > most {
                return text + comma + MORE;
            }
            text = text + comma + &range;
        }
        text
    }
}

/// A number as it is written by us: no sign, no blank.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl FromIterator<u32> for Items {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Self {
        let mut items = Self::default();
        indexes.into_iter().for_each(|index| items.insert(index, index));
        items
    }
}

impl std::fmt::Display for Items {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text_within(usize::MAX))
    }
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no list of item indexes")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn items_are_written_as_indexed_jobs_write_them_and_read_again() {
        let items: Items = [305, 17, 300, 301, 302, 303, 304].into_iter().collect();
        assert_eq!(items.to_string(), "17,300-305");
        assert_eq!((Items::read("17,300-305"), Items::read("")), (Some(items), Some(Items::default())));
        for odd in ["5-4", "1,1", "1-3,2", "a", "-1", "1-", ",", "1,,2", "+1", " 1", "4294967296", "1-2-3"] {
            assert_eq!(Items::read(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_long_list_of_items_is_cut_between_two_ranges() {
        let items: Items = (0..10_000).step_by(2).collect();
        let text = items.text_within(2048);
        assert!(text.len() <= 2048 && text.len() > 2030 && text.ends_with(",…"), "{} bytes", text.len());
        assert_eq!(Items::up_to(10_000_000).text_within(20), "0-9999999");
    }

    #[test]
    fn the_last_index_that_there_is_can_be_in_a_set() {
        let mut items = Items::range(u32::MAX, u32::MAX);
        items.insert(0, 0);
        assert_eq!((items.len(), items.to_string().as_str()), (2, "0,4294967295"));
        items.remove(1, u32::MAX);
        assert_eq!(items.to_string(), "0");
    }

    fn naive(items: &Items) -> BTreeSet<u32> {
        items.indexes().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(crate::cases(256)))]
        #[test]
        fn a_set_of_items_is_what_a_set_of_numbers_is(
            steps in vec((any::<bool>(), 0..40u32, 0..9u32), 0..40), other in vec((0..40u32, 0..9u32), 0..8), few in 0..50u32,
        ) {
            let (mut items, mut set) = (Items::default(), BTreeSet::new());
            for (adds, first, more) in steps {
                match adds {
                    true => { items.insert(first, first + more); set.extend(first..=first + more); }
                    false => { items.remove(first, first + more); set.retain(|index| !(first..=first + more).contains(index)); }
                }
                prop_assert_eq!(naive(&items), set.clone());
                prop_assert_eq!(items.len() as usize, set.len());
            }
            let ranges: Vec<_> = items.ranges().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "ranges neither overlap nor touch");
            prop_assert_eq!(Items::read(&items.to_string()), Some(items.clone()));
            prop_assert!((0..50).all(|index| items.contains(index) == set.contains(&index)));
            let mut another = Items::default();
            other.iter().for_each(|(first, more)| another.insert(*first, first + more));
            let both: BTreeSet<u32> = set.intersection(&naive(&another)).copied().collect();
            prop_assert_eq!(naive(&items.common(&another)), both);
            prop_assert_eq!(naive(&items.first_few(few)), set.iter().take(few as usize).copied().collect::<BTreeSet<_>>());
        }
    }
}
