//! Lingering close: a client that is refused may still be sending, and if its connection is closed in the middle of
//! that, it sees a broken connection and no answer. The rest of its body is read and thrown away, within bounds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::{StreamExt, stream};
use tokio::sync::Mutex;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(10);
/// As much as the largest body that is read anywhere.
const MOST: usize = 16 << 20;

pub async fn when_refused(request: Request, next: Next) -> Response {
    // A client that waits to be told to go on has sent nothing.
    if request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let rest = Arc::new(Mutex::new(body.into_data_stream()));
    let pieces = stream::unfold(rest.clone(), async |rest| {
        let piece = rest.lock().await.next().await?;
        Some((piece, rest))
    });
    let response = next.run(Request::from_parts(head, Body::from_stream(pieces))).await;
    let status = response.status();
    if !status.is_success() && status != StatusCode::REQUEST_TIMEOUT {
        let _ = timeout(WITHIN, async { discard(&mut *rest.lock().await).await }).await;
    }
    response
}

async fn discard(body: &mut BodyDataStream) {
    let mut bytes = 0;
    while let Some(Ok(piece)) = body.next().await {
        bytes += piece.len();
        if bytes > MOST {
            return;
        }
    }
}
