//! The client of the API server. It differs from kube's own in two ways: its connections are kept alive and given up when
//! they are silent, and it repeats no request by itself.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt, DynBody};
use kube::{Client, Config};
use tokio::net::TcpStream;
use tower::util::option_layer;
use tower::{BoxError, Layer, ServiceExt, util::BoxService};

/// To reach the API server.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that is idle for so long is asked whether its other end is still there, so often and so many times.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(3);
const KEEPALIVE_TIMES: u32 = 3;
/// Bytes that the other end has not taken for so long end the connection.
const UNTAKEN: Duration = Duration::from_secs(15);
/// A connection that nobody has used for so long is not used again.
const IDLE: Duration = Duration::from_secs(20);

/// The parts of a client below what is done about failures.
pub type Service = BoxService<axum::http::Request<Body>, axum::http::Response<Box<DynBody>>, BoxError>;

/// The client that an operator uses.
pub fn client(config: Config) -> kube::Result<Client> {
    Ok(builder(config)?.build())
}

/// The same before it is built. Through a proxy, connections are kube's own, without keepalive.
///
/// kube would send a request again that was answered 429, 503 or 504, also one that creates something. What was carried out
/// and answered 504 would then be told as a conflict with somebody else, and an API server that is overloaded would be
/// asked many times over. Whoever asks here knows best whether and when to ask again.
pub fn builder(mut config: Config) -> kube::Result<ClientBuilder<Service>> {
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    if config.proxy_url.is_some() {
        return ClientBuilder::try_from(config);
    }
    let client = hyper_util::client::legacy::Builder::new(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(config.rustls_https_connector_with_connector(connector().map_response(without_linger))?);
    let headed = config.extra_headers_layer()?.layer(client.map_err(BoxError::from));
    let authorized = option_layer(config.auth_layer()?).layer(headed).map_err(BoxError::from);
    let service = config.base_uri_layer().layer(authorized);
    let boxed = |body| Box::new(http_body_util::BodyExt::map_err(body, BoxError::from)) as Box<DynBody>;
    Ok(ClientBuilder::new(service.map_response(move |answer| answer.map(boxed)).boxed(), namespace))
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_AGAIN));
    connector.set_keepalive_retries(Some(KEEPALIVE_TIMES));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(UNTAKEN));
    connector
}

/// A request that was given up closes its connection. The kernel would go on sending what the other end has not taken, and
/// after a silence might deliver it when another leads. Without lingering it forgets that, and resets the connection.
fn without_linger(stream: TokioIo<TcpStream>) -> TokioIo<TcpStream> {
    if let Err(error) = stream.inner().set_zero_linger() {
        tracing::warn!(%error, "a connection to the API server may deliver what was given up");
    }
    stream
}
