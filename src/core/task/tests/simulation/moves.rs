//! The steps of a story: whatever may happen next.

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Move {
    Wait(u16),
    Decide,
    Admit,
    PodComes {
        waits: Option<Reason>,
        /// A container stands beside its work, and does not end by itself.
        helped: bool,
        /// How its work ends after SIGTERM: by itself, or with 137 at the end of its grace.
        killed: i32,
    },
    /// Where it is told late, an event alone says so.
    PodStarts {
        told_late: bool,
    },
    PodEnds(End),
    /// Its node would not have it.
    NodeRefuses {
        for_good: bool,
    },
    /// The helpers beside the work end.
    HelpersEnd,
    /// The status tells what was hidden.
    StatusesCatchUp,
    /// It says of each pod whose deadline is over that this was exceeded.
    KubeletRestarts,
    RefuseNextEnd,
    /// Somebody holds back the Job, or lets it go on; a Job that is made next is held back from the beginning.
    HoldJob(bool),
    HoldNextJob,
    NodesAnswer,
    /// An autoscaler says that it makes a node for the pods that have none, or takes that back.
    NodeIsComing(bool),
    JobIsCounted,
    /// A pod reports, any that ever was.
    Reports {
        pod: u8,
        report: u8,
    },
    Restart,
    LoseNextWrite,
    Refuse,
    /// The next launch is not answered...
    NoAnswer,
    /// ...and takes place now, though no watch shows it yet.
    TakePlaceLate,
    WatchesCatchUp,
    DeleteJob {
        in_foreground: bool,
    },
    DeletePod,
    /// A worker asks for work for the first time.
    WorkerComes,
    WorkerEndsItsWork {
        place: u8,
        says: Says,
    },
    WorkerAsks {
        place: u8,
        begins_anew: bool,
    },
    WorkerBeats {
        place: u8,
        obeys: bool,
    },
    WorkerPodEnds {
        place: u8,
        end: End,
    },
    /// Its pool gives it up.
    WorkerIsReplaced(u8),
    /// It runs other tasks beside this one, or does no longer.
    WorkerHasOthers(u8, bool),
    /// Somebody else deletes it.
    DeleteWorker(u8),
    /// Somebody who may make pods makes one that calls itself the attempt's.
    ForgePod,
    /// Somebody who may make Jobs or pods makes one that calls itself the next attempt's.
    ForgeLaunch,
    CollectGarbage,
    Cancel,
    /// Somebody deletes the task, and somebody else's finalizer keeps it.
    DeleteTask,
    RunId(u8),
    Suspend(bool),
    AskFor(u8),
    TypeGoes,
    TypeComes,
    QueueGoes,
    QueueComes,
    ArchiveGoes,
    ArchiveComes,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Success,
    Exit(i32),
    OutOfMemory,
    Evicted,
    Permanent,
    NodeStopsAnswering,
}

/// Any step of a story in which this executor runs the attempts.
pub(super) fn some_move(executor: Executor) -> impl Strategy<Value = Move> {
    let of_workers = if executor == Executor::Pool { 2 } else { 0 };
    prop_oneof![
        1 => any_move(),
        of_workers => move_of_a_worker(),
    ]
}

fn move_of_a_worker() -> impl Strategy<Value = Move> {
    let place = || 0..3u8;
    let says = prop_oneof![
        3 => Just(Says::Done),
        2 => (1..4i32).prop_map(Says::Exit),
        1 => Just(Says::Permanent),
        1 => Just(Says::EndedFor(Reason::Timeout)),
        1 => Just(Says::EndedFor(Reason::WorkerLost)),
        1 => Just(Says::EndedFor(Reason::Cancelled)),
    ];
    prop_oneof![
        4 => Just(Move::WorkerComes),
        6 => (place(), says).prop_map(|(place, says)| Move::WorkerEndsItsWork { place, says }),
        12 => (place(), prop::bool::weighted(0.2)).prop_map(|(place, begins_anew)| Move::WorkerAsks { place, begins_anew }),
        6 => (place(), any::<bool>()).prop_map(|(place, obeys)| Move::WorkerBeats { place, obeys }),
        3 => (place(), some_end()).prop_map(|(place, end)| Move::WorkerPodEnds { place, end }),
        1 => place().prop_map(Move::WorkerIsReplaced),
        1 => (place(), any::<bool>()).prop_map(|(place, holds)| Move::WorkerHasOthers(place, holds)),
        1 => place().prop_map(Move::DeleteWorker),
    ]
}

fn some_end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Success),
        (1..4i32).prop_map(End::Exit),
        Just(End::OutOfMemory),
        Just(End::Evicted),
        Just(End::Permanent),
        Just(End::NodeStopsAnswering),
    ]
}

fn any_move() -> impl Strategy<Value = Move> {
    let waits = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Reason::Unschedulable)),
        1 => Just(Some(Reason::ImageUnavailable)),
        1 => Just(Some(Reason::PodGated)),
    ];
    let manner = || (any::<bool>(), prop_oneof![Just(0), Just(143), Just(137)]);
    prop_oneof![
        8 => (0..90u16).prop_map(Move::Wait),
        1 => (600..4000u16).prop_map(Move::Wait),
        16 => Just(Move::Decide),
        8 => Just(Move::Admit),
        8 => (waits, manner()).prop_map(|(waits, (helped, killed))| Move::PodComes { waits, helped, killed }),
        6 => prop::bool::weighted(0.2).prop_map(|told_late| Move::PodStarts { told_late }),
        1 => any::<bool>().prop_map(|for_good| Move::NodeRefuses { for_good }),
        2 => Just(Move::HelpersEnd),
        2 => Just(Move::StatusesCatchUp),
        1 => Just(Move::KubeletRestarts),
        1 => Just(Move::RefuseNextEnd),
        1 => any::<bool>().prop_map(Move::HoldJob),
        1 => Just(Move::HoldNextJob),
        5 => some_end().prop_map(Move::PodEnds),
        1 => Just(Move::NodesAnswer),
        1 => any::<bool>().prop_map(Move::NodeIsComing),
        4 => Just(Move::JobIsCounted),
        6 => any::<(u8, u8)>().prop_map(|(pod, report)| Move::Reports { pod, report }),
        2 => Just(Move::Restart),
        2 => Just(Move::LoseNextWrite),
        1 => Just(Move::Refuse),
        3 => Just(Move::NoAnswer),
        3 => Just(Move::TakePlaceLate),
        3 => Just(Move::WatchesCatchUp),
        1 => any::<bool>().prop_map(|in_foreground| Move::DeleteJob { in_foreground }),
        1 => Just(Move::DeletePod),
        2 => Just(Move::ForgePod),
        2 => Just(Move::ForgeLaunch),
        2 => Just(Move::CollectGarbage),
        1 => Just(Move::Cancel),
        1 => Just(Move::DeleteTask),
        2 => (1..4u8).prop_map(Move::RunId),
        1 => any::<bool>().prop_map(Move::Suspend),
        1 => (1..4u8).prop_map(Move::AskFor),
        1 => Just(Move::TypeGoes),
        1 => Just(Move::TypeComes),
        1 => Just(Move::QueueGoes),
        1 => Just(Move::QueueComes),
        2 => Just(Move::ArchiveGoes),
        2 => Just(Move::ArchiveComes),
    ]
}
