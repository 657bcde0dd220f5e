use super::*;

fn judged(status: u16, headers: &[(header::HeaderName, &'static str)], body: &str) -> Option<CallError> {
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect();
    judge(StatusCode::from_u16(status).expect("a status"), &headers, body.as_bytes())
}

#[test]
fn each_status_means_one_thing() {
    assert!(judged(200, &[], "{}").is_none() && judged(204, &[], "").is_none());
    assert!(matches!(judged(409, &[], ""), Some(CallError::Over(_))));
    for status in [401, 403, 404, 405] {
        assert!(matches!(judged(status, &[], ""), Some(CallError::NotOurs(_))), "{status}");
    }
    for status in [400, 413, 415, 422] {
        assert!(matches!(judged(status, &[], ""), Some(CallError::Refused(_))), "{status}");
    }
    for status in [301, 408, 425, 429, 500, 502, 503, 504] {
        assert!(matches!(judged(status, &[], ""), Some(CallError::Again { after: None, .. })), "{status}");
    }
}

#[test]
fn the_operators_sentence_and_pause_are_passed_on() {
    let busy = judged(503, &[(header::RETRY_AFTER, "2")], r#"{"detail": "nobody leads"}"#).expect("an error");
    assert_eq!(busy.to_string(), "the operator answered 503: nobody leads");
    assert!(matches!(busy, CallError::Again { after: Some(after), .. } if after == Duration::from_secs(2)));
}

#[test]
fn the_time_of_an_answer_is_read() {
    let headers = [(header::DATE, "Tue, 15 Nov 1994 08:12:31 GMT".parse().expect("a value"))].into_iter().collect();
    assert_eq!(date(&headers).map(|date| date.to_string()).as_deref(), Some("1994-11-15T08:12:31Z"));
    assert_eq!(date(&HeaderMap::new()), None);
}

#[test]
fn a_url_that_is_none_is_told() {
    for wrong in ["", "operator:8082", "ftp://operator", "http://"] {
        assert!(Operator::at(wrong, PathBuf::new()).is_err(), "{wrong}");
    }
    assert!(Operator::at("http://operator:8082/", PathBuf::new()).is_ok());
}
