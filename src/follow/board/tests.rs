use super::*;
use crate::{
    api::Reason,
    follow::fixtures::{Story, task},
};

fn listed(names: &[&str], tasks: Vec<Task>) -> Board {
    let mut board = Board::new(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
    list(&mut board, tasks);
    board
}

fn list(board: &mut Board, tasks: Vec<Task>) -> Vec<Change> {
    board.apply(Event::Init);
    for task in tasks {
        assert_eq!(board.apply(Event::InitApply(task)), []);
    }
    board.apply(Event::InitDone)
}

fn key(name: &str) -> Key {
    Key { namespace: "docs".into(), name: name.into() }
}

fn names(board: &Board) -> Vec<String> {
    board.tasks().into_iter().map(|task| board.name(task)).collect()
}

#[test]
fn nothing_is_done_before_the_first_list_is_whole() {
    let mut board = Board::new(&[]);
    board.apply(Event::Init);
    assert!(!board.is_done());
    board.apply(Event::InitDone);
    assert!(board.is_done() && board.is_empty());
}

#[test]
fn a_change_of_state_is_told_once() {
    let mut board = listed(&[], vec![task("a")]);
    let moved = board.apply(Event::Apply(task("a").processes_since(1)));
    assert!(matches!(&moved[..], [Change::Moved { key, .. }] if key.name == "a"));
    assert_eq!(board.apply(Event::Apply(task("a").processes_since(1).saying("still"))), []);
    assert_eq!(board.apply(Event::Delete(task("a"))), [Change::Deleted { key: key("a") }]);
    assert_eq!(board.apply(Event::Delete(task("a"))), []);
}

#[test]
fn what_a_task_waits_for_is_told_once_and_kept_while_it_waits() {
    let mut board = listed(&[], vec![task("a")]);
    let full = |message: &'static str| {
        move |_: &Task| Some(Told { reason: Reason::QueueFull, message: message.into(), place: Some(1) })
    };
    let changes = board.explain(full("place 2 of 2"));
    assert!(matches!(&changes[..], [Change::Moved { stage, .. }] if stage.reason == Reason::QueueFull));
    assert_eq!(board.explain(full("place 1 of 1")), [], "numbers are no change of stage");
    let message = board.get(&key("a")).and_then(|a| a.status_or_default().message.as_deref());
    assert_eq!(message, Some("place 1 of 1"));
    assert_eq!(board.apply(Event::Apply(task("a").arrived_as("7"))), [], "it still waits");
    assert_eq!(board.explain(|_| None).len(), 1, "its status has the word again");
    assert_eq!(board.apply(Event::Apply(task("a").processes_since(1))).len(), 1);
}

#[test]
fn a_new_list_tells_what_was_missed_meanwhile() {
    let mut board = listed(&[], vec![task("a"), task("b")]);
    let changes = list(&mut board, vec![task("b").ended(State::Completed, 3), task("c")]);
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0], Change::Deleted { key: key("a") });
    assert_eq!(names(&board), ["b", "c"]);
}

#[test]
fn an_interrupted_list_leaves_the_old_one_in_place() {
    let mut board = listed(&[], vec![task("a")]);
    board.apply(Event::Init);
    board.apply(Event::InitApply(task("b")));
    assert_eq!(names(&board), ["a"]);
    assert_eq!(list(&mut board, vec![task("a")]), []);
    assert_eq!(names(&board), ["a"]);
}

#[test]
fn a_name_that_was_asked_for_is_awaited() {
    let mut board = listed(&["a", "b"], vec![task("a").ended(State::Failed, 1), task("other")]);
    assert!(!board.is_done());
    assert_eq!(board.awaited().collect::<Vec<_>>(), ["b"]);
    board.apply(Event::Apply(task("b").ended(State::Completed, 2)));
    assert!(board.is_done());
    board.apply(Event::Delete(task("b")));
    assert!(board.is_done(), "what is gone is not awaited again");
}

#[test]
fn a_task_keeps_its_place_when_it_is_written_to() {
    let mut board = listed(&[], vec![task("a").arrived_as("5"), task("b").arrived_as("6")]);
    board.apply(Event::Apply(task("a").arrived_as("7").processes_since(1)));
    assert_eq!(names(&board), ["a", "b"]);
}

#[test]
fn tasks_stand_in_the_order_of_their_arrival_as_a_number() {
    let board = listed(
        &[],
        vec![task("late").arrived_as("1000"), task("early").arrived_as("999"), task("first").arrived_as("42")],
    );
    assert_eq!(names(&board), ["first", "early", "late"]);
}

#[test]
fn a_task_that_is_gone_still_counts_as_it_ended() {
    let mut board = listed(&[], vec![task("a"), task("b"), task("c").ended(State::Completed, 1)]);
    board.apply(Event::Delete(task("a").ended(State::Failed, 2)));
    board.apply(Event::Delete(task("b").processes_since(1)));
    list(&mut board, vec![]);
    let counts = board.counts();
    assert_eq!((counts.failed, counts.deleted, counts.completed, counts.total()), (1, 1, 1, 3));
    assert!(board.is_done() && !board.is_empty());
    assert_eq!(board.deleted().collect::<Vec<_>>(), [&key("b")]);
    board.apply(Event::Apply(task("b")));
    assert_eq!((board.counts().deleted, board.counts().queued), (0, 1), "it was made again");
}

#[test]
fn tasks_of_one_name_in_two_namespaces_are_two() {
    let mut elsewhere = task("a");
    elsewhere.metadata.namespace = Some("search".into());
    let mut board = Board::new(&["a".into()]).of_several_namespaces(true);
    list(&mut board, vec![task("a").arrived_as("1"), elsewhere.arrived_as("2")]);
    assert_eq!(names(&board), ["docs/a", "search/a"]);
}
