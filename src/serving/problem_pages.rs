//! A page for each type of problem, at the path that is its type, and a list of them: for people, on every port that
//! answers with problems.

use axum::Router;
use axum::extract::Path;
use axum::response::Html;
use axum::routing::get;
use strum::IntoEnumIterator;

use super::problem::{Problem, ProblemType};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n\
    <style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #222; } \
    dt { margin-top: .75rem; } code { font: 14px/1.4 ui-monospace, monospace; }</style>\n";

/// The pages.
pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/problems", get(async || Html(list()))).route("/problems/{name}", get(page))
}

async fn page(name: Result<Path<String>, axum::extract::rejection::PathRejection>) -> Result<Html<String>, Problem> {
    let name = name.map(|path| path.0).unwrap_or_default();
    let kind = ProblemType::iter().find(|kind| kind.name() == name);
    kind.map(|kind| Html(one(kind)))
        .ok_or_else(|| ProblemType::NoSuchPath.because("there is no such type of problem; /problems lists all"))
}

fn one(kind: ProblemType) -> String {
    let (path, title, status) = kind.parts();
    format!(
        "{HEAD}<title>{title}</title>\n<h1>{title}</h1>\n<p><code>{path}</code>, status {status}</p>\n<p>{}</p>\n\
         <p><a href=\"../problems\">All types of problems</a></p>\n</html>\n",
        kind.about()
    )
}

fn list() -> String {
    let entry = |kind: ProblemType| {
        let (path, title, status) = kind.parts();
        let name = kind.name();
        format!(
            "<dt><a href=\"problems/{name}\"><code>{path}</code></a> ({status}): {title}</dt>\n<dd>{}</dd>\n",
            kind.about()
        )
    };
    let entries: String = ProblemType::iter().map(entry).collect();
    format!(
        "{HEAD}<title>Types of problems</title>\n<h1>Types of problems</h1>\n\
         <p>Every error is a problem (RFC 9457). Its type is one of these; the list may grow, and a type never changes its \
         meaning.</p>\n<dl>\n{entries}</dl>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use std::collections::BTreeSet;
    use tower::ServiceExt;

    async fn asked(path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = pages().oneshot(request).await.expect("an answer");
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&bytes).into())
    }

    #[tokio::test]
    async fn every_type_of_problem_has_a_page_and_is_on_the_list() {
        let (status, list) = asked("/problems").await;
        assert_eq!(status, StatusCode::OK);
        for kind in ProblemType::iter() {
            let (path, title, number) = kind.parts();
            let (status, page) = asked(path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            for said in [title, kind.about(), &format!("status {number}")] {
                assert!(page.contains(said), "{path} says {said}");
            }
            assert!(list.contains(&format!("<code>{path}</code>")), "{path}");
            assert!(!format!("{title}{}", kind.about()).contains(['<', '>', '&']), "{path} is plain text");
        }
        for other in ["/problems/nothing", "/problems/%FF"] {
            assert_eq!(asked(other).await.0, StatusCode::NOT_FOUND, "{other}");
        }
    }

    #[test]
    fn no_two_types_of_problems_have_the_same_name() {
        let names: BTreeSet<_> = ProblemType::iter().map(ProblemType::name).collect();
        assert_eq!(names.len(), ProblemType::iter().count());
    }
}
