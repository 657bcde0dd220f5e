//! The accept loop: HTTP/1.1 over sockets that nobody can hold for nothing.
//!
//! `axum::serve` has no deadline for a request's head and none for a reader that does not read, so connections
//! are served by hyper itself. Bodies have their deadline where they are read, requests in flight their bound
//! where they are routed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::stall::Stall;

/// Connections at once; those beyond wait in the kernel's backlog.
const CONNECTIONS: usize = 1024;
/// For a request's head, and for the next request of an idle connection. Gateways that keep connections open
/// should close idle ones sooner.
const HEAD: Duration = Duration::from_secs(10);
/// A reader that takes nothing for so long is cut off.
const STALL: Duration = Duration::from_secs(15);
/// For what has begun when the operator stops.
const DRAIN: Duration = Duration::from_secs(5);
const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
/// What is written and not yet read, by us and by the kernel: so much a stuck reader may cost.
const BUFFER: usize = 64 << 10;
const BACKLOG: u32 = 1024;
/// When no connection can be accepted (no file descriptors are left, mostly), trying at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

pub fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it. Left alone the kernel would keep megabytes for a reader that does not read.
    socket.set_send_buffer_size(BUFFER as u32)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves until `over`; then what has begun is finished, for a while.
pub async fn serve(listener: TcpListener, router: Router, over: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let http = http();
    while let Some(Ok(slot)) = over.run_until_cancelled(slots.clone().acquire_owned()).await {
        let Some(stream) = over.run_until_cancelled(accept(&listener)).await else { break };
        let service = router.clone().map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
        let io = TokioIo::new(Stall::new(stream, STALL));
        let connection = graceful.watch(http.serve_connection(io, TowerToHyperService::new(service)));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "stopped before all requests were answered");
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER)
        // Who has said all may close that half and wait for the answer, as nc does.
        .half_close(true);
    http
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers are not held back; where that cannot be set, they are merely late.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
