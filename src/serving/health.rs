//! `/healthz`, `/readyz` and `/metrics`, on a port of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::listener;
use super::listener::ListenError;
use crate::metrics::Metrics;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The parts of the operator whose health is told.
#[derive(Clone)]
pub struct Parts {
    /// All of these must be ready.
    pub needed: Vec<(&'static str, watch::Receiver<bool>)>,
    /// These are told of and not waited for, with their trouble if they have any.
    pub told: Vec<(&'static str, watch::Receiver<Option<String>>)>,
    /// Of these it is told how they stand, or why that is not known.
    pub stands: Vec<(&'static str, watch::Receiver<Result<String, String>>)>,
}

#[derive(Clone)]
struct Health {
    parts: Parts,
    metrics: Arc<Metrics>,
}

/// Binds at once, so that a taken port is told before anything else begins; then serves until `shutdown`.
pub fn serve(
    addr: SocketAddr,
    parts: Parts,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = ()>, ListenError> {
    let listener = listener::listen(addr, "--health-addr")?;
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Health { parts, metrics });
    Ok(async move {
        // Ends at once: nobody waits for an answer about health from a process that is going away.
        shutdown.run_until_cancelled(listener::serve_few(listener, router, CancellationToken::new())).await;
    })
}

const NOT_READY: &str = "not ready: the API server was not reached yet, or what is in the cluster is still being read";

/// `?verbose` tells of each part, as the API server's own does.
async fn readyz(State(Health { parts, .. }): State<Health>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let is_ready = parts.needed.iter().all(|(_, ready)| *ready.borrow());
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let is_verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    let answer = match (is_verbose, is_ready) {
        (true, _) => parts.told_of(is_ready),
        (false, true) => "ok".into(),
        (false, false) => NOT_READY.into(),
    };
    (code, answer)
}

impl Parts {
    fn told_of(&self, is_ready: bool) -> String {
        let needed = self.needed.iter().map(|(name, ready)| (name, (!*ready.borrow()).then(|| NOT_READY.to_owned())));
        let told = self.told.iter().map(|(name, trouble)| (name, trouble.borrow().clone()));
        let troubles = needed.chain(told).map(|(name, trouble)| (name, trouble.map_or(Ok(String::new()), Err)));
        let stands = self.stands.iter().map(|(name, stands)| (name, stands.borrow().clone()));
        let line = |(name, stands): (&&str, Result<String, String>)| match stands {
            Ok(how) if how.is_empty() => format!("[+]{name} ok\n"),
            Ok(how) => format!("[+]{name} ok: {}\n", how.replace('\n', " ")),
            Err(trouble) => format!("[-]{name} failed: {}\n", trouble.replace('\n', " ")),
        };
        let lines: String = troubles.chain(stands).map(line).collect();
        format!("{lines}readyz check {}\n", if is_ready { "passed" } else { "failed" })
    }
}

async fn metrics_text(State(health): State<Health>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], health.metrics.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_line_that_says_what_it_lacks() {
        let (_controller, ready) = watch::channel(true);
        let (archive, trouble) = watch::channel(None);
        let (lease, leads) = watch::channel(Ok("one leads".to_owned()));
        let parts = Parts {
            needed: vec![("controller", ready)],
            told: vec![("archive", trouble)],
            stands: vec![("lease", leads)],
        };
        let told = "[+]controller ok\n[+]archive ok\n[+]lease ok: one leads\nreadyz check passed\n";
        assert_eq!(parts.told_of(true), told);
        archive.send_replace(Some("no answer\nat all".to_owned()));
        drop(lease.send_replace(Err("not seen".to_owned())));
        let told =
            "[+]controller ok\n[-]archive failed: no answer at all\n[-]lease failed: not seen\nreadyz check passed\n";
        assert_eq!(parts.told_of(true), told, "readiness depends on neither");
    }
}
