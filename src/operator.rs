//! Wires the parts of a running operator, and ends them in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::OptionFuture;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::archive;
use crate::archive::{Archive, Guard};
use crate::cli::RunOptions;
use crate::cluster::client::client;
use crate::cluster::lease;
use crate::cluster::lease::{AgreedArchive, Election};
use crate::cluster::watch::{Scope, Sight, Watches};
use crate::controller;
use crate::controller::{DeletedTasks, Environment, Retention};
use crate::core::Settings;
use crate::core::digest::hex;
use crate::errors::chain;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::rest;
use crate::serving::health;
use crate::serving::health::Parts;
use crate::serving::listener::ListenError;
use crate::workers;
use crate::workers::Peer;

/// Where a pod finds the namespace that it runs in.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to find a cluster: {}; set KUBECONFIG to a kubeconfig file, or run inside a cluster", chain(.0))]
    Config(#[from] kube::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(
        "--rest-namespaces names {0:?}, but --watch-namespace looks after {1:?} alone: what is made elsewhere would never run"
    )]
    Unwatched(String, String),
    #[error("--archive: {0}")]
    Archive(#[from] archive::UrlError),
    #[error("--replicas: {0}")]
    NotSole(#[from] archive::sole::NotSole),
    #[error("failed to draw random bytes: {0}")]
    Random(#[source] getrandom::Error),
    #[error("the watches ended: {0}")]
    Watches(#[source] tokio::task::JoinError),
    #[error("failed to listen for signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or Ctrl-C.
pub async fn run(options: RunOptions) -> Result<(), Error> {
    let client = client(Config::infer().await.map_err(kube::Error::InferConfig)?)?;
    let shutdown = CancellationToken::new();
    cancel_on_signal(shutdown.clone()).map_err(Error::Signals)?;
    run_with(client, options, shutdown).await
}

/// Runs with this client until `shutdown`.
pub async fn run_with(client: Client, options: RunOptions, shutdown: CancellationToken) -> Result<(), Error> {
    let archive = Archive::at(&options.archive, &archive::Options::default())?;
    let _sole =
        OptionFuture::from(options.replicas.map(|replicas| archive.for_replicas(replicas))).await.transpose()?;
    let metrics = Arc::new(Metrics::default());
    let (ready, is_ready) = watch::channel(false);
    let (knows_tasks, knows) = watch::channel(options.http_addr.is_none());
    let guard = Arc::new(Guard::of(archive.clone()));
    let deleted_tasks = Arc::new(DeletedTasks::new(guard.clone(), metrics.clone()));
    let watches = Arc::new(Watches::new(client.clone(), metrics.clone(), options.max_known_tasks as usize));
    let me = me(&options)?;
    let election = election(&client, &options, me.as_ref())?.with_archive(agreed_archive(&archive, &options));
    let parts = Parts {
        needed: vec![("controller", is_ready), ("rest", knows)],
        told: vec![
            ("archive", guard.trouble()),
            ("archive-identity", archive.identity().trouble()),
            ("watches", watches.sight().trouble()),
            ("tasks", watches.tasks_beyond()),
        ],
        stands: vec![("lease", election.told())],
    };
    let health = health::serve(options.health_addr, parts, metrics.clone(), shutdown.clone())?;
    let live = Arc::new(Live::default());
    let (peer, peers) = watch::channel(None);
    let for_rest = rest::Sources {
        client: client.clone(),
        watches: watches.clone(),
        scope: Scope::of(options.watch_namespace.as_deref()),
        settings: options.settings(),
        archive: archive.clone(),
        metrics: metrics.clone(),
        live: live.clone(),
        over: shutdown.clone(),
    };
    let for_workers = workers::Sources {
        client: client.clone(),
        archive: guard.clone(),
        live: live.clone(),
        metrics: metrics.clone(),
        me,
        peers,
        over: shutdown.clone(),
    };
    let serving = serve(&options, for_rest, for_workers, knows_tasks)?;

    tracing::info!(version = env!("CARGO_PKG_VERSION"), health = %options.health_addr, %archive, "task-manager starts");
    let finding = shutdown.run_until_cancelled(find_peer(election.said(), peer));
    let environment = Environment {
        client,
        archive: guard.clone(),
        deleted_tasks: deleted_tasks.clone(),
        retention: Retention { days: options.archive_keep_days, records: options.archive_keep_records },
        live,
        watches: watches.clone(),
        scope: Scope::of(options.watch_namespace.as_deref()),
    };
    let watching = watch_for_all(watches.clone(), election.restored(), shutdown.clone());
    let leading = lead(&election, environment, options.settings(), metrics.clone(), ready, &shutdown);
    let keeping = shutdown.run_until_cancelled(async {
        tokio::join!(guard.watch_over(), deleted_tasks.run(), tell_of(&guard, watches.sight(), &metrics));
    });
    let (.., watched) = tokio::join!(leading, health, serving, finding, keeping, watching);
    drain(&deleted_tasks).await;
    watched?;
    tracing::info!("task-manager has stopped");
    Ok(())
}

/// Writes the records of deleted tasks, also of those that were seen to go in a term that was lost.
async fn drain(deleted_tasks: &DeletedTasks) {
    let left = deleted_tasks.drain().await;
    if left > 0 {
        tracing::error!(left, "ended before the records of deleted tasks were written; they are lost");
    }
}

/// Binds at once for REST and for workers, as far as they are wanted; then serves both until the operator stops.
fn serve(
    options: &RunOptions,
    for_rest: rest::Sources,
    for_workers: workers::Sources,
    knows_tasks: watch::Sender<bool>,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let (live, peers, over) = (for_rest.live.clone(), for_workers.peers.clone(), for_rest.over.clone());
    let workers = options.worker_addr.map(|addr| workers::serve(addr, for_workers)).transpose()?;
    let rest = rest(&for_rest.client, options)?.map(|rest| rest::serve(rest, for_rest, knows_tasks)).transpose()?;
    Ok(async move {
        // REST tells of progress on every replica, so each follows the one that leads.
        let following = rest.is_some().then(|| over.run_until_cancelled(workers::follow(live, peers)));
        tokio::join!(OptionFuture::from(workers), OptionFuture::from(rest), OptionFuture::from(following));
    })
}

/// Runs the controller whenever this replica leads. When that is over, so is the operator.
async fn lead(
    election: &Election,
    environment: Environment,
    settings: Settings,
    metrics: Arc<Metrics>,
    ready: watch::Sender<bool>,
    shutdown: &CancellationToken,
) {
    let deleted_tasks = &environment.deleted_tasks;
    lease::lead(election, &ready, shutdown, |over| {
        let leadership = election.leadership();
        let term =
            controller::run(environment.clone(), settings.clone(), leadership, metrics.clone(), ready.clone(), over);
        async move {
            term.await;
            if shutdown.is_cancelled() {
                // Whoever leads next asks the archive what was run before.
                deleted_tasks.drain().await;
            }
        }
    })
    .await;
    shutdown.cancel();
}

/// Watches for controller and REST until `shutdown`, which it cancels itself if that fails. A cluster that was restored
/// from a backup makes the watches begin anew.
async fn watch_for_all(
    watches: Arc<Watches>,
    mut restored: watch::Receiver<u64>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let running = watches.clone();
    // On a task of its own, so that nothing else here waits while much is read.
    let running = AbortOnDropHandle::new(tokio::spawn(async move { running.run().await }));
    let begin_anew = async {
        // Fails only when there is no election any longer, and with it everything ends.
        while restored.changed().await.is_ok() {
            watches.begin_anew();
        }
        std::future::pending().await
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = running => {
            shutdown.cancel();
            ended.map_err(Error::Watches)
        }
        () = begin_anew => Ok(()),
    }
}

/// Keeps the metrics of whether the archive is up and the right one, and of broken watches. Never ends.
async fn tell_of(guard: &Guard, sight: &Sight, metrics: &Metrics) {
    let (mut archive, mut identity) = (guard.trouble(), guard.archive().identity().trouble());
    let mut watches = sight.trouble();
    loop {
        metrics.archive_is_up(archive.borrow_and_update().is_none());
        metrics.archive_differs(identity.borrow_and_update().is_some());
        watches.mark_unchanged();
        metrics.watches_broken(sight.blind());
        // They fail only when what tells is gone, and it is here.
        tokio::select! {
            _ = archive.changed() => {}
            _ = identity.changed() => {}
            _ = watches.changed() => {}
        }
    }
}

/// REST is served by every replica, leader or not. It is off unless an address is given: whoever reaches it may
/// make tasks, and that should not come with an upgrade.
fn rest(client: &Client, options: &RunOptions) -> Result<Option<rest::Options>, Error> {
    let usual = options.watch_namespace.as_deref().unwrap_or(client.default_namespace());
    let named = &options.rest_namespaces;
    let namespaces = if named.is_empty() { vec![usual.to_owned()] } else { named.clone() };
    let watched = options.watch_namespace.as_ref();
    if let Some((watched, other)) =
        watched.and_then(|watched| Some((watched, namespaces.iter().find(|name| *name != watched)?)))
    {
        return Err(Error::Unwatched(other.clone(), watched.clone()));
    }
    Ok(options.http_addr.map(|addr| rest::Options { addr, namespaces }))
}

/// This replica, as the others find it while it leads.
fn me(options: &RunOptions) -> Result<Option<Peer>, Error> {
    let pod_ip = std::env::var("POD_IP").ok().and_then(|ip| ip.parse().ok());
    let url = options.advertised(pod_ip);
    if options.worker_addr.is_some() && url.is_none() {
        tracing::warn!("other replicas cannot reach this one: set --advertise-url, or POD_IP, if there are any");
    }
    url.map(|url| Peer::new(&url)).transpose().map_err(Error::Random)
}

/// Tells the address of whoever leads, while that is another.
async fn find_peer(mut said: watch::Receiver<Option<BTreeMap<String, String>>>, peer: watch::Sender<Option<Peer>>) {
    loop {
        peer.send_replace(said.borrow_and_update().as_ref().and_then(Peer::read));
        if said.changed().await.is_err() {
            return;
        }
    }
}

fn election(client: &Client, options: &RunOptions, me: Option<&Peer>) -> Result<Election, Error> {
    let namespace = lease_namespace(options);
    let identity = options.identity.clone().map_or_else(identity, Ok)?;
    let says = me.map(Peer::annotations).unwrap_or_default();
    Ok(Election::new(client.clone(), &namespace, &options.lease, &identity, says))
}

/// Of this process alone. Host name and process id would not do: a pod of a StatefulSet that comes back elsewhere has both
/// of the one that may still run on a node that was cut off.
fn identity() -> Result<String, Error> {
    let mut drawn = [0; 4];
    getrandom::fill(&mut drawn).map_err(Error::Random)?;
    let host = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let host = host.as_deref().unwrap_or("task-manager").trim();
    Ok(format!("{host}-{}-{}", std::process::id(), hex(&drawn)))
}

/// Learns from the Lease on which archive the replicas agree, and tells it of this one.
fn agreed_archive(archive: &Archive, options: &RunOptions) -> AgreedArchive {
    let told = archive.clone();
    AgreedArchive::new(archive.identity().own(), move |id| told.identity().agree(id), options.adopt_archive)
}

/// Not the one that a kubeconfig happens to name at the moment: two operators whose users look at different namespaces
/// would both lead.
fn lease_namespace(options: &RunOptions) -> String {
    let told = options.lease_namespace.clone().or_else(|| options.watch_namespace.clone());
    let own = || std::fs::read_to_string(OWN_NAMESPACE).ok().map(|name| name.trim().to_owned());
    told.or_else(own).unwrap_or_else(|| "default".into())
}

/// SIGTERM and Ctrl-C stop intake, and what has begun is finished.
fn cancel_on_signal(shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        shutdown.cancel();
    });
    Ok(())
}
