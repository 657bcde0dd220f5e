//! A shared watch of ConfigMaps under an API server whose lists are numbered and whose watches are silent.

use std::convert::Infallible;
use std::time::Duration;

use axum::body;
use axum::http::{Request, Response};
use futures::stream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tower::service_fn;

use super::*;

/// Longer than anything takes that is going to happen.
const A_MOMENT: Duration = Duration::from_secs(5);

/// The path of each list that was asked for, in order.
type Asked = Arc<Mutex<Vec<String>>>;

/// Each list has so many objects in namespace `a`, called after the number of the list.
fn shared(objects: usize) -> (Arc<SharedWatch<ConfigMap>>, Asked) {
    let asked = Asked::default();
    let lists = asked.clone();
    let server = service_fn(move |request: Request<Body>| {
        let uri = request.uri().clone();
        let is_watch = uri.query().unwrap_or_default().contains("watch=");
        let number = lists.lock().len() + 1;
        if !is_watch {
            lists.lock().push(uri.path().replace("/api/v1/", ""));
        }
        async move {
            if is_watch {
                let silent = stream::pending::<Result<Vec<u8>, Infallible>>();
                return Ok(Response::new(body::Body::from_stream(silent)));
            }
            let object = |place| json!({"metadata": {"name": format!("{number}-{place}"), "namespace": "a", "resourceVersion": "1"}});
            let items: Vec<_> = (0..objects).map(object).collect();
            let list =
                json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
            Ok::<_, Infallible>(Response::new(body::Body::from(list.to_string())))
        }
    });
    (SharedWatch::new(Parts::new(Client::new(server, "default"), Arc::default()), |_| {}), asked)
}

fn only(namespaces: &[&str]) -> Vec<Scope> {
    namespaces.iter().map(|namespace| Scope::of(Some(namespace))).collect()
}

/// The changes that are shown within a moment, in words.
async fn shown(subscription: &mut Subscription<ConfigMap>) -> Vec<String> {
    let in_words = |shown| match shown {
        Shown::Event(Event::Init) => "a list".to_owned(),
        Shown::Event(Event::InitApply(object)) => object.meta().name.clone().unwrap_or_default(),
        Shown::Event(Event::InitDone) => "whole".to_owned(),
        other => format!("{other:?}"),
    };
    let until = tokio::time::sleep(A_MOMENT);
    subscription.take_until(until).map(|(_, shown)| in_words(shown)).collect().await
}

#[tokio::test(start_paused = true)]
async fn each_subscriber_is_shown_a_whole_list_that_was_asked_for_after_it_subscribed() {
    let (watch, _) = shared(1);
    let running = watch.clone();
    let showing = async {
        let mut first = watch.subscribe(only(&["a"]));
        assert_eq!(shown(&mut first).await, ["a list", "1-0", "whole"]);
        let mut second = watch.subscribe(only(&["a"]));
        assert_eq!(shown(&mut second).await, ["a list", "2-0", "whole"]);
        assert_eq!(shown(&mut first).await, ["a list", "2-0", "whole"]);
        watch.begin_anew();
        assert_eq!(shown(&mut first).await, ["a list", "3-0", "whole"]);
    };
    tokio::select! { () = showing => {}, () = running.run() => {} }
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_watched_once_and_only_while_somebody_wants_to_see_them() {
    let (watch, asked) = shared(1);
    let running = watch.clone();
    let lists = || std::mem::take(&mut *asked.lock());
    let showing = async {
        let mut rest = watch.subscribe(only(&["a", "b"]));
        shown(&mut rest).await;
        assert_eq!(lists(), ["namespaces/a/configmaps", "namespaces/b/configmaps"]);
        let mut term = watch.subscribe(vec![Scope::All]);
        shown(&mut term).await;
        assert_eq!(lists(), ["configmaps"]);
        drop(term);
        shown(&mut rest).await;
        assert_eq!(lists(), ["namespaces/a/configmaps", "namespaces/b/configmaps"]);
        let mut beside = watch.subscribe(only(&["b"]));
        let seen = shown(&mut beside).await;
        assert_eq!(seen, ["a list", "whole"], "the objects of another namespace are not shown");
        lists();
        drop(beside);
        drop(rest);
        tokio::time::sleep(A_MOMENT).await;
        assert!(lists().is_empty());
    };
    tokio::select! { () = showing => {}, () = running.run() => {} }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_slow_makes_the_watch_wait_and_loses_nothing() {
    let objects = 5 * WAITING;
    let (watch, _) = shared(objects);
    let running = watch.clone();
    let showing = async {
        let (mut quick, mut slow) = (watch.subscribe(only(&["a"])), watch.subscribe(only(&["a"])));
        let before = shown(&mut quick).await.len();
        assert!(before <= WAITING + 2, "{before} were shown to one while the other took none");
        let (rest, all) = tokio::join!(shown(&mut quick), shown(&mut slow));
        assert_eq!((before + rest.len(), all.len()), (objects + 2, objects + 2));
    };
    tokio::select! { () = showing => {}, () = running.run() => {} }
}
