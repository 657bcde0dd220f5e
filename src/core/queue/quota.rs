//! The quota of a queue: its capacity and ceilings, and whether there is room. Never knows which task uses what.

use strum::IntoEnumIterator;

use super::capacity_names;
use crate::launch::resources;
use crate::launch::resources::Amounts;
use task_manager_api::{Amount, Ceilings, Priority, TaskQueueSpec};

/// How much the admitted tasks of a queue may use together, by priority.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    tasks: Option<i64>,
    resources: Amounts,
    ceilings: Ceilings,
    pub suspended: bool,
    /// Why the queue cannot be used as it is, in a sentence.
    pub fault: Option<String>,
}

/// The slots and resources that some tasks use together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub tasks: i64,
    pub resources: Amounts,
}

/// The usage of the tasks of each priority.
pub type UsageByPriority = [Usage; Priority::COUNT];

/// The room that a task lacks: a bound, how much of it is used, and how much the task asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Lack {
    /// `None` is the number of tasks.
    pub resource: Option<String>,
    pub used: Amount,
    pub most: Amount,
    pub asks: Amount,
    /// The bound is a ceiling: the share of this priority and all below it. `None` is the whole capacity.
    pub ceiling: Option<Priority>,
}

impl Quota {
    /// The most tasks that may run at once.
    pub fn slots(&self) -> Option<i64> {
        self.tasks
    }

    /// The resources that are bounded.
    pub fn bounded(&self) -> impl Iterator<Item = &String> {
        self.resources.keys()
    }

    /// The most of this resource that the tasks may use together.
    pub fn capacity_of(&self, resource: &str) -> Option<Amount> {
        self.resources.get(resource).copied()
    }

    pub fn of(spec: &TaskQueueSpec) -> Self {
        let resources = &spec.capacity.resources;
        Self {
            tasks: spec.capacity.tasks.map(i64::from),
            resources: resources.iter().map(|(name, quantity)| (name.clone(), resources::amount(quantity))).collect(),
            ceilings: spec.ceilings.clone(),
            suspended: spec.suspend,
            fault: capacity_names::fault(resources.keys()),
        }
    }

    /// The quota of a queue that nobody created: a number of tasks, and no other bound.
    pub fn of_tasks(tasks: i32) -> Self {
        Self {
            tasks: Some(tasks.into()),
            resources: Amounts::new(),
            ceilings: Ceilings::default(),
            suspended: false,
            fault: None,
        }
    }

    /// Whether the queue admits tasks at all.
    pub fn is_open(&self) -> bool {
        !self.suspended && self.fault.is_none()
    }

    /// The room that a task of `priority` with `requests` lacks beside `used`; `None` where there is room. Each ceiling at
    /// or above its priority bounds the task: it limits the sum of that priority and all below it.
    pub fn lack(&self, used: &UsageByPriority, priority: Priority, requests: &Amounts) -> Option<Lack> {
        // The whole capacity first: where that is used up, no ceiling matters.
        let whole = self.exceeded(None, 100, used, requests);
        let ceilings = Priority::iter().filter(|level| *level >= priority);
        let ceilings =
            ceilings.map(|level| (level, self.ceilings.percent(level))).filter(|(_, percent)| *percent < 100);
        let of_ceiling =
            |(level, percent)| self.exceeded(Some(level), percent, &used[..=Priority::index(level)], requests);
        whole.or_else(|| {
            let mut ceilings = ceilings;
            ceilings.find_map(of_ceiling)
        })
    }

    /// The bound that a task could not keep even if the queue were empty; `None` where it could.
    pub fn never_fits(&self, priority: Priority, requests: &Amounts) -> Option<Lack> {
        self.lack(&UsageByPriority::default(), priority, requests)
    }

    /// The bound of `percent` of the capacity that a task with `requests` would exceed beside `used`.
    fn exceeded(&self, ceiling: Option<Priority>, percent: i32, used: &[Usage], requests: &Amounts) -> Option<Lack> {
        let running = used.iter().map(|usage| usage.tasks).sum::<i64>();
        if let Some(most) = self.most_tasks(percent).filter(|most| running >= *most) {
            let (used, most, asks) = (Amount::whole(running), Amount::whole(most), Amount::whole(1));
            return Some(Lack { resource: None, used, most, asks, ceiling });
        }
        // A resource that is not requested needs no room, however much of it is overdrawn.
        requests.iter().filter(|(_, asks)| asks.0 > 0).find_map(|(name, asks)| {
            let most = self.resources.get(name)?.percent(percent);
            let of_each = used.iter().filter_map(|usage| usage.resources.get(name));
            let used = of_each.fold(Amount::default(), |sum, amount| sum + *amount);
            (used + *asks > most).then(|| Lack { resource: Some(name.clone()), used, most, asks: *asks, ceiling })
        })
    }

    fn most_tasks(&self, percent: i32) -> Option<i64> {
        self.tasks.map(|tasks| if tasks == 0 { 0 } else { ((tasks * i64::from(percent) + 99) / 100).max(1) })
    }
}

impl Lack {
    /// The lack as the reason for which a task can never start.
    pub fn for_ever(&self) -> String {
        let whose = match self.ceiling {
            Some(level) => format!("that priority {level} and below may use"),
            None => "that the queue has in all".into(),
        };
        match &self.resource {
            Some(name) => format!("{name} of {} is more than the {} {whose}", self.asks, self.most),
            None => format!("its capacity of {} tasks leaves no room for one", self.most),
        }
    }
    /// How much of the bound is used now.
    pub fn now(&self) -> String {
        let name = self.resource.as_deref().unwrap_or("tasks");
        match self.ceiling {
            Some(level) => format!("{name}: {} of the {} for priority {level} and below used", self.used, self.most),
            None => format!("{name}: {} of {} used", self.used, self.most),
        }
    }
}
