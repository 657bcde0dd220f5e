use proptest::prelude::*;
use serde_json::json;

use super::*;

fn told(json: &str) -> Option<(String, String)> {
    loss(json).map(|loss| (loss.path.clone(), loss.to_string()))
}

#[test]
fn a_number_that_comes_back_the_same_is_no_loss_however_it_is_written() {
    for fine in [
        "0",
        "1.0",
        "-3.50",
        "1e2",
        "100E-2",
        "0.1",
        "0.30000000000000004",
        "3.141592653589793",
        "9223372036854775807",
        "-9223372036854775808",
        "9007199254740993",
        "10000000000000000000",
        "1e19",
        "1e300",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072014E-308",
        "0.000",
        "\"99999999999999999999\"",
        r#"{"a\"99999999999999999999": [1, -2.5e-7, "\u0000\ud83e\udd80"]}"#,
    ] {
        assert_eq!(told(fine), None, "{fine}");
    }
}

#[test]
fn a_number_that_comes_back_as_another_is_told_with_both() {
    for (written, kept) in [
        ("9223372036854775808", "9223372036854776000"),
        ("18446744073709551615", "18446744073709552000"),
        ("-9223372036854775809", "-9223372036854776000"),
        ("12345678901234567890123", "1.2345678901234568e+22"),
        ("9007199254740993.0", "9007199254740992"),
        ("0.1234567890123456789", "0.12345678901234568"),
        ("0.10000000000000001", "0.1"),
        ("1e-400", "0"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("1.00000000000000000001e-7", "1e-7"),
    ] {
        let sentence = format!("the number {written} would come back as {kept}");
        assert_eq!(told(written), Some((String::new(), sentence)), "{written}");
    }
    for beyond in ["1e400", "-1e400", "1e99999999999999999999"] {
        assert!(told(beyond).is_some_and(|(_, sentence)| sentence.contains("larger than the largest")), "{beyond}");
    }
}

#[test]
fn a_loss_is_told_with_its_path() {
    let deep = format!("{}1{}", "[".repeat(MOST_LEVELS + 1), "]".repeat(MOST_LEVELS + 1));
    for (json, path, words) in [
        (r#"{"payload": {"ids": [1, 2, 18446744073709551615]}}"#, "payload.ids[2]", "would come back"),
        (r#"{"payload": {"a": [{}, {"b": 1, "b": 2}]}}"#, "payload.a[1].b", "comes twice"),
        (r#"{"a": 1, "\u0061": 2}"#, "a", "comes twice"),
        (r#"{"a b": {"c": "\ud800"}}"#, r#"["a b"].c"#, "surrogate"),
        (r#"{"\udc00": 1}"#, "", "surrogate"),
        (&deep, "[0]", "deeper than 120"),
    ] {
        let (at, sentence) = told(json).unwrap_or_else(|| panic!("{json}"));
        assert!(at.starts_with(path) && sentence.contains(words), "{json}: {at}: {sentence}");
    }
    assert_eq!(told(r#"{"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 1}], "d": ["a", "a"]}"#), None);
    assert_eq!(told(&deep[1..deep.len() - 1]), None);
}

#[test]
fn a_payload_that_was_rounded_before_it_is_seen_is_told() {
    let of = |value: Value| fault(value.as_object().expect("an object"));
    let surely = of(json!({"a": 6.022e23, "b": [{"c": 18_446_744_073_709_552_000.0}]})).expect("a fault");
    assert!(surely.to_string().starts_with("payload.b[0].c is 18446744073709552000, which"), "{surely}");
    assert!(matches!(of(json!({"id": -9_223_372_036_854_776_000.0})), Some(Fault::Rounded { .. })));
    let maybe = of(json!({"id": 1.234_567_890_123_456_8e22, "x": 1})).expect("a fault");
    assert!(matches!(maybe, Fault::MayBeRounded { .. }), "{maybe:?}");
    let certain = of(json!({"a": 1.234_567_890_123_456_8e22, "b": 18_446_744_073_709_552_000.0}));
    assert!(matches!(certain, Some(Fault::Rounded { .. })), "the certain one goes before: {certain:?}");
    for honest in [json!(1e300), json!(1e19), json!(6.022_140_76e23), json!(i64::MAX), json!(0.1), json!(-1e22)] {
        assert_eq!(of(json!({"x": honest})), None, "{honest}");
    }
    let nested = |levels| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    assert_eq!((of(nested(MOST_LEVELS)), of(nested(MOST_LEVELS - 1))), (Some(Fault::Depth), None));
}

/// Finite, and not zero, whose sign is not kept.
fn some_double() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL
}

#[test]
fn a_double_between_its_two_shortest_numbers_is_kept_as_either() {
    for written in ["-822014565816648.2", "-822014565816648.3"] {
        assert_eq!(loss(written), None, "both are -822014565816648.25");
    }
    assert!(loss("-822014565816648.4").is_none() && loss("-822014565816648.23").is_some());
}

proptest! {
    #[test]
    fn every_double_and_int64_is_kept_as_programs_write_it(double in some_double(), integer: i64) {
        prop_assert_eq!(loss(&json!([double, integer]).to_string()), None);
        prop_assert_eq!(loss(&format!("{double:?}")), None);
    }

    #[test]
    fn what_is_no_loss_reads_back_the_same_number(whole in "-?(0|[1-9][0-9]{0,24})", rest in "(\\.[0-9]{1,20})?(e-?[0-9]{1,3})?") {
        let written = format!("{whole}{rest}");
        let kept = loss(&written).is_none();
        let integer = written.parse::<i64>().is_ok();
        if kept && !integer {
            let double: f64 = written.parse().expect("a number");
            let again = serde_json::to_string(&double).expect("a finite number");
            prop_assert_eq!(number::other_than_written(&again), None);
            prop_assert_eq!(again.parse::<f64>().expect("a number"), double);
        }
    }

    #[test]
    fn no_text_makes_the_scanner_stop(text in "[\\[\\]{}\",:\\\\u0-9eE.+\\-aä \n]{0,60}") {
        let _ = loss(&text);
    }
}
