//! The size of JSON as compact text, without building anything of it.

/// How many bytes `json`, which can be read as JSON, has as compact JSON: without spaces between its parts, and with no
/// character escaped that need not be. Numbers count as they are written.
pub fn compact_bytes(json: &str) -> usize {
    let (text, mut at, mut bytes) = (json.as_bytes(), 0, 0);
    let mut is_in_string = false;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => {
                let (taken, written) = escape(&text[at..]);
                at += taken;
                bytes += written;
                continue;
            }
            b'"' => is_in_string = !is_in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !is_in_string => {
                at += 1;
                continue;
            }
            _ => {}
        }
        at += 1;
        bytes += 1;
    }
    bytes
}

/// The length of an escape, and of its character as it is written compactly.
fn escape(text: &[u8]) -> (usize, usize) {
    match text.get(1) {
        Some(b'u') => match unit(text) {
            Some(0x08 | 0x09 | 0x0a | 0x0c | 0x0d | 0x22 | 0x5c) => (6, 2),
            Some(0..0x20) => (6, 6),
            Some(0..0x80) => (6, 1),
            Some(0..0x800) => (6, 2),
            Some(0xd800..0xdc00) => (12, 4),
            _ => (6, 3),
        },
        Some(b'/') => (2, 1),
        _ => (2, 2),
    }
}

/// The code that stands behind `\u`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(2..6)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn json_is_as_long_as_it_would_be_written() {
        for text in [
            "{}",
            " { \"a b\" : [ 1 , -2.5 , true , null ] ,\n\t\"c\": \" x \" } ",
            r#"{"a": "\u003cb\u003e \/ \n \u000a \u0001 \" \\ \u005c \u00e4 \u20ac \ud83d\ude00 \u007f"}"#,
            r#"{"\u003c": {"ä€😀": ["\\", "\\\""]}}"#,
        ] {
            let written = serde_json::from_str::<Value>(text).expect("JSON").to_string();
            assert_eq!(compact_bytes(text), written.len(), "{text}");
        }
    }
}
