use kube::runtime::watcher::Event;

use super::*;
use crate::{
    api::{AttemptOutcome, Priority, Reason, State},
    follow::fixtures::{Story, at, task},
};

fn board(tasks: impl IntoIterator<Item = Task>) -> Board {
    board_of(Board::new(&[]), tasks)
}

fn board_of(mut board: Board, tasks: impl IntoIterator<Item = Task>) -> Board {
    board.apply(Event::Init);
    for task in tasks {
        board.apply(Event::InitApply(task));
    }
    board.apply(Event::InitDone);
    board
}

fn picture(board: &Board, columns: usize, lines: usize) -> Vec<String> {
    let lines = frame(board, at(20), Duration::from_secs(42), None, Size { columns, lines });
    lines.iter().map(Line::plain).collect()
}

fn some() -> Board {
    board([
        task("bake").was_queued(0).tried(3, 8, AttemptOutcome::Succeeded).ended(State::Completed, 8).saying("done"),
        task("cook").was_queued(0).processes_since(9).of_priority(Priority::Critical),
        task("dine").was_queued(5).tried(6, 7, AttemptOutcome::Failed).waits_for_retry(25).saying("it fell"),
    ])
}

#[test]
fn a_wide_terminal_shows_everything() {
    assert_eq!(
        picture(&some(), 110, 24),
        [
            "NAME  TYPE  PRIORITY  STATE       REASON           TRY  WAITED  RAN  MESSAGE",
            "bake  demo  normal    Completed                      1      3s   5s  done",
            "cook  demo  critical  Processing  Running            1      9s  11s",
            "dine  demo  normal    Queued      WaitingForRetry    1     14s   1s  again in 5s: it fell",
            "██████░░░░░░░░░░░░░░  1 of 3 final   1 processing, 1 queued, 1 completed   42s",
        ]
    );
}

/// Long names, a failure, a task that is stuck, and one that waits.
fn troubled() -> Board {
    let long = "the work ended with exit code 3: IOError: the disk said no to page 4711 of the document";
    board([
        task("nightly-import-of-documents-0007").was_queued(0).processes_since(9).saying("on local"),
        task("nightly-import-of-documents-0008")
            .was_queued(0)
            .tried(1, 4, AttemptOutcome::Failed)
            .waits_for_retry(25)
            .saying("it fell"),
        task("fails").was_queued(0).tried(1, 4, AttemptOutcome::Failed).ended(State::Failed, 4).saying(long),
        task("stuck").was_queued(0).admitted_since(5).because(Reason::ImageUnavailable).saying("no such image"),
        task("waits").was_queued(0),
    ])
}

#[test]
fn at_80_columns_name_state_reason_and_message_are_shown() {
    assert_eq!(
        picture(&troubled(), 80, 24),
        [
            "NAME                      STATE       REASON            MESSAGE",
            "stuck                     Processing  ImageUnavailable  no such image",
            "fails                     Failed      ExitCode",
            "    the work ended with exit code 3: IOError: the disk said no to page 4711 of",
            "    the document",
            "nightly-import-o…ts-0007  Processing  Running           on local",
            "nightly-import-o…ts-0008  Queued      WaitingForRetry   again in 5s: it fell",
            "waits                     Queued",
            "████░░░░░░░░░░░░░░░░  1 of 5 final   2 processing, 2 queued, 1 failed   42s",
        ]
    );
}

#[test]
fn at_100_columns_more_columns_come_in() {
    let lines = picture(&troubled(), 100, 24);
    assert_eq!(lines[0], "NAME                              STATE       REASON            TRY  RAN  MESSAGE");
    assert_eq!(lines[1], "stuck                             Processing  ImageUnavailable    1       no such image");
    let short = picture(&some(), 100, 24);
    assert_eq!(short[0], "NAME  TYPE  PRIORITY  STATE       REASON           TRY  WAITED  RAN  MESSAGE");
}

#[test]
fn at_140_columns_everything_is_shown() {
    assert_eq!(
        picture(&troubled(), 140, 24)[..5],
        [
            "NAME                              TYPE  PRIORITY  STATE       REASON            TRY  WAITED  RAN  MESSAGE",
            "stuck                             demo  normal    Processing  ImageUnavailable    1      5s       no such image",
            "fails                             demo  normal    Failed      ExitCode            1      1s   3s",
            "    the work ended with exit code 3: IOError: the disk said no to page 4711 of the document",
            "nightly-import-of-documents-0007  demo  normal    Processing  Running             1      9s  11s  on local",
        ]
    );
}

#[test]
fn a_narrow_terminal_tells_beneath_the_row_what_failed_and_waits() {
    assert_eq!(
        picture(&troubled(), 50, 24),
        [
            "NAME                  STATE       REASON",
            "stuck                 Processing  ImageUnavailable",
            "    no such image",
            "fails                 Failed      ExitCode",
            "    the work ended with exit code 3: IOError: the",
            "    disk said no to page 4711 of the document",
            "nightly-impor…s-0007  Processing  Running",
            "nightly-impor…s-0008  Queued      WaitingForRetry",
            "    again in 5s: it fell",
            "waits                 Queued",
            "1 of 5 final   2 processing, 2 queued, 1 failed  …",
        ]
    );
}

#[test]
fn a_reason_without_a_column_begins_the_line_beneath() {
    let lines = picture(&troubled(), 36, 24);
    assert_eq!(lines[0], "NAME                      STATE");
    assert!(lines.iter().any(|line| line.starts_with("    ExitCode: the work ended with")), "{lines:?}");
}

#[test]
fn where_lines_are_few_a_message_stays_in_its_row_and_is_cut() {
    let lines = picture(&troubled(), 80, 8);
    assert_eq!(lines[2], "fails                     Failed      ExitCode          the work ended with exi…");
    assert_eq!(lines.len(), 7);
}

#[test]
fn a_narrow_terminal_with_few_lines_shows_trouble_first() {
    let lines = picture(&troubled(), 50, 8);
    let first: Vec<&str> = lines.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first, ["NAME", "stuck", "no", "nightly-impor…s-0007", "…", "1"], "{lines:?}");
}

#[test]
fn tasks_of_all_namespaces_have_a_column_for_it() {
    let mut elsewhere = task("a-task-with-quite-a-long-name").was_queued(0);
    elsewhere.metadata.namespace = Some("team-search-production".into());
    let board = board_of(Board::new(&[]).of_several_namespaces(true), [task("a").was_queued(0), elsewhere]);
    let lines = picture(&board, 100, 24);
    assert_eq!(lines[0], "NAMESPACE               NAME                           STATE   REASON  TRY  MESSAGE");
    assert_eq!(lines[2], "team-search-production  a-task-with-quite-a-long-name  Queued");
}

#[test]
fn no_line_is_ever_wider_than_the_terminal_nor_the_picture_higher() {
    let long = |at: usize| task(&format!("{at}-{}", "n".repeat(200))).saying(&"日本語 ".repeat(100)).processes_since(1);
    let board = board((0..40).map(long));
    for columns in (0..200).step_by(3) {
        for lines in [0, 1, 5, 24, 60] {
            let frame = frame(&board, at(20), Duration::MAX, Some("a note"), Size { columns, lines });
            assert!(frame.iter().all(|line| line.width() <= columns), "{columns}");
            assert!(frame.len() < lines.max(6), "{} lines in {lines}", frame.len());
        }
    }
}

#[test]
fn where_not_all_have_room_the_running_and_the_latest_are_shown() {
    let done = |n: i64| task(&format!("done-{n}")).was_queued(0).ended(State::Completed, n);
    let tasks =
        (0..9).map(done).chain((0..9).map(|n| task(&format!("wait-{n}")))).chain([task("work").processes_since(3)]);
    let lines = picture(&board(tasks), 80, 10);
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["NAME", "done-6", "done-7", "done-8", "wait-0", "wait-1", "work", "…", "█████████░░░░░░░░░░░"]);
    assert!(lines[7].contains("13 more"), "{lines:?}");
}

#[test]
fn an_empty_namespace_has_a_picture_too() {
    assert_eq!(picture(&board([]), 80, 24)[1], "░░░░░░░░░░░░░░░░░░░░  0 of 0 final   42s");
}
