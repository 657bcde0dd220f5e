//! Reads TASK_RESULT_FILE when the work has ended: a result in JSON, text or bytes, or on failure an error.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::api::worker_protocol::{LARGEST_RESULT_BYTES, RESULT_BYTES, WorkError};

/// The result that the work left.
#[derive(Debug)]
pub enum Left {
    Nothing,
    /// Small enough to be handed in with the lease.
    Small(Box<RawValue>),
    /// To be put into the store before.
    Large {
        content_type: &'static str,
        content: Vec<u8>,
    },
    /// More than the store takes.
    TooLarge,
}

/// Reads a result as the result file of a Job is read: JSON, else text without the line ends behind it.
pub fn result(content: Vec<u8>) -> Left {
    if content.is_empty() {
        return Left::Nothing;
    }
    if content.len() > LARGEST_RESULT_BYTES {
        return Left::TooLarge;
    }
    let (content_type, small) = match std::str::from_utf8(&content) {
        Err(_) => ("application/octet-stream", None),
        Ok(text) => match serde_json::from_str::<Box<RawValue>>(text) {
            Ok(json) => ("application/json", Some(json)),
            Err(_) => ("text/plain; charset=utf-8", to_raw_value(text.trim_end_matches('\n')).ok()),
        },
    };
    match small.filter(|json| json.get().len() <= RESULT_BYTES) {
        Some(json) => Left::Small(json),
        None => Left::Large { content_type, content },
    }
}

#[derive(Deserialize)]
struct Failure {
    error: Reported,
}

/// What it holds beside is nobody's concern here.
#[derive(Deserialize)]
struct Reported {
    #[serde(rename = "type")]
    type_: Option<String>,
    message: Option<String>,
    retryable: Option<bool>,
}

/// The error of work that failed: `{"error": {"type", "message", "retryable"}}`.
pub fn error(content: &[u8]) -> Option<WorkError> {
    let Failure { error: Reported { type_, message, retryable } } = serde_json::from_slice(content).ok()?;
    let cut = |text: Option<String>, most| text.map(|text| text.chars().take(most).collect());
    let error = WorkError { type_: cut(type_, 128), message: cut(message, 1024), retryable };
    (error != WorkError::default()).then_some(error)
}

/// The content of a regular file, a byte more than the largest result at most. What is no file has none: opening a pipe might
/// hang.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let mut content = Vec::new();
    File::open(path)?.take(LARGEST_RESULT_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(content: &str) -> String {
        match result(content.into()) {
            Left::Small(json) => json.get().to_owned(),
            other => panic!("{content:.40}: {other:?}"),
        }
    }

    fn large(content: &[u8]) -> &'static str {
        match result(content.into()) {
            Left::Large { content_type, content: kept } if kept == content => content_type,
            other => panic!("{:.80}", format!("{other:?}")),
        }
    }

    #[test]
    fn a_small_result_is_json_as_it_was_written_else_text() {
        for (content, read) in [
            (r#"{"pages": 10}"#, r#"{"pages": 10}"#),
            ("\n[1.50, 18446744073709551616]\n", "[1.50, 18446744073709551616]"),
            ("42", "42"),
            ("done, 10 pages\n", r#""done, 10 pages""#),
            (r#"{"pages": "#, r#""{\"pages\": ""#),
            ("{} {}", r#""{} {}""#),
        ] {
            assert_eq!(small(content), read, "{content}");
        }
        assert!(matches!(result(Vec::new()), Left::Nothing));
    }

    #[test]
    fn a_large_result_and_one_of_bytes_go_into_the_store_under_their_type() {
        assert_eq!(small(&"x".repeat(RESULT_BYTES - 2)).len(), RESULT_BYTES);
        assert_eq!(large("x".repeat(RESULT_BYTES - 1).as_bytes()), "text/plain; charset=utf-8");
        assert_eq!(large("\u{1}".repeat(1000).as_bytes()), "text/plain; charset=utf-8", "as JSON it is longer");
        assert_eq!(large(format!("[{}1]", "1,".repeat(RESULT_BYTES)).as_bytes()), "application/json");
        assert_eq!(large(b"\xff\xfe"), "application/octet-stream");
        assert!(matches!(result(vec![0; LARGEST_RESULT_BYTES + 1]), Left::TooLarge));
    }

    #[test]
    fn an_error_may_be_left_in_its_words() {
        let read =
            error(br#"{"error": {"type": "RateLimited", "message": "later", "retryable": true, "at": 1}, "x": 1}"#);
        let said =
            WorkError { type_: Some("RateLimited".into()), message: Some("later".into()), retryable: Some(true) };
        assert_eq!(read, Some(said));
        for none in [&b""[..], b"broken", b"{}", br#"{"error": {}}"#, br#"{"error": "broken"}"#, b"[1]"] {
            assert_eq!(error(none), None);
        }
        let long = error(format!(r#"{{"error": {{"message": "{}"}}}}"#, "ä".repeat(9999)).as_bytes());
        assert_eq!(long.and_then(|error| error.message).map(|text| text.chars().count()), Some(1024));
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let folder = std::env::temp_dir().join(format!("left-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        assert_eq!(read(&folder.join("none")).expect("nothing"), b"");
        assert_eq!(read(&folder).expect("nothing"), b"");
        assert_eq!(read(Path::new("/dev/zero")).expect("nothing"), b"");
        std::fs::write(folder.join("some"), "some").expect("written");
        assert_eq!(read(&folder.join("some")).expect("a file"), b"some");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
