//! The REST shim: what services behind a gateway call instead of Kubernetes.
//!
//! It runs on every replica, leader or not. It reads from an index of its own, which a watch keeps up to date,
//! so that asking for a status costs the API server nothing; tasks that are no longer in the cluster it reads from the
//! archive; and it writes through the API server, whose verdict it translates. It decides nothing about a task's life, authenticates
//! nobody, and knows nothing of the controller: both see the same resources.

mod api_server;
mod app;
mod ask;
mod catalog;
mod dead_letters;
mod document;
mod find;
mod follow;
mod head;
mod index;
mod logs;
mod measured;
mod namespaces;
mod request;
mod router;
mod submit;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use app::App;
use catalog::Catalog;
use index::Index;

use crate::archive::Archive;
use crate::cluster::calls::Reads;
use crate::cluster::watch::{Scope, Watches};
use crate::core::Settings;
use crate::live::{Live, Uid};
use crate::metrics::Metrics;
use crate::serving::listener;
use crate::serving::listener::ListenError;

/// Where it is served, and for which namespaces. A namespace that is not named here is not seen by any path.
#[derive(Clone, Debug)]
pub struct Options {
    pub addr: SocketAddr,
    /// The first one is meant where a request names none. Never empty.
    pub namespaces: Vec<String>,
}

/// Where the answers come from.
pub struct Sources {
    pub client: Client,
    /// Tasks, types and queues, as the whole process watches them.
    pub watches: Arc<Watches>,
    /// The namespaces that the operator looks after.
    pub scope: Scope,
    /// The operator's options that decide how large a task is, and how many run.
    pub settings: Settings,
    pub archive: Archive,
    pub metrics: Arc<Metrics>,
    /// The reports of the work that runs.
    pub live: Arc<Live>,
    /// Cancelled when the operator stops.
    pub over: CancellationToken,
}

/// Binds at once, so that a taken port is told before anything else begins; then serves until the operator stops.
/// `ready` is told when the index knows the tasks that were there at the beginning.
pub fn serve(options: Options, sources: Sources, ready: Sender<bool>) -> Result<impl Future<Output = ()>, ListenError> {
    let Options { addr, namespaces } = options;
    let Sources { client, watches, scope, settings, archive, metrics, live, over } = sources;
    let listener = listener::listen(addr, "--http-addr")?;
    let holders = settings.max_running_tasks.map(|_| scope);
    let index = Arc::new(Index::new(live.clone(), settings.clone()));
    let catalog = Arc::new(Catalog::new(settings.default_queue_tasks));
    let app = App::new(client.clone(), archive, index.clone(), catalog.clone(), &namespaces, settings, over.clone());
    let router = router::router(app, ready.subscribe(), metrics);
    let reads = Reads::new(client);
    Ok(async move {
        tracing::info!(http = %addr, ?namespaces, "REST is served");
        let telling = over.run_until_cancelled(tell(live.news(), index.clone()));
        let cataloguing = over.run_until_cancelled(catalog.run(watches.clone(), namespaces.clone()));
        let watching = over.run_until_cancelled(index::feed::run(reads, watches, namespaces, holders, index, ready));
        tokio::join!(telling, cataloguing, watching, listener::serve(listener, router, over.clone()));
    })
}

/// Wakes those who follow a task when its work reports something.
async fn tell(mut news: broadcast::Receiver<Uid>, index: Arc<Index>) {
    loop {
        match news.recv().await {
            Ok(uid) => index.tell(&uid),
            Err(RecvError::Lagged(_)) => index.tell_all(),
            Err(RecvError::Closed) => return,
        }
    }
}
