//! `/healthz`, `/readyz` and `/metrics`, on a port of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Health {
    /// What must be ready: all of it.
    ready: Vec<watch::Receiver<bool>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {addr} for health and metrics (see --health-addr): {source}")]
pub struct ListenError {
    addr: SocketAddr,
    source: std::io::Error,
}

/// Binds at once, so that a taken port is told before anything else begins; then serves until `shutdown`.
pub async fn serve(
    addr: SocketAddr,
    ready: Vec<watch::Receiver<bool>>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = ()>, ListenError> {
    let listener = TcpListener::bind(addr).await.map_err(|source| ListenError { addr, source })?;
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Health { ready, metrics });
    Ok(async move {
        // Ends at once: nobody waits for an answer about health from what is going away.
        let served = shutdown.run_until_cancelled(async { axum::serve(listener, router).await }).await;
        if let Some(Err(error)) = served {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    })
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    if health.ready.iter().all(|ready| *ready.borrow()) {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the API server was not reached yet, or what is in the cluster is still being read",
        )
    }
}

async fn metrics_text(State(health): State<Health>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], health.metrics.text())
}
