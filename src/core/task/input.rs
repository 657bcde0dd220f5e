//! The input of a decision: everything that is known of a task and beside it, read beforehand, as one value.

use std::sync::Arc;

use jiff::Timestamp;

use super::Earlier;
use super::batch::BatchFacts;
use crate::attempt::facts::events::{node_is_coming, work_started};
use crate::attempt::facts::kills::killed_for;
use crate::attempt::facts::worker::WorkerFacts;
use crate::attempt::facts::{EventsRead, JobFacts, NodeState, Observed, PodEvent, PodFacts, Stuck, Why};
use crate::attempt::needs::{Answered, NODES};
use crate::attempt::{admitted_at, job_name};
use crate::queue::Quota;
use crate::{ParsedType, Settings};
use task_manager_api::Task;

#[derive(Clone)]
pub struct Input {
    pub task: Arc<Task>,
    /// The TaskType that the task names; `None` while there is no such type.
    pub task_type: Option<Arc<ParsedType>>,
    /// Until when the first dry run of that type is waited for.
    pub dry_run_awaited: Option<Timestamp>,
    /// The TaskQueue that the task names; `None` while there is no such queue.
    pub queue: Option<Quota>,
    pub observed: Observed,
    /// The resourceVersion with which the task was first seen in the run that it asks for: its arrival.
    pub first_seen: u64,
    /// The highest resourceVersion of a task that was seen: the end of every line.
    pub highest_seen: u64,
    /// The archive's answer about earlier tasks of its name, where it has to be asked.
    pub earlier: Earlier,
    /// A record was put, and it is not known whether the status was written that it speaks of.
    pub record_in_doubt: bool,
    /// Since when its namespace is being deleted, as far as was seen.
    pub namespace_ends: Option<Timestamp>,
    /// What its status is to say of its wait, while it is admitted as soon as its turn has come; `None` where it has not
    /// been told since this operator leads.
    pub waits_for: Option<Why>,
    pub settings: Arc<Settings>,
    /// What is known of its chunks, where it is a batch.
    pub batch: Option<BatchFacts>,
    /// Questions that the API server has answered beside the watches.
    pub answered: Answered,
}

impl Input {
    /// All that is left of a task that is gone.
    pub(super) fn of_gone(task: &Task, observed: &Observed) -> Self {
        Self {
            task: Arc::new(task.clone()),
            task_type: None,
            dry_run_awaited: None,
            queue: None,
            observed: observed.clone(),
            first_seen: 0,
            highest_seen: 0,
            earlier: Earlier::NotAsked,
            record_in_doubt: false,
            namespace_ends: None,
            waits_for: None,
            settings: Arc::default(),
            batch: None,
            answered: Answered::default(),
        }
    }

    /// The API server was asked for the pods of the present attempt's Job, and has these.
    pub fn pods_are(&mut self, pods: Vec<PodFacts>) {
        self.observed.found(&self.task, None, pods);
        self.answered.pods = true;
    }

    /// It was asked for the present attempt's Job.
    pub fn job_is(&mut self, job: Option<JobFacts>) {
        self.observed.found(&self.task, job, vec![]);
        self.answered.launched = true;
    }

    /// It was asked for the worker that holds the task.
    pub fn worker_is(&mut self, worker: Option<WorkerFacts>) {
        self.observed.worker = worker;
        self.answered.worker = true;
    }

    /// It was asked for the bare pod of the present attempt.
    pub fn bare_pod_is(&mut self, pod: Option<PodFacts>) {
        if pod.is_some() {
            self.observed.unanswered = None;
        }
        self.observed.found(&self.task, None, pod.into_iter().collect());
        self.answered.launched = true;
    }

    /// It was asked for a pod that the watch no longer shows: one of the same uid is not gone.
    pub fn pod_is(&mut self, pod: Option<PodFacts>) {
        self.answered.pod = true;
        let Some(pod) = pod else { return };
        if let Some(seen) = self.observed.pods.iter_mut().find(|seen| seen.uid == pod.uid) {
            *seen = PodFacts { job: seen.job.clone(), ..pod.after(seen) };
            self.answered.is_unwatched = true;
            let (bare, mut jobs) = (JobFacts::of_bare_pod(seen), self.observed.jobs.iter_mut());
            if let Some((job, bare)) = jobs.find(|job| job.uid == seen.uid).zip(bare) {
                *job = bare;
            }
        }
    }

    /// It was asked for the events of the Job or pod of this uid; none where they cannot be read, or did not come.
    pub fn events_are(&mut self, of: &str, events: &[PodEvent], now: Timestamp) {
        for pod in self.observed.pods.iter_mut().filter(|pod| pod.uid == of) {
            pod.asked.work_started_at = work_started(pod, events);
            pod.asked.node_is_coming = node_is_coming(events).filter(|_| pod.node.is_none());
            pod.asked.killed_for = killed_for(pod, events);
        }
        let explained = self.stuck(of, now).and_then(|stuck| stuck.explained_by(events));
        for pod in self.observed.pods.iter_mut().filter(|pod| pod.uid == of) {
            let work_started_at = pod.asked.work_started_at;
            let read = EventsRead { at: now, repeated: 0, explained: explained.clone(), work_started_at };
            pod.events = Some(EventsRead::after(pod.events.as_ref(), read));
        }
        self.observed.explained = explained;
        self.answered.events = true;
    }

    /// Goes by the events that were read before, until they are read again.
    pub fn recall_events(&mut self, now: Timestamp) {
        for pod in &mut self.observed.pods {
            pod.asked.work_started_at = pod.events.as_ref().and_then(|read| read.work_started_at);
        }
        let read = self.observed.pods.iter().filter(|pod| pod.events.is_some());
        let stuck = read.filter_map(|pod| self.stuck(&pod.uid, now).and(pod.events.as_ref()));
        self.observed.explained = stuck.filter_map(|read| read.explained.clone()).next();
    }

    /// The Job or pod of this uid, where it is stuck. A pod that is late may not have been stuck for long: its start
    /// deadline is short.
    fn stuck(&self, of: &str, now: Timestamp) -> Option<Stuck<'_>> {
        let admitted = admitted_at(self.task.status_or_default());
        let stuck = self.observed.stuck(&job_name(&self.task), admitted, now).filter(|stuck| stuck.uid() == of);
        stuck.or_else(|| self.observed.silent(of))
    }

    /// The events of the pod of this uid, as they were last read.
    pub fn events_of(&self, uid: &str) -> Option<&EventsRead> {
        self.observed.pods.iter().find(|pod| pod.uid == uid)?.events.as_ref()
    }

    /// It was asked whether this node answers. Of nodes that are not asked for any more nobody knows it.
    pub fn node_is(&mut self, name: &str, is: NodeState) {
        self.answered.nodes += 1;
        let is_last = self.answered.nodes >= NODES;
        let of_worker = self.observed.worker.iter_mut().filter_map(|worker| worker.pod.as_mut());
        for pod in self.observed.pods.iter_mut().chain(of_worker) {
            match pod.node.as_deref() {
                Some(node) if node == name => pod.asked.node = is,
                Some(_) if is_last && pod.asked.node == NodeState::NotAsked => pod.asked.node = NodeState::NotKnown,
                _ => {}
            }
        }
    }
}
