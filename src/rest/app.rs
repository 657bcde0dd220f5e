//! The parts that handlers work with. Each handler asks for those it needs, by their types; none gets them all.

use std::sync::Arc;

use axum::extract::FromRef;
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::api_server::ApiServer;
use super::ask::stored_result::StoredResults;
use super::catalog::Catalog;
use super::dead_letters::replay::Replayer;
use super::find::Finder;
use super::follow::events::Streams;
use super::index::Index;
use super::logs::Logs;
use super::namespaces::Namespaces;
use super::submit::Submitter;
use super::submit::bulk::Bulks;
use crate::archive::Archive;
use crate::core::Settings;

#[derive(Clone)]
pub struct App {
    index: Arc<Index>,
    catalog: Arc<Catalog>,
    api: ApiServer,
    archive: Archive,
    namespaces: Arc<Namespaces>,
    finder: Arc<Finder>,
    submitter: Arc<Submitter>,
    results: StoredResults,
    replayer: Replayer,
    bulks: Bulks,
    streams: Streams,
    logs: Logs,
}

impl App {
    pub fn new(
        client: Client,
        archive: Archive,
        index: Arc<Index>,
        catalog: Arc<Catalog>,
        namespaces: &[String],
        settings: Settings,
        over: CancellationToken,
    ) -> Self {
        let api = ApiServer::new(client.clone());
        let namespaces = Arc::new(Namespaces::new(namespaces));
        let finder = Arc::new(Finder::new(index.clone(), api.clone(), archive.clone(), namespaces.clone()));
        let submitter = Submitter::new(index.clone(), api.clone(), archive.clone(), namespaces.clone(), settings);
        let submitter = Arc::new(submitter);
        Self {
            index,
            catalog,
            api,
            results: StoredResults::new(archive.clone()),
            archive,
            namespaces,
            replayer: Replayer::new(finder.clone(), submitter.clone()),
            finder,
            submitter,
            bulks: Bulks::default(),
            streams: Streams::new(over.clone()),
            logs: Logs::new(client, over),
        }
    }
}

/// A handler gets this part as `State<…>`.
macro_rules! part {
    ($field:ident: $type:ty) => {
        impl FromRef<App> for $type {
            fn from_ref(app: &App) -> Self {
                app.$field.clone()
            }
        }
    };
}

part!(index: Arc<Index>);
part!(catalog: Arc<Catalog>);
part!(api: ApiServer);
part!(archive: Archive);
part!(namespaces: Arc<Namespaces>);
part!(finder: Arc<Finder>);
part!(submitter: Arc<Submitter>);
part!(results: StoredResults);
part!(replayer: Replayer);
part!(bulks: Bulks);
part!(streams: Streams);
part!(logs: Logs);
