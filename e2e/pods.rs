//! Every pod that was made for the tasks of a namespace, as it was last seen: how many there were, and how many at once.

use harness::{Namespace, Recorder, Seen, most_at_once};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use task_manager::api::Task;

use crate::world::is_live;

const TASK_UID: &str = "taskmanager.dev/task-uid";

/// A record of the pods from when it began.
pub struct Pods(Recorder<Pod>);

impl Pods {
    pub async fn record(namespace: &Namespace) -> Self {
        Self(namespace.record().await)
    }

    /// The last word on every pod of ours that there ever was, oldest first.
    pub fn all(&self) -> Vec<Seen<Pod>> {
        let mut pods = Vec::<Seen<Pod>>::new();
        for seen in self.0.seen().into_iter().filter(|seen| seen.object.labels().contains_key(TASK_UID)) {
            match pods.iter_mut().find(|known| known.object.uid() == seen.object.uid()) {
                Some(known) => *known = seen,
                None => pods.push(seen),
            }
        }
        pods
    }

    /// The same of one task.
    pub fn of(&self, task: &Task) -> Vec<Seen<Pod>> {
        let mut pods = self.all();
        pods.retain(|seen| seen.object.labels().get(TASK_UID) == task.uid().as_ref());
        pods
    }

    /// How many pods of all tasks, at most, were there and had not ended at one moment.
    pub fn most_at_once(&self) -> usize {
        most_at_once(&self.0.seen(), |pod| pod.labels().contains_key(TASK_UID) && is_live(pod))
    }

    /// At no moment had any task two pods that had not ended.
    pub fn assert_one_at_a_time(&self) {
        let seen = self.0.seen();
        for (name, uid) in self.all().iter().map(|pod| (pod.object.name_any(), pod.object.labels()[TASK_UID].clone())) {
            let most = most_at_once(&seen, |pod| is_live(pod) && pod.labels().get(TASK_UID) == Some(&uid));
            assert!(most <= 1, "the task of pod {name} had {most} pods at once");
        }
    }

    /// Each attempt of these tasks had one pod, and no task had two at once.
    pub fn assert_one_for_each_attempt(&self, tasks: &[Task]) {
        for task in tasks {
            let attempts = task.status.as_ref().map_or(0, |status| status.attempt);
            let pods: Vec<String> = self.of(task).iter().map(|seen| seen.object.name_any()).collect();
            assert_eq!(pods.len(), attempts as usize, "task {} of {attempts} attempts: {pods:?}", task.name_any());
        }
        self.assert_one_at_a_time();
    }
}
