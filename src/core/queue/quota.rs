//! The quota of a queue: its capacity and ceilings, and whether there is room. Never knows which task uses what.

use strum::IntoEnumIterator;

use crate::launch::resources;
use crate::launch::resources::Amounts;
use task_manager_api::{Ceilings, Priority, TaskQueueSpec};

/// How much the admitted tasks of a queue may use together, by priority.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    tasks: Option<i64>,
    resources: Amounts,
    ceilings: Ceilings,
    pub suspended: bool,
}

/// The slots and resources that some tasks use together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub tasks: i64,
    pub resources: Amounts,
}

impl Quota {
    pub fn of(spec: &TaskQueueSpec) -> Self {
        let resources = &spec.capacity.resources;
        Self {
            tasks: spec.capacity.tasks.map(i64::from),
            resources: resources.iter().map(|(name, quantity)| (name.clone(), resources::amount(quantity))).collect(),
            ceilings: spec.ceilings.clone(),
            suspended: spec.suspend,
        }
    }

    /// The quota of a queue that nobody created: a number of tasks, and no other bound.
    pub fn of_tasks(tasks: i32) -> Self {
        Self { tasks: Some(tasks.into()), resources: Amounts::new(), ceilings: Ceilings::default(), suspended: false }
    }

    /// Whether a task of `priority` with `requests` has room beside `used`. Each ceiling at or above its priority
    /// bounds the task: it limits the sum of that priority and all below it.
    pub fn has_room(&self, used: &[Usage; Priority::COUNT], priority: Priority, requests: &Amounts) -> bool {
        let mut together = Usage { tasks: 1, resources: Amounts::new() };
        for level in Priority::iter() {
            together.tasks += used[level.index()].tasks;
            for (name, amount) in &used[level.index()].resources {
                let entry = together.resources.entry(name.clone()).or_default();
                *entry = *entry + *amount;
            }
            if level >= priority && self.exceeded(level, &together, requests).is_some() {
                return false;
            }
        }
        true
    }

    /// Why a task could not start even if the queue were empty; `None` where it could.
    pub fn never_fits(&self, priority: Priority, requests: &Amounts) -> Option<String> {
        let alone = Usage { tasks: 1, resources: Amounts::new() };
        Priority::iter().filter(|level| *level >= priority).find_map(|level| self.exceeded(level, &alone, requests))
    }

    /// The bound of `level` that `requests` on top of `together` would exceed, in words.
    fn exceeded(&self, level: Priority, together: &Usage, requests: &Amounts) -> Option<String> {
        let percent = self.ceilings.percent(level);
        if let Some(tasks) =
            self.tasks.map(|tasks| if tasks == 0 { 0 } else { ((tasks * i64::from(percent) + 99) / 100).max(1) })
            && together.tasks > tasks
        {
            return Some(format!("its capacity of {tasks} tasks leaves no room for one"));
        }
        // A resource that is not requested needs no room, however much of it is overdrawn.
        requests.iter().filter(|(_, amount)| amount.0 > 0).find_map(|(name, amount)| {
            let most = self.resources.get(name)?.percent(percent);
            let used = together.resources.get(name).copied().unwrap_or_default();
            (used + *amount > most)
                .then(|| format!("{name} of {amount} is more than the {most} that priority {level} and below may use"))
        })
    }
}
