//! The REST shim: what services behind a gateway call instead of Kubernetes.
//!
//! It runs on every replica, leader or not. It reads from an index of its own, which a watch keeps up to date,
//! so that asking for a status costs the API server nothing, and what the cluster has forgotten from the archive; and
//! it writes through the API server, whose verdict it translates. It decides nothing about a task's life, authenticates
//! nobody, and knows nothing of the controller: both see the same resources.

mod app;
pub mod ask;
mod dead_letters;
mod document;
pub mod follow;
mod index;
pub mod problem;
pub mod request;
pub mod router;
mod submit;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

pub use crate::workers::Peer;
use app::App;
use index::Index;

use crate::archive::Archive;
use crate::cluster::calls::Reads;
use crate::cluster::watch::Watches;
use crate::live::{Live, Uid};
use crate::metrics::Metrics;
use crate::serving::listener;
use crate::workers;

/// Where it is served, and for which namespaces. A namespace that is not named here is not seen by any path.
#[derive(Clone, Debug)]
pub struct Options {
    pub addr: SocketAddr,
    /// The first one is meant where a request names none. Never empty.
    pub namespaces: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {addr} (see {flag}): {source}")]
pub struct ListenError {
    addr: SocketAddr,
    flag: &'static str,
    source: std::io::Error,
}

/// What is served from.
#[derive(Clone)]
pub struct Shared {
    pub client: Client,
    /// Tasks and types, as the whole process watches them.
    pub watches: Arc<Watches>,
    pub archive: Archive,
    /// What the work says while it runs.
    pub live: Arc<Live>,
    pub metrics: Arc<Metrics>,
    /// This replica, as the others find it when it leads.
    pub me: Option<Peer>,
    /// Who leads, when it is another.
    pub peers: Receiver<Option<Peer>>,
    /// Cancelled when the operator stops.
    pub over: CancellationToken,
}

/// Binds at once; then takes what the work says until the operator stops.
pub fn serve_worker(addr: SocketAddr, shared: Shared) -> Result<impl Future<Output = ()>, ListenError> {
    let listener = listener::listen(addr).map_err(|source| ListenError { addr, flag: "--worker-addr", source })?;
    Ok(async move {
        tracing::info!(worker = %addr, "work is listened to");
        listener::serve(listener, workers::router(&shared), shared.over).await;
    })
}

/// Binds at once, so that a taken port is told before anything else begins; then serves until `shutdown`.
/// `ready` is told when the index knows what was there at the beginning.
pub fn serve(options: Options, shared: Shared, ready: Sender<bool>) -> Result<impl Future<Output = ()>, ListenError> {
    let Options { addr, namespaces } = options;
    let Shared { client, watches, archive, live, metrics: _, me: _, peers, over: shutdown } = shared;
    let listener = listener::listen(addr).map_err(|source| ListenError { addr, flag: "--http-addr", source })?;
    let index = Arc::new(Index::new(live.clone()));
    let app = App::new(client.clone(), archive, index.clone(), &namespaces, ready.subscribe(), shutdown.clone());
    let router = router::router(Arc::new(app));
    let reads = Reads::new(client);
    Ok(async move {
        tracing::info!(http = %addr, ?namespaces, "REST is served");
        let telling = shutdown.run_until_cancelled(tell(live.news(), index.clone()));
        let following = shutdown.run_until_cancelled(workers::follow(live, peers));
        let watching = shutdown.run_until_cancelled(index::feed::run(reads, watches, namespaces, index, ready));
        tokio::join!(telling, following, watching, listener::serve(listener, router, shutdown.clone()));
    })
}

/// Tells those who follow a task when its work says something.
async fn tell(mut news: broadcast::Receiver<Uid>, index: Arc<Index>) {
    loop {
        match news.recv().await {
            Ok(uid) => index.tell(&uid),
            Err(RecvError::Lagged(_)) => index.tell_all(),
            Err(RecvError::Closed) => return,
        }
    }
}
