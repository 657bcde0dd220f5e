//! The resources `Task`, `TaskType`, `TaskQueue` and `WorkerPool`, as people write them, and the messages of warm workers.
//!
//! Doc comments of fields are printed by `kubectl explain`, so they address a user at a terminal: meaning, unit,
//! default, limits, example. Nothing in this module decides anything.

mod batch;
mod crds;
pub mod exact;
mod payload;
mod plausible;
mod priority;
mod quantity;
mod reason;
mod run_rule;
mod schema;
mod task;
mod task_queue;
mod task_type;
mod time;
mod worker_pool;
pub mod worker_protocol;

pub use batch::{Batch, BatchStatus, Chunk, FailedItemsLimit, ItemList, MOST_ITEMS};
pub use crds::{crd_files, crds};
pub use payload::Payload;
pub use priority::Priority;
pub use quantity::{Amount, MOST, ParseQuantityError, Quantity};
pub use reason::{Reason, reasons_as_markdown};
pub use task::{
    ANNOTATION_BODY_DIGEST, ANNOTATION_REPLAY_OF, Admitted, AdmittedWorker, AttemptOutcome, AttemptRecord, Condition,
    FIRST_RUN, GivenBack, Progress, ReportedError, Resources, ResultRef, Retry, State, Task, TaskSpec, TaskStatus,
};
pub use task_queue::{ByPriority, Capacity, Ceilings, TaskQueue, TaskQueueSpec, TaskQueueStatus};
pub use task_type::{Defaults, Executor, FailureAction, FailureRule, Maximum, TaskType, TaskTypeSpec, TaskTypeStatus};
pub use time::{NEVER, read_time};
pub use worker_pool::{Agent, AgentAs, Replicas, WorkerPool, WorkerPoolSpec, WorkerPoolStatus};

pub const GROUP: &str = "taskmanager.dev";
pub const VERSION: &str = "v1alpha1";
