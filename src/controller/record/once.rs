//! Asks the archive whether a task with `spec.once` has run before. All other tasks cost it nothing.

use kube::ResourceExt;

use super::Records;
use crate::api::Task;
use crate::controller::cache::Cache;
use crate::core::task::{Earlier, asks_the_archive};

/// The answer of the archive about earlier tasks of this name. Once it has said that there were none, the task may be
/// admitted, and it is not asked again.
pub async fn earlier(task: &Task, cache: &Cache, records: &Records) -> Earlier {
    if !asks_the_archive(task) {
        return Earlier::NotAsked;
    }
    if cache.may_begin(task) {
        return Earlier::Never;
    }
    let earlier = records.earlier_than(&task.namespace().unwrap_or_default(), task).await;
    if earlier == Earlier::Never {
        cache.never_ran(task);
    }
    earlier
}
