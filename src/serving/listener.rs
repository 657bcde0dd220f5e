//! The accept loop of every port: HTTP/1.1 over sockets that no idle or stuck client can hold.
//!
//! `axum::serve` has no deadline for a request's head and none for a client that does not read, so connections
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Connections at once; those beyond wait in the kernel's backlog.
const CONNECTIONS: usize = 1024;
/// For a request's head, and for the next request of an idle connection. Gateways that keep connections open
/// should close idle ones sooner.
const HEAD: Duration = Duration::from_secs(10);
/// A client that reads nothing of its answer for so long is cut off.
const WRITE: Duration = Duration::from_secs(15);
/// For what has begun when the operator stops.
const DRAIN: Duration = Duration::from_secs(5);
const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
/// Bytes that are written and not yet read, held by us and by the kernel: so much a stuck client may cost.
const BUFFER: usize = 64 << 10;
const BACKLOG: u32 = 1024;
/// When no connection can be accepted (no file descriptors are left, mostly), trying at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {addr} (see {flag}): {source}")]
pub struct ListenError {
    addr: SocketAddr,
    flag: &'static str,
    source: std::io::Error,
}

/// Binds the address that this flag names.
pub fn listen(addr: SocketAddr, flag: &'static str) -> Result<TcpListener, ListenError> {
    bind(addr).map_err(|source| ListenError { addr, flag, source })
}

fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it. Left alone the kernel would keep megabytes for a client that does not read.
    socket.set_send_buffer_size(BUFFER as u32)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves until `over`; then requests that have begun are finished, for a while.
pub async fn serve(listener: TcpListener, router: Router, over: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let http = http();
    while let Some(Ok(slot)) = over.run_until_cancelled(slots.clone().acquire_owned()).await {
        let Some(stream) = over.run_until_cancelled(accept(&listener)).await else { break };
        let service = router.clone().map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
        let io = TokioIo::new(Box::pin(cut_off(stream, WRITE)));
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

/// The same stream, whose writes fail when the client has read nothing for so long.
fn cut_off<S: AsyncRead + AsyncWrite>(stream: S, after: Duration) -> TimeoutStream<S> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(after));
    stream
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER)
        // A client that has sent all may close that half and wait for the answer, as nc does.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_cut_off_and_a_slow_one_is_not() {
        let (mut reader, writer) = duplex(16);
        let mut stream = Box::pin(cut_off(writer, Duration::from_secs(10)));
        let reading = tokio::spawn(async move {
            let mut taken = [0; 16];
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                reader.read_exact(&mut taken).await.expect("bytes");
            }
            reader
        });
        stream.write_all(&[1; 64]).await.expect("a slow reader is waited for");
        let _reader = reading.await.expect("it read");
        let error = stream.write_all(&[1; 64]).await.expect_err("nobody reads any more");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}
