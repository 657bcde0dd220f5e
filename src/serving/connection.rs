//! One connection: its socket, and what it is at. Who is idle for long, trickles the head of a request, or has gone while
//! it is answered, is to be closed. Knows nothing of HTTP but where a request begins and ends.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::FutureExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Gateways keep idle connections for 60 s, mostly; who sends a request into one that is going gets no answer.
pub const IDLE: Duration = Duration::from_secs(75);
/// For the head of a request, from its first byte.
pub const HEAD: Duration = Duration::from_secs(10);
/// A client that has closed its half, as nc does and as one does that has gone, is answered within so long or not at all.
const HALF_CLOSED: Duration = Duration::from_secs(10);
/// How often it is looked whether a client is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for a request, since then.
    Idle(Instant),
    /// The head of a request began to arrive then.
    Head(Instant),
    /// A handler is at work.
    Handling,
    /// The answer is on its way.
    Answering,
}

impl Phase {
    /// When it is to be closed.
    fn ends_at(self) -> Option<Instant> {
        match self {
            Self::Idle(since) => Some(since + IDLE),
            Self::Head(since) => Some(since + HEAD),
            Self::Handling | Self::Answering => None,
        }
    }
}

/// The phase of one connection, which socket and requests tell. Copies share it.
#[derive(Clone)]
pub struct Phases(Arc<watch::Sender<Phase>>);

impl Phases {
    pub fn idle() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Idle(Instant::now()))))
    }

    pub fn now(&self) -> Phase {
        *self.0.borrow()
    }

    pub(super) fn bytes_came(&self) {
        self.0.send_if_modified(|phase| {
            let is_first = matches!(phase, Phase::Idle(_));
            if is_first {
                *phase = Phase::Head(Instant::now());
            }
            is_first
        });
    }

    /// A request has begun; it is over when the answer that is made with this is.
    pub fn handling(&self) -> Answered {
        self.0.send_replace(Phase::Handling);
        Answered(self.clone())
    }

    /// Ends when the connection is to be closed.
    pub async fn overdue(&self, socket: &TcpStream) {
        let mut told = self.0.subscribe();
        loop {
            let phase = *told.borrow_and_update();
            let overdue = async {
                match phase.ends_at() {
                    Some(end) => sleep_until(end).await,
                    None => client_gone(socket, phase).await,
                }
            };
            tokio::select! {
                // Fails only when this is gone, and it is here.
                _ = told.changed() => {}
                () = overdue => return,
            }
        }
    }
}

/// Ends when the client is gone, or has closed its half for too long while nothing was answered.
async fn client_gone(socket: &TcpStream, phase: Phase) {
    let mut half_closed = None;
    loop {
        let now = socket.ready(Interest::READABLE | Interest::WRITABLE).now_or_never();
        match now {
            Some(Ok(is)) if is.is_write_closed() => return,
            Some(Ok(is)) if is.is_read_closed() && phase == Phase::Handling => {
                let since = *half_closed.get_or_insert_with(Instant::now);
                if since.elapsed() >= HALF_CLOSED {
                    return;
                }
            }
            Some(Err(_)) => return,
            _ => {}
        }
        sleep(LOOK).await;
    }
}

/// Held by an answer: when it is gone the connection is idle.
pub struct Answered(Phases);

impl Answered {
    /// The answer, which holds this until it was sent.
    pub fn with(self, body: Body) -> Body {
        self.0.0.send_replace(Phase::Answering);
        Body::new(Answer { body, _answered: self })
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.0.send_replace(Phase::Idle(Instant::now()));
    }
}

struct Answer {
    body: Body,
    _answered: Answered,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that tells when bytes come. It is shared with whoever looks whether the client is still there.
pub struct Socket {
    stream: Arc<TcpStream>,
    phases: Phases,
}

impl Socket {
    pub fn new(stream: Arc<TcpStream>, phases: Phases) -> Self {
        Self { stream, phases }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    if read > 0 {
                        self.phases.bytes_came();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Socket {
    fn poll_try(&self, cx: &mut Context, write: impl Fn(&TcpStream) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context, pieces: &[io::IoSlice]) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        let copy = std::net::TcpStream::from(self.stream.as_fd().try_clone_to_owned()?);
        Poll::Ready(copy.shutdown(Shutdown::Write))
    }
}
