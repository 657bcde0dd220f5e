//! Numbers as the API server keeps them: int64 where it is written as an integer that fits, else the nearest double.

use serde_json::Number;

/// From here on a number is no int64.
const BEYOND_INT64: f64 = 9_223_372_036_854_775_808.0;
/// From here on the API server writes a number with an exponent.
const WITH_EXPONENT: f64 = 1e21;
/// A double that was rounded from a longer integer has so many digits, or more, with few exceptions.
const FULL_DIGITS: usize = 16;

/// A number in decimal: 0.`digits` × 10^`point`. The digits neither begin nor end with 0; those of zero are empty.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    point: i64,
}

impl Decimal {
    /// Reads a number of JSON.
    fn of(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // One that does not even fit here is beyond every double.
        let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
        let all = format!("{whole}{fraction}");
        let leading = all.len() - all.trim_start_matches('0').len();
        let digits = all.trim_matches('0').to_owned();
        let point = exponent.saturating_add(whole.len() as i64).saturating_sub(leading as i64);
        Self { is_negative, point: if digits.is_empty() { 0 } else { point }, digits }
    }
}

/// The number that `written` becomes where that is another: `Some(None)` where it is too large for any.
pub fn other_than_written(written: &str) -> Option<Option<String>> {
    let decimal = Decimal::of(written);
    if decimal.digits.is_empty() {
        // The sign of zero is not kept.
        return decimal.is_negative.then(|| Some("0".into()));
    }
    if !written.contains(['.', 'e', 'E']) && written.parse::<i64>().is_ok() {
        return None;
    }
    let double: f64 = written.parse().unwrap_or(f64::INFINITY);
    if double.is_infinite() {
        return Some(None);
    }
    // Of two shortest numbers that are equally near to a double some programs write the one and some the other: both are it.
    let shortest =
        [format!("{double:e}"), Number::from_f64(double).map(|number| number.to_string()).unwrap_or_default()];
    let is_kept = shortest.iter().any(|shortest| Decimal::of(shortest) == decimal);
    (!is_kept).then(|| Some(shown(double)))
}

/// A double as the API server writes it.
fn shown(double: f64) -> String {
    let size = double.abs();
    if double == 0.0 {
        "0".into()
    } else if (1e-6..WITH_EXPONENT).contains(&size) {
        double.to_string()
    } else {
        let text = format!("{double:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    }
}

/// A stored number as the API server shows it.
pub fn as_stored(stored: &Number) -> String {
    stored.as_f64().filter(|_| stored.is_f64()).map_or_else(|| stored.to_string(), shown)
}

/// How sure it is that a stored number was rounded.
#[derive(Debug, PartialEq, Eq)]
pub enum Rounded {
    Surely,
    Maybe,
}

/// Whether a number that the API server has stored was an integer that it could not keep. A number of few digits, such as
/// 1e300, was not.
pub fn rounded(stored: &Number) -> Option<Rounded> {
    if stored.is_i64() {
        return None;
    }
    let size = stored.as_f64()?.abs();
    if size < BEYOND_INT64 || Decimal::of(&format!("{size:e}")).digits.len() < FULL_DIGITS {
        return None;
    }
    Some(if size < WITH_EXPONENT { Rounded::Surely } else { Rounded::Maybe })
}
