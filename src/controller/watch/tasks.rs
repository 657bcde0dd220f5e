//! Takes in the tasks: into the store that the reconciler reads, into the cache, and, when one is gone, into what is to be
//! recorded. A task that cannot be read is in the cache by its metadata alone: it is there all the same.

use std::collections::HashMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;

use super::{TakeIn, Woken};
use crate::api::{Task, TaskSpec};
use crate::cluster::watch::Seen;
use crate::controller::cache::Cache;
use crate::controller::cache::chunks::batch_of;
use crate::controller::record::Records;

pub struct Tasks {
    cache: Arc<Cache>,
    records: Arc<Records>,
    store: Writer<Task>,
    /// Tasks on the present list that cannot be read.
    unread: Vec<ObjectMeta>,
}

impl TakeIn<Task> for Tasks {
    fn take_in(&mut self, event: Event<Seen<Task>>) -> Woken {
        match event {
            Event::Apply(Seen::Whole(task)) => return self.changed(task),
            Event::Apply(Seen::InPart(metadata)) => self.unreadable(&metadata),
            Event::Delete(Seen::Whole(task)) => {
                self.gone(&task);
                return batch_of(&task).into_iter().collect();
            }
            Event::Delete(Seen::InPart(metadata)) => self.gone_unread(&metadata),
            Event::Init => {
                self.unread.clear();
                self.store.apply_watcher_event(&Event::Init);
            }
            Event::InitApply(Seen::Whole(task)) => {
                self.store.apply_watcher_event(&Event::InitApply(Arc::unwrap_or_clone(task)));
            }
            Event::InitApply(Seen::InPart(metadata)) => self.unread.push(Arc::unwrap_or_clone(metadata)),
            Event::InitDone => return self.listed(),
        }
        vec![]
    }
}

impl Tasks {
    pub fn new(cache: Arc<Cache>, records: Arc<Records>, store: Writer<Task>) -> Self {
        Self { cache, records, store, unread: vec![] }
    }

    fn changed(&mut self, task: Arc<Task>) -> Woken {
        // The store shows the latest of what is seen one after another; a list only when it is complete.
        let reference = ObjectRef::from_obj(task.as_ref());
        self.records.seen(self.cache.task(&reference).as_deref(), &task);
        let event = Event::Apply(Arc::unwrap_or_clone(task));
        self.store.apply_watcher_event(&event);
        let Event::Apply(task) = &event else { return vec![reference] };
        self.cache.task_seen(task);
        [Some(reference), batch_of(task)].into_iter().flatten().collect()
    }

    /// The store does not have it: it is not looked at until it can be read.
    fn unreadable(&mut self, metadata: &ObjectMeta) {
        self.store.apply_watcher_event(&Event::Delete(bare(metadata)));
        self.cache.task_passed_over(metadata);
    }

    /// Its last version is whole here, payload included.
    fn gone(&mut self, task: &Task) {
        self.records.gone(task, &self.cache.observed(task));
        self.store.apply_watcher_event(&Event::Delete(bare(&task.metadata)));
        self.cache.task_gone(&task.uid().unwrap_or_default().into());
    }

    fn gone_unread(&mut self, metadata: &ObjectMeta) {
        let task = bare(metadata);
        self.records.gone_unread(&task);
        self.cache.task_gone(&task.uid().unwrap_or_default().into());
        self.store.apply_watcher_event(&Event::Delete(task));
    }

    /// The store shows a list only when it is complete, and so does the cache.
    fn listed(&mut self) -> Woken {
        let (cache, records) = (&self.cache, &self.records);
        let before = cache.tasks();
        self.store.apply_watcher_event(&Event::InitDone);
        let is_unread = |task: &Task| self.unread.iter().any(|unread| unread.uid == task.metadata.uid);
        let gone = before.iter().filter(|task| !cache.is_there(task) && !is_unread(task));
        gone.for_each(|task| records.gone(task, &cache.observed(task)));
        let before: HashMap<_, _> = before.iter().map(|task| (&task.metadata.uid, task)).collect();
        for task in cache.tasks() {
            records.seen(before.get(&task.metadata.uid).map(|before| before.as_ref()), &task);
        }
        cache.tasks_listed(&std::mem::take(&mut self.unread))
    }
}

fn bare(metadata: &ObjectMeta) -> Task {
    Task { metadata: metadata.clone(), spec: TaskSpec::default(), status: None }
}
