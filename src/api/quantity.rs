//! Kubernetes quantities ("500m", "1Gi", 2): as text, and as exact amounts. The syntax is that of
//! `k8s.io/apimachinery/pkg/api/resource`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A quantity as a person wrote it: text, or a number, which manifests may hold too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Whole(i64),
            Fraction(f64),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Whole(number) => number.to_string(),
            Written::Fraction(number) => number.to_string(),
        }))
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": "type(self) == string ? isQuantity(self) && !quantity(self).isLessThan(quantity('0')) : self >= 0",
                "message": "write a quantity that is not negative, such as 500m, 2 or 1Gi",
                "messageExpression": "'write a quantity that is not negative, such as 500m, 2 or 1Gi, in place of \"' + string(self) + '\"'",
            }],
        })
    }
}

/// The value of a quantity in thousandths, rounded up. Admission counts in this unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub i128);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity; write one such as 500m, 2 or 1Gi")]
pub struct ParseQuantityError(pub String);

impl Amount {
    pub const fn whole(units: i64) -> Self {
        Self(units as i128 * 1000)
    }

    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).ceil() as i128)
    }

    /// This amount rounded up to whole units, since a memory limit in thousandths of a byte helps nobody.
    pub fn whole_units(self) -> Self {
        Self((self.0 + 999).div_euclid(1000) * 1000)
    }

    /// In whole units, for metrics.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// `percent` of this amount, rounded up.
    pub fn percent(self, percent: i32) -> Self {
        Self((self.0 * i128::from(percent) + 99).div_euclid(100))
    }
}

impl std::ops::Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1000 != 0 {
            return write!(f, "{}m", self.0);
        }
        let units = self.0 / 1000;
        match [(30, "Gi"), (20, "Mi")].into_iter().find(|(power, _)| units != 0 && units % (1 << power) == 0) {
            Some((power, suffix)) => write!(f, "{}{suffix}", units >> power),
            None => write!(f, "{units}"),
        }
    }
}

impl From<Amount> for Quantity {
    fn from(amount: Amount) -> Self {
        Self(amount.to_string())
    }
}

/// An amount above that of any machine, and far enough from overflow to be summed many times. A larger quantity
/// counts as this one, so that it exceeds every bound.
pub const MOST: Amount = Amount(10i128.pow(30));

impl Quantity {
    pub fn amount(&self) -> Result<Amount, ParseQuantityError> {
        let text = self.0.trim();
        let unreadable = || ParseQuantityError(self.0.clone());
        let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(split);
        let (thousandths_per_unit, divisor) = scale(suffix).ok_or_else(unreadable)?;
        exact(digits, thousandths_per_unit, divisor).ok_or_else(unreadable)
    }
}

/// The unit of a suffix as a fraction: numerator in thousandths, and divisor.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1000 * (1i128 << (10 * power)), 1));
    let decimal = |power: u32| Some((10i128.pow(power + 3), 1));
    match suffix {
        "n" => Some((1, 1_000_000)),
        "u" => Some((1, 1_000)),
        "m" => Some((1, 1)),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => exponent(suffix),
    }
}

/// The unit of a decimal exponent, such as "e3" or "E-2".
fn exponent(suffix: &str) -> Option<(i128, i128)> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    match power {
        // From here on, every number but 0 exceeds MOST.
        19.. => Some((MOST.0, 1)),
        0..=18 => Some((10i128.pow(power as u32 + 3), 1)),
        -3..=-1 => Some((10i128.pow((power + 3) as u32), 1)),
        -18..=-4 => Some((1, 10i128.pow((-power - 3) as u32))),
        // And every number but 0 is rounded up to one thousandth.
        _ => Some((1, 10i128.pow(15))),
    }
}

/// Digits after the point that are read one by one; the others only round up.
const PLACES: usize = 9;
/// Digits before the point that fit the arithmetic.
const DIGITS: usize = 19;

/// `written` × `numerator` / `divisor`, rounded up, without going through floating point.
fn exact(written: &str, numerator: i128, divisor: i128) -> Option<Amount> {
    let negative = written.starts_with('-');
    let digits = written.strip_prefix(['+', '-']).unwrap_or(written);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let amount = if whole.len() > DIGITS { MOST } else { magnitude(whole, fraction, numerator, divisor)? };
    Some(if negative { Amount(-amount.0) } else { amount })
}

fn magnitude(whole: &str, fraction: &str, numerator: i128, divisor: i128) -> Option<Amount> {
    let (seen, beyond) = fraction.split_at(fraction.len().min(PLACES));
    let number: i128 = format!("0{whole}{seen}").parse().ok()?;
    let number = number + i128::from(!beyond.is_empty());
    let divisor = divisor * 10i128.pow(seen.len() as u32);
    let Some(scaled) = number.checked_mul(numerator) else { return Some(MOST) };
    Some(Amount(scaled.div_euclid(divisor) + i128::from(scaled.rem_euclid(divisor) != 0)).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Option<i128> {
        Quantity(text.into()).amount().ok().map(|amount| amount.0)
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, thousandths) in [
            ("500m", 500),
            ("2", 2000),
            ("1.5", 1500),
            (".5", 500),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("2E", 2_000_000_000_000_000_000_000),
            ("100u", 1),
            ("1n", 1),
            ("-1", -1000),
            ("0", 0),
        ] {
            assert_eq!(amount(text), Some(thousandths), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "m", ".", "1 Gi", "1gi", "ten", "1.2.3", "--1", "1-1"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }

    #[test]
    fn no_spelling_of_a_quantity_makes_it_count_for_less() {
        assert_eq!(amount("64.0000000000000"), Some(64_000));
        assert_eq!(amount("000000000000000000000000064"), Some(64_000));
        assert_eq!(amount("1.0000000000001"), Some(1001));
        assert_eq!(amount("1e-30"), Some(1));
        for huge in ["99999999999999999999999999", "1e99", "9999999999999999999E"] {
            assert_eq!(amount(huge), Some(MOST.0), "{huge}");
        }
        assert_eq!(amount("0e99"), Some(0));
    }

    #[test]
    fn amounts_print_as_quantities_that_read_back_the_same() {
        assert_eq!(Amount::whole(3 << 29).to_string(), "1536Mi");
        for thousandths in [0, 1, 500, 1000, 1500, 1_024_000, 1_073_741_824_000, -1000] {
            let printed = Quantity::from(Amount(thousandths));
            assert_eq!(printed.amount(), Ok(Amount(thousandths)));
        }
    }
}
