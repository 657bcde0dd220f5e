//! Numbers as Kubernetes keeps them. An integer beyond 64 bits would lose digits on its way, and a person finds
//! out weeks later: it is refused. A number that is whole is written as an integer, as the API server stores it.

use serde_json::{Number, Value};

/// The first integer in `json` that cannot be carried exactly.
pub fn too_long(json: &str) -> Option<&str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|byte| !is_of_number(*byte)).map_or(bytes.len(), |end| at + end);
                let number = &json[at..end];
                if !number.contains(['.', 'e', 'E']) && number.parse::<i64>().is_err() {
                    return Some(number);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
}

/// Behind the closing quote of the string whose content begins at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// Writes 125.0 as 125, everywhere.
pub fn settle(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Object(fields) => fields.values_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Floats above this are not known to the last digit.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn whole(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integers_beyond_64_bits_are_found_outside_of_strings() {
        for fine in [
            "9223372036854775807",
            "-9223372036854775808",
            "1e300",
            "0.12345678901234567890123",
            "\"99999999999999999999\"",
            r#"{"a\"99999999999999999999": [1, -2.5e-7]}"#,
        ] {
            assert_eq!(too_long(fine), None, "{fine}");
        }
        assert_eq!(too_long(r#"{"a": [1, 9223372036854775808]}"#), Some("9223372036854775808"));
        assert_eq!(too_long("-9223372036854775809"), Some("-9223372036854775809"));
    }

    #[test]
    fn whole_numbers_are_integers() {
        let mut value = json!({"a": [125.0, 1.5, -3.0, 1e300], "b": {"c": 1e3}});
        settle(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[125,1.5,-3,1e+300],"b":{"c":1000}}"#);
    }
}
