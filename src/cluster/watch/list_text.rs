//! The text of a list, cut into its objects as it arrives. It is told from the rest by its brackets alone; whether it is
//! right, whoever reads the objects will see.

use std::io;

/// An object of the API server has a few MiB at most.
const LARGEST: usize = 16 << 20;
/// The text around the objects is short.
const MOST_AROUND: usize = 1 << 20;
/// A key of the list itself is not longer, or is none that matters here.
const LONGEST_KEY: usize = 16;

#[derive(Default)]
pub struct ListText {
    /// All that is no object: the list without its items.
    around: Vec<u8>,
    /// The object that has begun.
    object: Vec<u8>,
    /// So many brackets are open.
    depth: usize,
    is_in_items: bool,
    is_in_string: bool,
    is_escaped: bool,
    /// The last text of the list itself. A list of objects follows its key.
    key: Vec<u8>,
}

/// The depth of the items: in the list's object and its array of items.
const OF_ITEMS: usize = 2;

impl ListText {
    /// Takes in text up to the end of the next object. Returns how many bytes were taken, and that object.
    pub fn take(&mut self, text: &[u8]) -> io::Result<(usize, Option<Vec<u8>>)> {
        // Text from here on is not yet put anywhere.
        let mut from = 0;
        for (at, byte) in text.iter().enumerate() {
            if self.is_in_string {
                self.within_string(*byte);
                continue;
            }
            match byte {
                b'"' => {
                    self.is_in_string = true;
                    self.key.clear();
                }
                b'{' | b'[' => {
                    if self.is_in_items && self.depth == OF_ITEMS {
                        from = at;
                    }
                    self.depth += 1;
                    if self.depth == OF_ITEMS && self.key == b"items" && *byte == b'[' {
                        self.is_in_items = true;
                        put(&mut self.around, &text[from..=at], MOST_AROUND)?;
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.is_in_items && self.depth == OF_ITEMS {
                        put(&mut self.object, &text[from..=at], LARGEST)?;
                        return Ok((at + 1, Some(std::mem::take(&mut self.object))));
                    }
                    if self.is_in_items && self.depth < OF_ITEMS {
                        self.is_in_items = false;
                        from = at;
                    }
                }
                _ => {}
            }
        }
        match self.is_in_items {
            true if self.depth > OF_ITEMS => put(&mut self.object, &text[from..], LARGEST)?,
            // Between two objects.
            true => {}
            false => put(&mut self.around, &text[from..], MOST_AROUND)?,
        }
        Ok((text.len(), None))
    }

    fn within_string(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.is_in_string = false,
            _ if self.depth == 1 && self.key.len() < LONGEST_KEY => self.key.push(byte),
            _ => {}
        }
    }

    /// The list without its items, when the whole text was taken in.
    pub fn around(&self) -> io::Result<&[u8]> {
        if self.depth == 0 && !self.around.is_empty() {
            Ok(&self.around)
        } else {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a list broke off"))
        }
    }
}

fn put(to: &mut Vec<u8>, text: &[u8], most: usize) -> io::Result<()> {
    if to.len() + text.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a list has an object that is larger than any may be"));
    }
    to.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// The objects, and the list without them, where the text comes in pieces of this size.
    fn cut(text: &str, size: usize) -> (Vec<Value>, Value) {
        let (mut list, mut objects) = (ListText::default(), vec![]);
        for piece in text.as_bytes().chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (taken, object) = list.take(rest).expect("it is small");
                objects.extend(object.map(|object| serde_json::from_slice(&object).expect("an object")));
                rest = &rest[taken..];
            }
        }
        (objects, serde_json::from_slice(list.around().expect("it is whole")).expect("JSON"))
    }

    fn arbitrary_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            r#"[a-z"\\\[\]{},: ]{0,8}"#.prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop_oneof![Just("items".to_owned()), r#"[a-z"\\\[\]{}]{0,6}"#];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_object_of_a_list_is_found_however_its_text_is_cut(
            contents in prop::collection::vec(arbitrary_json(), 0..5), size in 1_usize..40, is_spaced: bool, is_last: bool,
        ) {
            let objects: Vec<Value> = contents.into_iter().map(|content| json!({"content": content})).collect();
            let mut list = json!({"kind": "items", "metadata": {"items": ["x"], "resourceVersion": "7"}});
            // Keys are sorted: the items come before or behind the rest.
            list[if is_last { "zz" } else { "aa" }] = json!([1]);
            list["items"] = json!(objects);
            let text = if is_spaced { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) };
            let (found, around) = cut(&text.expect("JSON"), size);
            prop_assert_eq!(found, objects);
            list["items"] = json!([]);
            prop_assert_eq!(around, list);
        }
    }

    #[test]
    fn a_list_without_items_is_one() {
        assert_eq!(cut(r#"{"items":null,"metadata":{}}"#, 5), (vec![], json!({"items": null, "metadata": {}})));
    }

    #[test]
    fn a_list_that_breaks_off_is_none() {
        let mut list = ListText::default();
        assert!(list.around().is_err());
        list.take(br#"{"items":[{"a":1},{"b":"#).expect("it is small");
        assert!(list.around().is_err());
    }
}
