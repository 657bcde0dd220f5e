//! Times as people write them: all that RFC 3339 allows, and all that the API server lets in as one. Reads no clock.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Stands for a time that cannot be read. It is never over, so that nothing starts for want of understanding it.
pub const NEVER: Timestamp = Timestamp::MAX;

/// The digits of a second that are kept.
const DIGITS: usize = 9;
/// `YYYY-MM-DDThh:mm:ss`.
const SECONDS: usize = 19;

/// Reads a time of RFC 3339. Digits beyond a billionth of a second are cut off; times beyond the range of this program are
/// the first or the last of it.
pub fn read_time(text: &str) -> Option<Timestamp> {
    let plain = text.is_ascii().then(|| text.to_ascii_uppercase())?;
    let (second, rest) = plain.split_at_checked(SECONDS)?;
    if !is_like(second, "0000-00-00T00:00:00") {
        return None;
    }
    let offset_at = rest.find(['Z', '+', '-'])?;
    let (fraction, offset) = rest.split_at(offset_at);
    let fraction = digits(fraction)?;
    let local: DateTime = format!("{second}.{fraction}").parse().ok()?;
    // A year is four digits, so only the last day and the offset can lead out of the range.
    let time = local.to_zoned(TimeZone::UTC).map_or(last(), |zoned| zoned.timestamp());
    let time = time.checked_sub(east_of_greenwich(offset)?).unwrap_or_else(|_| last());
    Some(time.min(last()))
}

/// The last time that is not `NEVER`.
fn last() -> Timestamp {
    NEVER - SignedDuration::from_secs(1)
}

/// Whether `text` has digits where `pattern` has 0, and else the same.
fn is_like(text: &str, pattern: &str) -> bool {
    let same = |(is, like): (u8, u8)| if like == b'0' { is.is_ascii_digit() } else { is == like };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(same)
}

/// The digits of a fraction, which may be empty: `.5` and `,5` are 5.
fn digits(fraction: &str) -> Option<&str> {
    let Some(digits) = fraction.strip_prefix(['.', ',']) else { return fraction.is_empty().then_some("0") };
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| &digits[..digits.len().min(DIGITS)])
}

fn east_of_greenwich(offset: &str) -> Option<SignedDuration> {
    if offset == "Z" {
        return Some(SignedDuration::ZERO);
    }
    let (sign, rest) = offset.split_at_checked(1)?;
    if !is_like(rest, "00:00") {
        return None;
    }
    let minutes = rest[..2].parse::<i64>().ok()? * 60 + rest[3..].parse::<i64>().ok()?;
    Some(SignedDuration::from_mins(if sign == "-" { -minutes } else { minutes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_a_time_is_read() {
        for (text, read) in [
            ("2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
            ("2099-01-01t00:00:00z", "2099-01-01T00:00:00Z"),
            ("2099-01-01T00:00:00.123456789012Z", "2099-01-01T00:00:00.123456789Z"),
            ("2099-01-01T00:00:00,5Z", "2099-01-01T00:00:00.5Z"),
            ("2099-01-01T00:00:00+14:00", "2098-12-31T10:00:00Z"),
            ("2099-01-01T00:00:00-00:00", "2099-01-01T00:00:00Z"),
            ("2099-01-01T00:00:00+99:00", "2098-12-27T21:00:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("1969-07-20T20:17:40Z", "1969-07-20T20:17:40Z"),
            ("0000-01-01T00:00:00+23:59", "-000001-12-31T00:01:00Z"),
        ] {
            assert_eq!(read_time(text).map(|time| time.to_string()).as_deref(), Some(read), "{text}");
        }
        for late in ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:00", "9999-12-30T22:00:00.9999999999Z"] {
            assert_eq!(read_time(late), Some(last()), "{late}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "tomorrow",
            "2099-01-01",
            "2099-01-01T00:00Z",
            "2099-01-01 00:00:00Z",
            "2099-01-01T00:00:00",
            "2099-01-01T00:00:00.Z",
            "2099-13-01T00:00:00Z",
            "2099-02-30T00:00:00Z",
            "2099-01-01T24:00:00Z",
            "2099-01-01T00:00:00+0200",
            "2099-01-01T00:00:00ZTgarbage",
            "2099-01-01T00:00:00x5Z",
            "２０99-01-01T00:00:00Z",
            " 2099-01-01T00:00:00Z",
            "+2099-01-01T00:00:00Z",
            "2099-01-01T00:00:00.5.5Z",
            "2099-01-01T00:00:00Z+01:00",
        ] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
