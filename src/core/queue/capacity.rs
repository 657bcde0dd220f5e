//! What a queue may hold: capacity and ceilings, and whether there is room. Never knows who holds what.

use strum::IntoEnumIterator;

use crate::launch::resources;
use crate::launch::resources::Amounts;
use task_manager_api::{Ceilings, Priority, TaskQueueSpec};

/// What a queue may hold at once, by priority.
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    tasks: Option<i64>,
    resources: Amounts,
    ceilings: Ceilings,
    pub suspended: bool,
}

/// What some tasks hold together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub tasks: i64,
    pub resources: Amounts,
}

impl Capacity {
    pub fn of(spec: &TaskQueueSpec) -> Self {
        let resources = &spec.capacity.resources;
        Self {
            tasks: spec.capacity.tasks.map(i64::from),
            resources: resources.iter().map(|(name, quantity)| (name.clone(), resources::amount(quantity))).collect(),
            ceilings: spec.ceilings.clone(),
            suspended: spec.suspend,
        }
    }

    /// A queue that nobody created: so many tasks, and nothing else bounded.
    pub fn of_tasks(tasks: i32) -> Self {
        Self { tasks: Some(tasks.into()), resources: Amounts::new(), ceilings: Ceilings::default(), suspended: false }
    }

    /// Whether a task of `priority` that asks for `asked` has room beside what is held. Each ceiling at or above
    /// its priority bounds it: what that priority and all below it hold together.
    pub fn has_room(&self, held: &[Usage; Priority::COUNT], priority: Priority, asked: &Amounts) -> bool {
        let mut together = Usage { tasks: 1, resources: Amounts::new() };
        for level in Priority::iter() {
            together.tasks += held[level.index()].tasks;
            for (name, amount) in &held[level.index()].resources {
                let entry = together.resources.entry(name.clone()).or_default();
                *entry = *entry + *amount;
            }
            if level >= priority && self.exceeded(level, &together, asked).is_some() {
                return false;
            }
        }
        true
    }

    /// Why a task could not start even if the queue were empty, if so.
    pub fn never_fits(&self, priority: Priority, asked: &Amounts) -> Option<String> {
        let alone = Usage { tasks: 1, resources: Amounts::new() };
        Priority::iter().filter(|level| *level >= priority).find_map(|level| self.exceeded(level, &alone, asked))
    }

    /// Which bound of `level` would be exceeded by `asked` on top of `together`, in words.
    fn exceeded(&self, level: Priority, together: &Usage, asked: &Amounts) -> Option<String> {
        let percent = self.ceilings.percent(level);
        if let Some(tasks) =
            self.tasks.map(|tasks| if tasks == 0 { 0 } else { ((tasks * i64::from(percent) + 99) / 100).max(1) })
            && together.tasks > tasks
        {
            return Some(format!("its capacity of {tasks} tasks leaves no room for one"));
        }
        // What is not asked for needs no room, however much of it is overdrawn.
        asked.iter().filter(|(_, amount)| amount.0 > 0).find_map(|(name, amount)| {
            let most = self.resources.get(name)?.percent(percent);
            let held = together.resources.get(name).copied().unwrap_or_default();
            (held + *amount > most)
                .then(|| format!("{name} of {amount} is more than the {most} that priority {level} and below may use"))
        })
    }
}
