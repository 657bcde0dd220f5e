//! What cannot be read, taken in by its metadata alone: it is there all the same.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

use super::intake::{Intake, Watched, Woken};
use crate::api::{Task, TaskSpec};
use crate::controller::cache::key_of;

/// What is there of an object, by an event about it.
enum Presence {
    There,
    OnTheList,
    Gone,
}

impl Intake {
    pub(crate) fn unread(&mut self, watched: Watched, event: Event<Box<ObjectMeta>>) -> Woken {
        let (metadata, presence) = match event {
            Event::Apply(metadata) => (metadata, Presence::There),
            Event::InitApply(metadata) => (metadata, Presence::OnTheList),
            Event::Delete(metadata) => (metadata, Presence::Gone),
            Event::Init | Event::InitDone => return vec![],
        };
        let cache = &self.cache;
        let is_gone = matches!(presence, Presence::Gone);
        match watched {
            Watched::Tasks => self.unread_task(*metadata, presence),
            // Whoever needs it waits, as for one that does not exist.
            Watched::Types => cache.type_changed(key_of(&bare(*metadata)), None),
            Watched::Queues => cache.queue_changed(key_of(&bare(*metadata)), None),
            Watched::Jobs => {
                self.lists.jobs.extend(metadata.uid.clone());
                let job = Job { metadata: *metadata, ..Job::default() };
                cache.job_in_part(&job, is_gone).into_iter().collect()
            }
            Watched::Pods => {
                self.lists.pods.extend(metadata.uid.clone());
                let pod = Pod { metadata: *metadata, ..Pod::default() };
                cache.pod_in_part(&pod, is_gone).into_iter().collect()
            }
        }
    }

    /// The store does not have it: it is not looked at until it can be read.
    fn unread_task(&mut self, metadata: ObjectMeta, presence: Presence) -> Woken {
        if matches!(presence, Presence::OnTheList) {
            self.lists.unread.push(metadata);
            return vec![];
        }
        let task = bare(metadata);
        self.writer.apply_watcher_event(&Event::Delete(task.clone()));
        match presence {
            Presence::Gone => {
                self.records.gone_unread(&task);
                self.cache.task_gone(&task.uid().unwrap_or_default().into());
            }
            Presence::There | Presence::OnTheList => self.cache.task_passed_over(&task.metadata),
        }
        vec![]
    }
}

fn bare(metadata: ObjectMeta) -> Task {
    Task { metadata, spec: TaskSpec::default(), status: None }
}
