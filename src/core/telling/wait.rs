//! Sorts reasons by what a task that is not final waits for. All who sort reasons ask here, and a new reason does not
//! compile before it is sorted. Never decides what happens.

use crate::Reason;

/// The thing that a task waits for, by the reason in its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its turn, in its queue's order.
    Turn,
    /// Room in its queue, or below one of the limits: it comes when enough others have ended.
    Room,
    /// A queue that is suspended.
    Queue,
    /// A queue that admits nobody before its spec is put right.
    QueueCorrection,
    /// What its own spec says: a time, or that it is to go on.
    OwnSpec,
    /// A type or a queue that is missing or wrong, or a request that is too large: nothing happens before that is put right.
    Correction,
    /// The archive.
    Archive,
    /// The end of a namespace that is being deleted.
    Namespace,
    /// The pause after a failed attempt.
    Retry,
    /// Nothing: its attempt goes on as it should.
    Nothing,
    /// Somebody who holds back its Job or pod, and lets it go on.
    Others,
    /// What keeps its attempt from starting: room on a node or in a quota, an image, or a configuration that is to be put
    /// right.
    Start,
    /// It is no reason to wait.
    None,
}

impl Wait {
    pub fn of(reason: Reason) -> Self {
        use Reason::*;
        match reason {
            Queued => Self::Turn,
            QueueFull | CeilingReached | TypeLimit | KeyLimit | NoWorker | OperatorLimit => Self::Room,
            QueueSuspended => Self::Queue,
            QueueNotReady | PoolNotReady => Self::QueueCorrection,
            Suspended | NotYetDue => Self::OwnSpec,
            TypeMissing | TypeNotReady | QueueMissing | TooLargeForQueue => Self::Correction,
            WaitingForArchive | StoreUnavailable => Self::Archive,
            NamespaceTerminating => Self::Namespace,
            WaitingForRetry => Self::Retry,
            Admitted | Starting | Running | Stopping => Self::Nothing,
            JobSuspended | PodGated => Self::Others,
            ImageUnavailable | ContainerConfig | StartTimeout | Unschedulable | QuotaExceeded | LaunchRefused
            | LaunchFailed | PodNotCreated => Self::Start,
            Succeeded | ResultLost | ExitCode | Timeout | OOMKilled | DiskLimit | ReportedError
            | VerificationFailed | Evicted | Preempted | RejectedByNode | NodeLost | PodDeleted | JobDeleted
            | WorkerLost | WorkerRestarted | SpecChanged | Superseded | RanBefore | KeyReused | Cancelled | Deleted
            | DeadlineExceeded | PayloadTooLarge | InvalidPayload | AboveMaximum | TooManyFailedItems | ChunksFail
            | Ready | NotChecked | Unknown => Self::None,
        }
    }

    /// It was not admitted for this. That is over as soon as nothing gives the reason any longer.
    pub fn is_before_admission(self) -> bool {
        match self {
            Self::Turn | Self::Room | Self::Queue | Self::QueueCorrection | Self::OwnSpec => true,
            Self::Correction | Self::Archive | Self::Namespace => true,
            Self::Retry | Self::Nothing | Self::Others | Self::Start | Self::None => false,
        }
    }

    /// It keeps a task from being a candidate, and the status alone tells so. Reasons that only repeat other fields of spec
    /// and status are left out: the reason may be older than those fields.
    pub fn blocks_admission(self) -> bool {
        matches!(self, Self::Correction | Self::Archive | Self::Namespace)
    }

    /// It concerns many tasks alike, and is told in the statuses of a few. Any other reason to wait is told to each task that
    /// it concerns.
    pub fn is_of_many(self) -> bool {
        matches!(self, Self::Room | Self::Queue | Self::QueueCorrection)
    }

    /// It comes by itself when enough others have ended.
    pub fn ends_with_others(self) -> bool {
        matches!(self, Self::Turn | Self::Room)
    }

    /// Somebody must put something right, or make room.
    pub fn needs_somebody(self) -> bool {
        matches!(self, Self::QueueCorrection | Self::Correction | Self::Start)
    }
}
