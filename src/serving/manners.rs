//! Requests that are refused by their headers alone, before anything of them is read: an encoding or a type of body that is
//! not spoken, and what a page of another site has a browser send.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body::is_declared_as_json;
use super::problem::{Problem, ProblemType};

/// How a browser says whose page sends a request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A body in an encoding, such as gzip, would be taken for something else.
pub async fn unencoded(request: Request, next: Next) -> Response {
    if has_body(request.headers()) && is_encoded(request.headers()) {
        let why = "the body is in a Content-Encoding that is not read here; send it as it is, without that header";
        let mut refused = ProblemType::ContentEncoding.because(why).at("Content-Encoding").into_response();
        refused.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        return refused;
    }
    next.run(request).await
}

/// Only JSON is taken, and no change from a page of another site.
pub async fn json_of_the_same_site(request: Request, next: Next) -> Response {
    match refusal(request.method(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(method: &Method, headers: &HeaderMap) -> Option<Problem> {
    if method.is_safe() {
        return None;
    }
    if is_cross_site(headers) {
        let why =
            "a browser sends this for a page of another site; send it from a program, or from a page of this site";
        return Some(ProblemType::CrossSite.because(why));
    }
    (has_body(headers) && !is_declared_as_json(method, headers)).then(media_type)
}

/// The body is not declared as JSON.
pub fn media_type() -> Problem {
    ProblemType::MediaType.because("send the body with Content-Type: application/json").at("Content-Type")
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let is_other = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or("?");
        text.split(',').map(str::trim).any(|one| !one.is_empty() && !one.eq_ignore_ascii_case("identity"))
    };
    headers.get_all(header::CONTENT_ENCODING).iter().any(is_other)
}

/// Browsers that do not say whose page it is name its origin.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        let is_ours = |site: &HeaderValue| {
            let site = site.to_str().unwrap_or_default().trim();
            ["same-origin", "none"].iter().any(|ours| site.eq_ignore_ascii_case(ours))
        };
        return !sites.all(is_ours);
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    headers.get_all(header::ORIGIN).iter().any(|origin| !host.is_some_and(|host| is_origin_of(origin, host)))
}

/// Whether an origin, such as http://tasks.example:8080, is that of a host.
fn is_origin_of(origin: &HeaderValue, host: &str) -> bool {
    let Some((scheme, authority)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
        return false;
    };
    let usual = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |text: &str| text.strip_suffix(usual).unwrap_or(text).to_ascii_lowercase();
    bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        });
        pairs.collect()
    }

    #[test]
    fn a_change_that_a_page_of_another_site_asks_for_is_refused() {
        for (pairs, cross) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example"), ("host", "x")], false),
            (&[("origin", "http://tasks.example:8080"), ("host", "tasks.example:8080")], false),
            (&[("origin", "https://Tasks.Example"), ("host", "tasks.example:443")], false),
            (&[("origin", "https://evil.example"), ("host", "tasks.example")], true),
            (&[("origin", "null"), ("host", "tasks.example")], true),
            (&[("origin", "http://tasks.example:8080"), ("host", "tasks.example")], true),
        ] {
            let headers = headers(pairs);
            let refused = refusal(&Method::POST, &headers).map(|problem| problem.is(ProblemType::CrossSite));
            assert_eq!(refused, cross.then_some(true), "{pairs:?}");
            assert_eq!(refusal(&Method::GET, &headers), None, "reading harms nobody: {pairs:?}");
        }
    }

    #[test]
    fn a_body_is_json_and_without_one_nothing_need_be_declared() {
        for (method, pairs, taken) in [
            (Method::POST, &[][..], true),
            (Method::POST, &[("content-length", "0")], true),
            (Method::POST, &[("content-length", "2")], false),
            (Method::POST, &[("transfer-encoding", "chunked")], false),
            (Method::POST, &[("content-length", "2"), ("content-type", "application/json")], true),
            (Method::POST, &[("content-length", "2"), ("content-type", "application/merge-patch+json")], false),
            (Method::PATCH, &[("content-length", "2"), ("content-type", "application/merge-patch+json")], true),
            (Method::PATCH, &[("content-length", "2"), ("content-type", "Application/JSON; charset=utf-8")], true),
            (Method::POST, &[("content-length", "2"), ("content-type", "application/x-www-form-urlencoded")], false),
            (Method::GET, &[("content-length", "2"), ("content-type", "text/plain")], true),
        ] {
            assert_eq!(refusal(&method, &headers(pairs)).is_none(), taken, "{method} {pairs:?}");
        }
    }

    #[test]
    fn only_a_body_that_is_as_it_is_is_read() {
        for (coding, encoded) in
            [("gzip", true), ("identity", false), ("Identity, br", true), ("", false), ("zstd", true)]
        {
            assert_eq!(is_encoded(&headers(&[("content-encoding", coding)])), encoded, "{coding}");
        }
    }
}
