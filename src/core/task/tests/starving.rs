//! Many tasks of one queue, each decided on second by second: those that no node takes starve nobody.

use std::sync::Arc;

use serde_json::json;

use super::scene::*;
use crate::attempt::facts::PodFacts;
use crate::queue::{AdmissionQueue, queue_state};
use crate::task::*;

/// How many seconds the work of a good task takes, and how many a pod takes to come and to go.
const RUNS: i64 = 3;
const COMES: i64 = 1;

/// One queue with so many slots, in a cluster whose writes are numbered one after another.
struct Queue {
    admission: AdmissionQueue,
    tasks: Vec<Waiting>,
    version: u64,
}

struct Waiting {
    scene: Scene,
    /// No node takes its pods.
    is_bad: bool,
    launched_at: i64,
    /// When it is looked at next, unless something changes.
    look_at: i64,
    turns: Vec<i64>,
}

impl Queue {
    fn of(slots: i32) -> Self {
        let mut admission = AdmissionQueue::new(None);
        admission.set_quota(("docs".into(), "default".into()), Some(Quota::of_tasks(slots)));
        Self { admission, tasks: vec![], version: 100 }
    }

    fn arrives(&mut self, name: &str, is_bad: bool) {
        let mut scene = queued(json!({}));
        // Default times, as where nobody says anything.
        scene.kind = Some(kind(json!({"startDeadlineSeconds": null})));
        scene.task.metadata.name = Some(name.into());
        scene.task.metadata.uid = Some(name.into());
        self.version += 1;
        scene.task.metadata.resource_version = Some(self.version.to_string());
        scene.first_seen = self.version;
        self.tasks.push(Waiting { scene, is_bad, launched_at: 0, look_at: 0, turns: vec![] });
    }

    fn pass(&mut self, second: i64) {
        for task in &self.tasks {
            let Scene { task, kind, first_seen, settings, .. } = &task.scene;
            let uid: Arc<str> = task.metadata.uid.as_deref().expect("a uid").into();
            self.admission.set(&uid, queue_state(task, kind.as_ref(), *first_seen, settings));
        }
        for grant in self.admission.admit(at(second)).admitted {
            let pending = grant.task;
            let is_it =
                |waiting: &&mut Waiting| waiting.scene.task.metadata.uid.as_deref() == Some(pending.order.uid());
            let waiting = self.tasks.iter_mut().find(is_it).expect("it is there");
            waiting.turns.push(second);
            waiting.look_at = second;
            let kind = waiting.scene.kind.as_ref().expect("a type");
            let admission = Admission { arrival: pending.order.place(), holds: pending.admitted(), worker: None };
            let status = crate::task::admitted(&waiting.scene.task, kind, &admission, at(second));
            write(&mut self.version, &mut waiting.scene, status);
        }
    }

    /// Each task that something is due for is decided on until nothing is to be done now.
    fn decide(&mut self, second: i64) {
        for waiting in &mut self.tasks {
            if !waiting.goes_on(second) && waiting.look_at > second {
                continue;
            }
            for _ in 0..5 {
                let input = Input { highest_seen: self.version, ..waiting.scene.input() };
                let decision = decide(&input, at(second));
                match decision.action {
                    Action::Write(status) => write(&mut self.version, &mut waiting.scene, *status),
                    Action::Record(recording) => write(&mut self.version, &mut waiting.scene, recording.then),
                    Action::Launch => waiting.launch(second),
                    Action::Delete(Deletion { child: Child::Job, .. }) => waiting.scene.observed.jobs[0].gone = true,
                    Action::Delete(Deletion { child: Child::Pod, .. }) => {
                        waiting.scene.observed.pods[0].gone_at = Some(at(second));
                    }
                    _ => {
                        waiting.look_at = decision.wake.map_or(i64::MAX, |wake| wake.as_second() - at(0).as_second());
                        break;
                    }
                }
            }
        }
    }

    fn second(&mut self, second: i64) {
        self.pass(second);
        self.decide(second);
    }

    fn first_turn(&self, name: &str) -> Option<i64> {
        self.tasks.iter().find(|task| task.scene.task.metadata.uid.as_deref() == Some(name))?.turns.first().copied()
    }
}

fn write(version: &mut u64, scene: &mut Scene, status: TaskStatus) {
    *version += 1;
    scene.task.status = Some(status);
    scene.task.metadata.resource_version = Some(version.to_string());
    if scene.status().state != State::Processing {
        scene.observed = Observed::default();
    }
}

impl Waiting {
    fn launch(&mut self, second: i64) {
        self.launched_at = second;
        self.scene.observed.jobs = vec![self.scene.job(second)];
    }

    /// Its pod comes, and runs if a node takes it. Returns whether anything changed.
    fn goes_on(&mut self, second: i64) -> bool {
        let Some(job) = self.scene.observed.jobs.first().filter(|job| !job.gone) else { return false };
        let pod = PodFacts { created_at: job.created_at, ..self.scene.pod("p1") };
        let age = second - self.launched_at;
        let pod = match self.is_bad {
            true if age == COMES => waits(Reason::Unschedulable)(pod),
            false if age == COMES + RUNS => exits(0)(pod),
            _ => return false,
        };
        self.scene.observed.pods = vec![pod];
        true
    }
}

#[test]
fn twenty_tasks_that_no_node_takes_do_not_keep_a_good_one_from_the_only_slot() {
    let mut queue = Queue::of(1);
    (0..20).for_each(|number| queue.arrives(&format!("bad-{number}"), true));
    queue.arrives("good", false);
    (0..25 * 60).for_each(|second| queue.second(second));
    let good = &queue.tasks[20].scene;
    assert_eq!(good.status().state, State::Completed, "within 25 minutes: {:?}", good.status());
    for bad in &queue.tasks[..20] {
        assert!(bad.turns.first() < queue.tasks[20].turns.first(), "each has its turn, in order of arrival");
        assert_eq!((bad.scene.status().failures, bad.scene.status().disruptions), (0, 0));
    }
}

#[test]
fn who_arrives_later_is_before_those_that_have_had_their_turn() {
    let mut queue = Queue::of(1);
    (0..5).for_each(|number| queue.arrives(&format!("bad-{number}"), true));
    for second in 0..5400 {
        if second % 1800 == 1000 {
            queue.arrives(&format!("good-{second}"), false);
        }
        queue.second(second);
    }
    for arrived in (1000..5000).step_by(1800) {
        let waited = queue.first_turn(&format!("good-{arrived}")).map(|began| began - arrived);
        // At most one that holds the slot, and those that arrived before and were not tried since.
        assert!(waited.is_some_and(|waited| waited <= 5 * 65), "arrived at {arrived}: waited {waited:?}");
    }
    for bad in &queue.tasks[..5] {
        let pauses: Vec<_> = bad.turns.windows(2).map(|turns| turns[1] - turns[0]).collect();
        assert!(pauses.iter().all(|pause| *pause >= 120), "it pauses as long as it held the slot: {pauses:?}");
        assert!(bad.turns.len() >= 6, "and is tried on: {:?}", bad.turns);
    }
}
