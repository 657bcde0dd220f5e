//! Tells one story over each executor: the types that it makes name the one that it is told over.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use futures::future::join_all;
use task_manager::api::Executor;

use crate::cluster::Cluster;
use crate::namespace::{Namespace, in_namespace_of};

tokio::task_local! {
    static EXECUTOR: Executor;
}

/// The executor that the present story is told over: of types that say nothing else.
pub fn executor() -> Executor {
    EXECUTOR.try_with(|executor| *executor).unwrap_or_default()
}

/// Tells `story` over this executor.
pub async fn over<T>(executor: Executor, story: impl Future<Output = T>) -> T {
    EXECUTOR.scope(executor, story).await
}

/// Tells `story` over each executor at once, in a namespace each, where there is an API server and nothing else.
pub async fn in_namespaces(slug: &str, story: impl AsyncFn(Namespace)) {
    over_each(async |executor| {
        let slug = format!("{slug}-{}", word(executor));
        in_namespace_of(Cluster::ControlPlane, &slug, &story).await;
    })
    .await;
}

/// Tells `story` over each executor at once. All come to their end, also where one fails.
pub async fn over_each(story: impl AsyncFn(Executor)) {
    let stories = [Executor::Job, Executor::Pod].map(|executor| {
        // On the heap: two stories are too large for the stack of a thread.
        let told = Box::pin(AssertUnwindSafe(over(executor, story(executor))).catch_unwind());
        async move { (executor, told.await) }
    });
    for (executor, told) in join_all(stories).await {
        if let Err(panic) = told {
            eprintln!("it failed with executor {executor:?}");
            resume_unwind(panic);
        }
    }
}

pub fn word(executor: Executor) -> &'static str {
    match executor {
        Executor::Job => "job",
        Executor::Pod => "pod",
        Executor::Pool => "pool",
    }
}
