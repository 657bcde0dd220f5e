//! Requests to the REST shim, by route: the route as it is declared, never the path that was asked for.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
    method: String,
}

#[derive(Debug)]
pub(super) struct Requests {
    answered: Family<Answered, Counter>,
    time: Family<Route, Histogram, fn() -> Histogram>,
}

/// From 0.1 ms to about 26 s.
fn answers() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 10))
}

impl Default for Requests {
    fn default() -> Self {
        Self { answered: Family::default(), time: Family::new_with_constructor(answers) }
    }
}

impl Requests {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("rest_requests", "Requests to the REST shim, by route and answer", self.answered.clone());
        let help = "Time until the head of an answer: a stream counts until it begins";
        registry.register_with_unit("rest_request", help, Unit::Seconds, self.time.clone());
    }

    pub(super) fn answered(&self, route: &str, method: &str, code: u16, took: Duration) {
        let (route, method) = (route.to_owned(), method.to_owned());
        self.time.get_or_create(&Route { route: route.clone(), method: method.clone() }).observe(took.as_secs_f64());
        self.answered.get_or_create(&Answered { route, method, code }).inc();
    }
}
