//! Reads JSON and queries. A text that cannot be read is a problem that names the field, in a plain sentence.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::problem::{Problem, ProblemType};

/// Reads a JSON object, all of it.
pub fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json).map(|Whole(read)| read).map_err(|error| {
        let (why, path) = (error.inner(), error.path());
        match why.classify() {
            Category::Data => unread(ProblemType::Invalid, path, &why.to_string()),
            Category::Eof => {
                let end = format!("the JSON breaks off at line {}, column {}", why.line(), why.column());
                unread(ProblemType::Syntax, path, &format!("{end}; send all of it"))
            }
            Category::Syntax | Category::Io => unread(ProblemType::Syntax, path, &why.to_string()),
        }
    })?;
    json.end().map_err(|error| ProblemType::Syntax.because(error.to_string()))?;
    Ok(read)
}

struct Whole<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let absent = || D::Error::invalid_type(Unexpected::Unit, &AN_OBJECT);
        object(deserializer)?.map(Self).ok_or_else(absent)
    }
}

const AN_OBJECT: &str = "a JSON object";

/// An object, or null for none. Derived code would take a list of as many values, too, which no manifest may hold.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Object(PhantomData))
}

/// A value that was written, null included: for a field where null is not the same as nothing.
pub fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The same for a field that is an object.
pub fn given_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    object(deserializer).map(Some)
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(AN_OBJECT)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Some)
    }

    /// One that breaks off is no JSON at all, and that goes before.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Err(A::Error::invalid_type(Unexpected::Seq, &self))
    }
}

/// Reads a query, which stands behind the question mark of a path.
pub fn query<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(pairs)
        .map_err(|error| unread(ProblemType::Query, error.path(), &error.inner().to_string()))
}

fn unread(kind: ProblemType, path: &Path, why: &str) -> Problem {
    match field(path, why) {
        Some(field) if why.contains(&field) => kind.because(why).at(field),
        Some(field) => kind.because(format!("{field}: {why}")).at(field),
        None => kind.because(why),
    }
}

/// The field that it is about, if it is about one.
fn field(path: &Path, why: &str) -> Option<String> {
    let mut field = if path.iter().len() > 0 { path.to_string() } else { String::new() };
    if let Some(Segment::Unknown) = path.iter().next_back() {
        // The text is over, or wrong, before it says which field comes next.
        field.truncate(field.len() - 1);
        field.truncate(field.trim_end_matches('.').len());
    }
    if let Some(last) = told_in_words(why) {
        field = if field.is_empty() { last.to_owned() } else { format!("{field}.{last}") };
    }
    Some(field).filter(|field| !field.is_empty())
}

/// The field that is named in words alone: for one that is missing or comes twice there is no path.
fn told_in_words(why: &str) -> Option<&str> {
    let rest = why.strip_prefix("missing field `").or_else(|| why.strip_prefix("duplicate field `"))?;
    rest.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "inner")]
        _inner: Inner,
        #[serde(rename = "other", default, deserialize_with = "object")]
        _other: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "number")]
        _number: i32,
        #[serde(rename = "more")]
        _more: Option<Vec<i32>>,
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_field() {
        for (text, kind, field) in [
            (r#"{"inner": {"number": "x"}}"#, ProblemType::Invalid, Some("inner.number")),
            (r#"{"inner": {"number": 1, "nope": 1}}"#, ProblemType::Invalid, Some("inner.nope")),
            (r#"{"inner": {"number": 1, "more": [1, "x"]}}"#, ProblemType::Invalid, Some("inner.more[1]")),
            (r#"{"inner": {"number": 1}, "inner": {"number": 1}}"#, ProblemType::Invalid, Some("inner")),
            (r#"{"inner": {}}"#, ProblemType::Invalid, Some("inner.number")),
            (r"{}", ProblemType::Invalid, Some("inner")),
            (r#"{"inner": {"number": 1}, "other": [1]}"#, ProblemType::Invalid, Some("other")),
            (r#"{"inner": {"number": 1}, "other": {"number": "x"}}"#, ProblemType::Invalid, Some("other.number")),
            (r#"{"inner": {"number": 1}, "other": {"nope": 1}}"#, ProblemType::Invalid, Some("other.nope")),
            (r#"[{"number": 1}, null]"#, ProblemType::Invalid, None),
            (r"null", ProblemType::Invalid, None),
            (r"5", ProblemType::Invalid, None),
            (r"[", ProblemType::Syntax, None),
            (r#"{"inner": {"number": 1}, "other": [1}"#, ProblemType::Syntax, Some("other")),
            (r"", ProblemType::Syntax, None),
            (r"{x", ProblemType::Syntax, None),
            (r#"{"inner": {"number": 1}} x"#, ProblemType::Syntax, None),
        ] {
            let problem = json::<Outer>(text).expect_err(text);
            assert!(problem.is(kind), "{text}: {problem:?}");
            assert_eq!(problem.field.as_deref(), field, "{text}: {problem:?}");
        }
    }

    #[test]
    fn json_that_breaks_off_is_told_with_where_it_ends_and_the_fields_so_far() {
        for (text, at, field) in [
            ("", "line 1, column 0", None),
            ("{", "line 1, column 1", None),
            (r#"{"inn"#, "line 1, column 5", None),
            ("{\"inner\": {\n", "line 2, column 0", Some("inner")),
            (r#"{"inner": {"num"#, "line 1, column 15", Some("inner")),
            (r#"{"inner": {"number": "#, "line 1, column 21", Some("inner.number")),
            (r#"{"inner": {"number": 1, "more": [1, "#, "line 1, column 36", Some("inner.more")),
        ] {
            let problem = json::<Outer>(text).expect_err(text);
            assert!(problem.is(ProblemType::Syntax), "{text}: {problem:?}");
            assert_eq!(problem.field.as_deref(), field, "{text}: {problem:?}");
            assert!(problem.detail.contains(&format!("the JSON breaks off at {at}")), "{text}: {problem:?}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(rename = "limit")]
        _limit: Option<u32>,
        #[serde(rename = "replayed")]
        _replayed: Option<bool>,
    }

    #[test]
    fn a_query_that_cannot_be_read_is_told_with_its_field_in_a_sentence() {
        for (text, field, detail) in [
            ("limit=many", "limit", "limit: invalid digit found in string"),
            ("limit=1&limit=2", "limit", "duplicate field `limit`"),
            ("colour=red", "colour", "unknown field `colour`, expected `limit` or `replayed`"),
            ("limit=1&replayed=perhaps", "replayed", "replayed: provided string was not `true` or `false`"),
        ] {
            let problem = query::<Asked>(text).expect_err(text);
            assert!(problem.is(ProblemType::Query));
            assert_eq!((problem.field.as_deref(), problem.detail.as_str()), (Some(field), detail));
        }
    }
}
