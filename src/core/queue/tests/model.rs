//! Admission once more, in the most obvious way, and a comparison of both over random boards.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use strum::IntoEnumIterator;

use super::*;

mod explained;

const QUEUES: [&str; 3] = ["q", "r", "s"];
const TYPES: [&str; 3] = ["t", "u", "v"];
const KEYS: [&str; 3] = ["kb-1", "kb-2", "kb-3"];
const RESOURCES: [&str; 2] = ["cpu", "nvidia.com/gpu"];
const PEOPLE: u8 = 24;

#[derive(Clone, Debug, Default)]
struct Bounds {
    queue: Option<QueueBounds>,
}

#[derive(Clone, Debug, Default)]
struct QueueBounds {
    tasks: Option<i64>,
    resources: Vec<(&'static str, i64)>,
    percents: [Option<i64>; 4],
    suspend: bool,
    /// It names a resource that no pod is counted by.
    is_faulty: bool,
}

impl QueueBounds {
    fn percent(&self, level: Priority) -> i64 {
        self.percents[level.index()].unwrap_or(100)
    }

    fn most_tasks(&self, level: Priority) -> Option<i64> {
        let share = |tasks: i64| (tasks as f64 * self.percent(level) as f64 / 100.0).ceil() as i64;
        Some(match self.tasks? {
            0 => 0,
            tasks => share(tasks).max(1),
        })
    }

    /// Whether tasks with these priorities and requests may hold the queue together, as far as `newcomer` is
    /// concerned: the last one.
    fn has_room(&self, held: &[(Priority, Amounts)], newcomer: &(Priority, Amounts)) -> bool {
        Priority::iter().filter(|level| *level >= newcomer.0).all(|level| {
            let together: Vec<_> = held.iter().filter(|(priority, _)| *priority <= level).chain([newcomer]).collect();
            let tasks_fit = self.most_tasks(level).is_none_or(|most| together.len() as i64 <= most);
            let resources_fit =
                self.resources.iter().filter(|(name, _)| asks(&newcomer.1, name) > 0).all(|(name, most)| {
                    let sum: i128 = together.iter().map(|(_, amounts)| asks(amounts, name)).sum();
                    sum * 100 <= i128::from(*most) * 1000 * i128::from(self.percent(level))
                });
            tasks_fit && resources_fit
        })
    }

    fn spec(&self) -> Value {
        let fault = self.is_faulty.then_some(("requests.cpu", 9));
        let resources: BTreeMap<_, _> = self.resources.iter().copied().chain(fault).collect();
        let [low, normal, high, critical] = self.percents;
        json!({
            "capacity": {"tasks": self.tasks, "resources": resources},
            "ceilings": {"low": low, "normal": normal, "high": high, "critical": critical},
            "suspend": self.suspend,
        })
    }
}

fn asks(amounts: &Amounts, name: &str) -> i128 {
    amounts.get(name).map_or(0, |amount| amount.0)
}

#[derive(Clone, Debug, Default)]
struct Model {
    most_running: Option<i32>,
    queues: BTreeMap<Key, QueueBounds>,
    types: BTreeMap<Key, (Option<i32>, Option<i32>)>,
    waiting: Vec<PendingTask>,
    held: Vec<(Arc<str>, Reservation)>,
}

impl Model {
    fn remove(&mut self, uid: &Arc<str>) {
        self.waiting.retain(|pending| pending.order.uid() != uid);
        self.held.retain(|(held, _)| held != uid);
    }

    fn place(&mut self, uid: &Arc<str>, state: QueueState) {
        self.remove(uid);
        match state {
            QueueState::Pending(pending) => self.waiting.push(pending),
            QueueState::Admitted(reservation) => self.held.push((uid.clone(), reservation)),
            QueueState::Inactive => {}
        }
    }

    /// Who gets a slot, in order; and when somebody else becomes ready.
    fn admit(&mut self, now: Timestamp) -> (Vec<PendingTask>, Option<Timestamp>) {
        let mut everybody = self.waiting.clone();
        everybody.sort_by_key(|pending| pending.order.clone());
        let is_early = |pending: &PendingTask| pending.ready_at.is_some_and(|ready| ready > now);
        let wake = everybody.iter().filter(|pending| is_early(pending)).filter_map(|early| early.ready_at).min();
        let mut chosen = Vec::new();
        while let Some(next) = self.next(&everybody, now) {
            everybody.retain(|pending| *pending != next);
            self.place(&next.order.uid().clone(), QueueState::Admitted(next.reservation()));
            chosen.push(next);
        }
        (chosen, wake)
    }

    /// The first of `everybody`, who stand in order, that nothing holds back as things are now.
    fn next(&self, everybody: &[PendingTask], now: Timestamp) -> Option<PendingTask> {
        let mut blocked = BTreeSet::new();
        if self.most_running.is_some_and(|most| self.held.len() >= most as usize) {
            return None;
        }
        for pending in everybody.iter().filter(|pending| pending.ready_at.is_none_or(|ready| ready <= now)) {
            let open = |queue: &&QueueBounds| !queue.suspend && !queue.is_faulty;
            let Some(queue) = self.queues.get(&pending.queue).filter(open) else { continue };
            let newcomer = (pending.order.priority(), (*pending.requests).clone());
            if blocked.contains(&pending.queue) || self.type_is_full(pending) || !queue.has_room(&[], &newcomer) {
                continue;
            }
            if queue.has_room(&self.held_in(&pending.queue), &newcomer) {
                return Some(pending.clone());
            }
            blocked.insert(pending.queue.clone());
        }
        None
    }

    fn held_in(&self, queue: &Key) -> Vec<(Priority, Amounts)> {
        self.held
            .iter()
            .filter(|(_, held)| held.queue == *queue)
            .map(|(_, held)| (held.priority, held.resources.clone()))
            .collect()
    }

    fn type_is_full(&self, pending: &PendingTask) -> bool {
        let Some((most, most_per_key)) = self.types.get(&pending.task_type) else { return false };
        let of_type = || self.held.iter().filter(|(_, held)| held.task_type == pending.task_type);
        let of_key = of_type().filter(|(_, held)| held.kb_id == pending.kb_id).count();
        most.is_some_and(|most| of_type().count() >= most as usize)
            || (pending.kb_id.is_some() && most_per_key.is_some_and(|most| of_key >= most as usize))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(PendingTask),
    /// It stands as a holder, as after a restart or a write of another leader.
    Hold(PendingTask),
    Finish(u8),
    Remove(u8),
    Queue(&'static str, Bounds),
    Type(&'static str, Option<i32>, Option<i32>),
    /// So many seconds after the pass before.
    Admit(i64),
}

fn uid(number: u8) -> Arc<str> {
    format!("uid-{number:02}").into()
}

fn some_pending_task() -> impl Strategy<Value = PendingTask> {
    let place = (
        0..PEOPLE,
        0..6u64,
        0..4usize,
        prop::sample::select(QUEUES.as_slice()),
        prop::sample::select(TYPES.as_slice()),
    );
    let rest = (
        prop::option::of(prop::sample::select(KEYS.as_slice())),
        vec(0..5i128, RESOURCES.len()),
        prop::option::weighted(0.2, 0..60i64),
    );
    (place, rest).prop_map(|((number, arrival, priority, queue, task_type), (kb_id, asked, ready))| {
        let priority = Priority::iter().nth(priority).expect("one of four");
        PendingTask {
            queue: key(queue),
            task_type: key(task_type),
            kb_id: kb_id.map(Into::into),
            order: Order::new(priority, arrival, uid(number)),
            requests: Arc::new(
                RESOURCES
                    .into_iter()
                    .map(str::to_owned)
                    .zip(asked.into_iter().map(|half| Amount(half * 500)))
                    .collect(),
            ),
            executor: task_manager_api::Executor::Job,
            ready_at: ready.map(at),
            failed_on: None,
        }
    })
}

fn some_queue() -> impl Strategy<Value = QueueBounds> {
    let percents = prop::array::uniform4(prop::option::of(1..=100i64));
    (
        prop::option::of(0..6i64),
        vec((prop::sample::select(RESOURCES.as_slice()), 0..5i64), 0..2),
        percents,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(tasks, resources, percents, suspend, is_faulty)| QueueBounds {
            tasks,
            resources,
            percents,
            suspend,
            is_faulty,
        })
}

fn some_step() -> impl Strategy<Value = Step> {
    let bounds = prop::option::weighted(0.9, some_queue()).prop_map(|queue| Bounds { queue });
    prop_oneof![
        8 => some_pending_task().prop_map(Step::Arrive),
        1 => some_pending_task().prop_map(Step::Hold),
        3 => (0..PEOPLE).prop_map(Step::Finish),
        1 => (0..PEOPLE).prop_map(Step::Remove),
        1 => (prop::sample::select(QUEUES.as_slice()), bounds).prop_map(|(queue, bounds)| Step::Queue(queue, bounds)),
        1 => (prop::sample::select(TYPES.as_slice()), prop::option::of(0..4i32), prop::option::of(0..4i32)).prop_map(|(task_type, most, per_key)| Step::Type(task_type, most, per_key)),
        5 => (0..20i64).prop_map(Step::Admit),
    ]
}

struct Both {
    admission: AdmissionQueue,
    model: Model,
    second: i64,
}

impl Both {
    fn new(most_running: Option<i32>, queues: Vec<QueueBounds>) -> Self {
        let model = Model { most_running, ..Model::default() };
        let mut both = Self { admission: AdmissionQueue::new(most_running), model, second: 0 };
        for (name, queue) in QUEUES.into_iter().zip(queues) {
            both.set_quota(name, Some(queue));
        }
        both
    }

    fn set_quota(&mut self, name: &str, bounds: Option<QueueBounds>) {
        self.admission.set_quota(key(name), bounds.as_ref().map(|bounds| queue(bounds.spec())));
        match bounds {
            Some(bounds) => self.model.queues.insert(key(name), bounds),
            None => self.model.queues.remove(&key(name)),
        };
    }

    fn place(&mut self, uid: &Arc<str>, state: QueueState) {
        self.admission.set(uid, state.clone());
        self.model.place(uid, state);
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Arrive(pending) => self.place(&pending.order.uid().clone(), QueueState::Pending(pending)),
            Step::Hold(pending) => {
                self.place(&pending.order.uid().clone(), QueueState::Admitted(pending.reservation()))
            }
            Step::Finish(number) => self.place(&uid(number), QueueState::Inactive),
            Step::Remove(number) => {
                self.admission.remove(&uid(number));
                self.model.remove(&uid(number));
            }
            Step::Queue(name, bounds) => self.set_quota(name, bounds.queue),
            Step::Type(name, most, per_key) => {
                self.admission.set_type_limits(key(name), limits(most, per_key));
                self.model.types.insert(key(name), (most, per_key));
            }
            Step::Admit(seconds) => {
                self.second += seconds;
                let pass = self.admission.admit(at(self.second));
                let expected = self.model.admit(at(self.second));
                let admitted: Vec<_> = pass.admitted.into_iter().map(|grant| grant.task).collect();
                prop_assert_eq!((admitted, pass.wake), expected);
            }
        }
        self.agree()
    }

    fn agree(&mut self) -> Result<(), TestCaseError> {
        let waiting = |priority: Priority| {
            self.model.waiting.iter().filter(|pending| pending.order.priority() == priority).count()
        };
        let depth: Vec<usize> = Priority::iter().map(waiting).collect();
        prop_assert_eq!(self.admission.depth().to_vec(), depth);
        prop_assert_eq!(self.admission.running(), self.model.held.len());
        prop_assert!(self.model.held.iter().all(|(uid, _)| self.admission.is_admitted(uid)));
        self.explain_alike()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_board_admits_whom_the_obvious_way_admits(
        most_running in prop::option::weighted(0.3, 0..8i32),
        queues in vec(some_queue(), QUEUES.len()),
        steps in vec(some_step(), 1..80),
    ) {
        let mut both = Both::new(most_running, queues);
        for step in steps {
            both.take(step)?;
        }
    }

    #[test]
    fn no_queue_ever_holds_more_than_its_capacity(
        queues in vec(some_queue(), QUEUES.len()),
        arrivals in vec(some_pending_task(), 1..40),
        ends in vec(0..PEOPLE, 0..40),
    ) {
        let mut both = Both::new(None, queues.clone());
        let mut ends = ends.into_iter();
        for (second, pending) in arrivals.into_iter().enumerate() {
            let state = QueueState::Pending(pending.clone());
            if !both.admission.is_admitted(pending.order.uid()) {
                both.admission.set(pending.order.uid(), state.clone());
                both.model.place(pending.order.uid(), state);
            }
            for admitted in both.admission.admit(at(second as i64)).admitted {
                let task = admitted.task;
                both.model.place(task.order.uid(), QueueState::Admitted(task.reservation()));
            }
            for (name, bounds) in QUEUES.iter().zip(&queues) {
                let held = both.model.held_in(&key(name));
                for level in Priority::iter() {
                    let below = held.iter().filter(|(priority, _)| *priority <= level).count() as i64;
                    prop_assert!(bounds.most_tasks(level).is_none_or(|most| below <= most), "{} of {}", below, name);
                }
                for (resource, most) in &bounds.resources {
                    let sum: i128 = held.iter().map(|(_, amounts)| asks(amounts, resource)).sum();
                    prop_assert!(sum <= i128::from(*most) * 1000, "{} of {}", sum, name);
                }
            }
            if let Some(ended) = ends.next() {
                both.place(&uid(ended), QueueState::Inactive);
            }
        }
    }

    #[test]
    fn within_one_queue_nobody_overtakes(mut arrivals in vec(some_pending_task(), 1..40), tasks in 1..10i64) {
        for pending in &mut arrivals {
            *pending = PendingTask { queue: key("q"), ready_at: None, ..pending.clone() };
        }
        let mut both = Both::new(None, vec![QueueBounds { tasks: Some(tasks), ..QueueBounds::default() }]);
        add(&mut both.admission, arrivals.clone());
        let pass = both.admission.admit(at(0));
        prop_assert!(pass.admitted.is_sorted_by(|one, other| one.task.order < other.task.order));
        let last: BTreeMap<_, _> = arrivals.into_iter().map(|pending| (pending.order.uid().clone(), pending.order)).collect();
        let passed_over = last.values().filter(|order| !both.admission.is_admitted(order.uid()));
        prop_assert!(passed_over.clone().all(|order| pass.admitted.iter().all(|admitted| admitted.task.order < *order)));
        prop_assert_eq!(pass.admitted.len(), last.len().min(tasks as usize));
    }
}
