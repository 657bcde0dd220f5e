//! The accept loop of every port: HTTP/1.1 over sockets that no idle or stuck client can hold.
//!
//! `axum::serve` has no deadline for a request's head and none for a client that does not read, so connections
//! are served by hyper itself. Bodies have their deadline where they are read, requests in flight their bound
//! and their deadline where they are routed.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::connection::{Phases, Socket};
use super::connections::Connections;

/// Connections at once; of those beyond, one waits for its place here and the others in the kernel's backlog. All ports
/// together leave file descriptors for what the operator opens itself, however few the process may have.
const CONNECTIONS: usize = 1024;
const PART_OF_DESCRIPTORS: usize = 6;
/// The part of a port whose clients hang, each on a connection of its own.
const PART_OF_MANY: usize = 3;
/// The same for a port that few ask.
const FEW: usize = 64;
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

/// The address that a request comes from, among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(pub IpAddr);

/// Serves until `over`; then requests that have begun are finished, for a while.
pub async fn serve(listener: TcpListener, router: Router, over: CancellationToken) {
    let most = CONNECTIONS.min(file_descriptors() / PART_OF_DESCRIPTORS);
    serve_at_most(most, listener, router, over).await;
}

/// So many connections may a port have that wants `most`, by the file descriptors of this process.
pub fn at_most(most: usize) -> usize {
    most.min(file_descriptors() / PART_OF_MANY)
}

/// The same on a port that few ask.
pub async fn serve_few(listener: TcpListener, router: Router, over: CancellationToken) {
    serve_at_most(FEW, listener, router, over).await;
}

/// How many this process may have.
fn file_descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    files.and_then(|limits| limits.split_whitespace().next()?.parse().ok()).unwrap_or(usize::MAX)
}

/// The same with at most so many connections.
pub async fn serve_at_most(most: usize, listener: TcpListener, router: Router, over: CancellationToken) {
    let connections = Connections::new(most);
    let graceful = GracefulShutdown::new();
    let http = http();
    while let Some(stream) = over.run_until_cancelled(accept(&listener)).await {
        let (stream, phases) = (Arc::new(stream), Phases::idle());
        let Some(place) = over.run_until_cancelled(connections.place(phases.clone())).await else { break };
        let io = TokioIo::new(Box::pin(cut_off(Socket::new(stream.clone(), phases.clone()), WRITE)));
        let peer = stream.peer_addr().ok().map(|address| PeerAddress(address.ip()));
        let connection = graceful.watch(http.serve_connection(io, service(router.clone(), phases.clone(), peer)));
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                },
                () = phases.overdue(&stream) => {}
                () = place.close.cancelled() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "stopped before all requests were answered");
    }
}

/// The router, which tells what the connection is at. A handler ends with its connection.
fn service(
    router: Router,
    phases: Phases,
    peer: Option<PeerAddress>,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + use<> {
    service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (router, answered) = (router.clone(), phases.handling());
        async move {
            let answer = router.oneshot(request.map(Body::new)).await?;
            Ok(answer.map(|body| answered.with(body)))
        }
    })
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
        // Its clock would run while the connection is idle.
        .header_read_timeout(None)
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
    use axum::routing::get;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::connection::HEAD;

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

    /// A port that answers `GET /`, and `GET /slow` after so long.
    async fn served(slow: Duration) -> SocketAddr {
        let listener = listen("127.0.0.1:0".parse().expect("an address"), "--test").expect("a port");
        let address = listener.local_addr().expect("its address");
        let slow = async move || {
            tokio::time::sleep(slow).await;
            "late"
        };
        let router = Router::new().route("/", get(async || "ok")).route("/slow", get(slow));
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        address
    }

    async fn says(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    const ASKS: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    async fn answer(stream: &mut TcpStream) -> String {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.unwrap_or_default();
        String::from_utf8_lossy(&buffer[..read]).into()
    }

    #[tokio::test]
    async fn a_head_that_trickles_is_cut_off_and_an_idle_connection_is_kept_meanwhile() {
        let address = served(Duration::ZERO).await;
        let mut idle = says(address, ASKS).await;
        assert!(answer(&mut idle).await.contains("200 OK"));
        let began = Instant::now();
        let mut trickle = says(address, "GET /").await;
        let ended = async {
            let mut told = vec![];
            while tokio::time::timeout(Duration::from_millis(500), trickle.read_to_end(&mut told)).await.is_err() {
                let _ = trickle.write_all(b"T").await;
            }
            told
        };
        assert_eq!(tokio::time::timeout(2 * HEAD, ended).await.expect("cut off"), b"");
        assert!(began.elapsed() >= HEAD - Duration::from_secs(1), "it had its time");
        idle.write_all(ASKS.as_bytes()).await.expect("sent");
        assert!(answer(&mut idle).await.contains("200 OK"), "an idle connection is served again");
    }

    #[tokio::test]
    async fn requests_that_come_together_are_answered_one_after_the_other() {
        let address = served(Duration::ZERO).await;
        let mut stream = says(address, &ASKS.repeat(3)).await;
        let mut told = String::new();
        while told.matches("200 OK").count() < 3 {
            let more = answer(&mut stream).await;
            assert!(!more.is_empty(), "{told}");
            told += &more;
        }
    }

    #[tokio::test]
    async fn a_client_that_has_closed_its_half_is_answered() {
        let address = served(Duration::from_secs(2)).await;
        let mut stream = says(address, "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        stream.shutdown().await.expect("half closed");
        let mut told = String::new();
        stream.read_to_string(&mut told).await.expect("an answer");
        assert!(told.ends_with("late"), "{told}");
    }

    #[tokio::test]
    async fn a_handler_ends_with_its_client() {
        let ended = CancellationToken::new();
        let (began, guard) = (Arc::new(tokio::sync::Notify::new()), ended.clone());
        let begins = began.clone();
        let handler = async move || {
            let _guard = guard.drop_guard();
            begins.notify_one();
            std::future::pending::<()>().await;
        };
        let listener = listen("127.0.0.1:0".parse().expect("an address"), "--test").expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(serve(listener, Router::new().route("/", get(handler)), CancellationToken::new()));
        let stream = says(address, ASKS).await;
        began.notified().await;
        drop(stream);
        let within = Duration::from_secs(15);
        assert!(tokio::time::timeout(within, ended.cancelled()).await.is_ok(), "nobody waits for it");
    }

    #[tokio::test]
    async fn idle_connections_keep_nobody_from_a_port_that_few_ask() {
        let listener = listen("127.0.0.1:0".parse().expect("an address"), "--test").expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = Router::new().route("/", get(async || "ok"));
        tokio::spawn(serve_few(listener, router, CancellationToken::new()));
        let mut idle = vec![];
        for _ in 0..3 * FEW {
            idle.push(TcpStream::connect(address).await.expect("connected"));
        }
        let mut stream = says(address, ASKS).await;
        assert!(answer(&mut stream).await.contains("200 OK"));
    }
}
