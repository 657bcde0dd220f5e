//! Tasks as the API server answered the write of their admission: whole, payload included, for the launch that
//! follows at once, and where a warm worker has the task, for the record that follows soon. Nothing depends on a task being here: one that is not, or not in the version that the launch
//! was decided on, is read again.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::api::{Payload, Task};

/// So many are kept at most, and so many bytes of their payloads; for one more the oldest go.
const MOST: usize = 64;
const MOST_BYTES: usize = 2 << 20;

#[derive(Default)]
pub struct JustAdmitted {
    tasks: Mutex<VecDeque<Task>>,
}

fn bytes(task: &Task) -> usize {
    task.spec.payload.as_ref().map_or(0, Payload::bytes)
}

impl JustAdmitted {
    pub fn keep(&self, task: Task) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|kept| kept.metadata.uid != task.metadata.uid);
        tasks.push_back(task);
        while tasks.len() > MOST || tasks.len() > 1 && tasks.iter().map(bytes).sum::<usize>() > MOST_BYTES {
            tasks.pop_front();
        }
    }

    /// The whole of `task`, in just this version.
    pub fn take(&self, task: &Task) -> Option<Task> {
        let mut tasks = self.tasks.lock();
        let place = tasks.iter().position(|kept| kept.metadata.uid == task.metadata.uid)?;
        tasks.remove(place).filter(|kept| kept.metadata.resource_version == task.metadata.resource_version)
    }

    /// The task with the whole spec that `task` has, as it was when it was admitted.
    pub fn take_spec(&self, task: &Task) -> Option<Task> {
        let mut tasks = self.tasks.lock();
        let place = tasks.iter().position(|kept| kept.metadata.uid == task.metadata.uid)?;
        tasks.remove(place).filter(|kept| kept.metadata.generation == task.metadata.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TaskSpec;

    fn task(uid: &str, version: &str) -> Task {
        let mut task = Task::new(uid, TaskSpec::default());
        task.metadata.uid = Some(uid.into());
        task.metadata.resource_version = Some(version.into());
        task
    }

    #[test]
    fn a_task_is_handed_out_once_and_in_the_version_that_was_decided_on() {
        let kept = JustAdmitted::default();
        kept.keep(task("a", "1"));
        kept.keep(task("b", "2"));
        assert_eq!(kept.take(&task("a", "1")), Some(task("a", "1")));
        assert_eq!(kept.take(&task("a", "1")), None, "it is handed out once");
        assert_eq!(kept.take(&task("b", "3")), None, "it has changed since");
    }

    #[test]
    fn the_spec_of_a_task_is_handed_out_unless_it_has_changed() {
        let kept = JustAdmitted::default();
        let of_generation = |uid: &str, version: &str, generation| {
            let mut task = task(uid, version);
            task.metadata.generation = Some(generation);
            task
        };
        kept.keep(of_generation("a", "1", 1));
        kept.keep(of_generation("a", "3", 1));
        kept.keep(of_generation("b", "2", 1));
        assert_eq!(kept.take_spec(&of_generation("a", "7", 1)), Some(of_generation("a", "3", 1)), "the last one");
        assert_eq!(kept.take_spec(&of_generation("a", "7", 1)), None, "it is kept once");
        assert_eq!(kept.take_spec(&of_generation("b", "7", 2)), None, "its spec is another");
    }

    #[test]
    fn only_so_many_bytes_of_payloads_are_kept() {
        let kept = JustAdmitted::default();
        for uid in ["a", "b", "c"] {
            let mut large = task(uid, "1");
            large.spec.payload = Some(Payload::Measured { bytes: MOST_BYTES / 2, fault: None });
            kept.keep(large);
        }
        assert!(kept.take(&task("a", "1")).is_none() && kept.take(&task("c", "1")).is_some());
    }

    #[test]
    fn only_so_many_are_kept() {
        let kept = JustAdmitted::default();
        (0..=MOST).for_each(|number| kept.keep(task(&number.to_string(), "1")));
        assert_eq!(kept.take(&task("0", "1")), None, "the oldest goes");
        assert!(kept.take(&task("1", "1")).is_some() && kept.take(&task(&MOST.to_string(), "1")).is_some());
    }
}
