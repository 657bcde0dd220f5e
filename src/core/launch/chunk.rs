//! Builds the child task that is a chunk of a batch, and the file in which its work finds its items.

use kube_core::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::names;
use crate::attempt::id::run_began;
use crate::batch::{Cut, Items};
use task_manager_api::{Batch, Chunk, FIRST_RUN, ItemList, Retry, Task, TaskSpec};

/// The task that is this chunk of `batch`, which must have its whole payload and its whole items. `None` where it is no batch.
pub fn chunk(batch: &Task, number: u32, cut: &Cut) -> Option<Value> {
    let spec = &batch.spec;
    let task = TaskSpec {
        type_: spec.type_.clone(),
        priority: spec.priority,
        queue: spec.queue.clone(),
        kb_id: spec.kb_id.clone(),
        payload: spec.payload.clone(),
        chunk: Some(note(batch, spec.batch.as_ref()?, number, cut)),
        timeout_seconds: spec.timeout_seconds,
        // Its items are tried again, not the chunk.
        retry: Some(Retry { limit: Some(0), ..spec.retry.clone().unwrap_or_default() }),
        resources: spec.resources.clone(),
        run_id: FIRST_RUN.to_owned(),
        ..TaskSpec::default()
    };
    Some(json!({
        "apiVersion": Task::api_version(&()),
        "kind": Task::kind(&()),
        "metadata": {
            "name": names::chunk(batch, number),
            "namespace": batch.namespace(),
            "labels": { names::LABEL_BATCH: names::task_label(&batch.name_any()) },
            "ownerReferences": [batch.controller_owner_ref(&())],
        },
        "spec": serde_json::to_value(task).ok()?,
    }))
}

fn note(batch: &Task, of: &Batch, number: u32, cut: &Cut) -> Chunk {
    let written = of.items.as_ref().and_then(ItemList::whole);
    let item = |items: &[Value], index: u32| items.get(index as usize).cloned().unwrap_or_default();
    Chunk {
        batch: batch.name_any(),
        uid: batch.uid().unwrap_or_default(),
        run_id: run_of(batch),
        began: began(batch),
        number: number.into(),
        indexes: cut.items.to_string(),
        failures: cut.failures,
        apart: cut.apart,
        items: written.map(|items| cut.items.indexes().map(|index| item(items, index)).collect()),
    }
}

/// The run that the status of a batch speaks of.
pub fn run_of(batch: &Task) -> String {
    batch.status_or_default().run_id.as_ref().unwrap_or(&batch.spec.run_id).clone()
}

/// When that run began, as its chunks name it.
pub fn began(batch: &Task) -> String {
    run_began(batch, batch.status_or_default()).as_microsecond().to_string()
}

/// The number and the items of a chunk, if it is one of the present run of this batch.
pub fn read(chunk: &Task, batch: &Task) -> Option<(u32, Cut)> {
    let note = chunk.spec.chunk.as_ref()?;
    let is_of_this_run =
        batch.metadata.uid.as_ref() == Some(&note.uid) && note.run_id == run_of(batch) && note.began == began(batch);
    let items = Items::read(&note.indexes).filter(|items| is_of_this_run && !items.is_empty())?;
    Some((u32::try_from(note.number).ok()?, Cut { items, failures: note.failures, apart: note.apart }))
}

/// The content of the file that names the items of a chunk.
pub fn items_file(chunk: &Chunk) -> String {
    match &chunk.items {
        Some(items) => json!({"indexes": chunk.indexes, "items": items}),
        None => json!({"indexes": chunk.indexes}),
    }
    .to_string()
}

/// The first and the last index, where the items are one range.
pub fn range_of(chunk: &Chunk) -> Option<(u32, u32)> {
    let items = Items::read(&chunk.indexes)?;
    let mut ranges = items.ranges();
    ranges.next().filter(|_| ranges.next().is_none())
}
