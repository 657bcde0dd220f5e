//! `task-manager follow`: shows tasks live until all are final, then reports.
//!
//! It only looks: nothing here writes to the cluster. `source` watches, `terminal` draws, this file ties the parts
//! together, and all others are pure.

mod board;
mod counts;
#[cfg(test)]
mod fixtures;
mod options;
mod outcome;
mod report;
mod source;
mod spans;
mod table;
mod terminal;
mod text;
mod timeline;
mod told;
mod view;
mod waits;

use std::{
    future, io,
    pin::pin,
    time::{Duration, Instant},
};

use futures::StreamExt;
use jiff::{Timestamp, tz::TimeZone};
use kube::{Client, runtime::watcher};
use tokio::time::MissedTickBehavior;

use board::{Board, Change};

pub use options::FollowOptions;
use options::Scope;
pub use outcome::Outcome;
use terminal::Screen;
use text::{Line, Tone};
use told::{Told, told};
use view::Stage;
use waits::Waits;

use crate::errors::innermost;

/// The picture is drawn at most five times a second.
const BETWEEN_PICTURES: Duration = Duration::from_millis(200);
/// So often it is found out what the tasks wait for.
const BETWEEN_EXPLANATIONS: Duration = Duration::from_secs(1);
/// The time for which an API server is waited for that has never answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time for which a connection problem is shown after it last occurred.
const TROUBLE_SHOWN: Duration = Duration::from_secs(10);

/// None of them has a source: the text tells the innermost cause, and only that helps a person.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("there is no namespace {0}")]
    NoNamespace(String),

    #[error("the API server knows no tasks: apply the CustomResourceDefinitions of crds/ first ({})", innermost(.0))]
    NotInstalled(watcher::Error),

    #[error("the API server refused to list the tasks of {scope}: {}", innermost(.error))]
    Refused { scope: Scope, error: watcher::Error },

    #[error("the API server could not be reached for {} seconds: {}", PATIENCE.as_secs(), innermost(.0))]
    Unreachable(watcher::Error),

    #[error("the watch on the tasks of {0} ended by itself")]
    WatchEnded(Scope),

    #[error("failed to write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Follows tasks as `options` say, and prints what happens on standard output.
pub async fn follow(client: Client, options: &FollowOptions) -> Result<Outcome, FollowError> {
    let scope = options.scope(client.default_namespace());
    let mut follower = Follower::new(options, scope);
    match follower.follow(client).await {
        Err(FollowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::ReaderGone),
        ended => ended,
    }
}

struct Follower<'a> {
    options: &'a FollowOptions,
    scope: Scope,
    board: Board,
    waits: Waits,
    screen: Screen,
    began: Instant,
    /// The last trouble with the connection, and when it was.
    trouble: Option<(Instant, String)>,
    drawn: Option<Instant>,
    changed: bool,
}

impl<'a> Follower<'a> {
    fn new(options: &'a FollowOptions, scope: Scope) -> Self {
        Self {
            options,
            board: Board::new(&options.names).of_several_namespaces(scope == Scope::All),
            waits: Waits::default(),
            scope,
            screen: Screen::stdout(),
            began: Instant::now(),
            trouble: None,
            drawn: None,
            changed: true,
        }
    }

    async fn follow(&mut self, client: Client) -> Result<Outcome, FollowError> {
        let mut time_over = pin!(after(self.options.timeout_seconds));
        let mut interrupted = pin!(interruption());
        let outcome = tokio::select! {
            outcome = self.watch(client) => outcome?,
            () = &mut time_over => Outcome::TimeOver,
            () = &mut interrupted => Outcome::Interrupted,
        };
        self.conclude(outcome)?;
        Ok(outcome)
    }

    async fn watch(&mut self, client: Client) -> Result<Outcome, FollowError> {
        if let Scope::One(namespace) = &self.scope
            && source::is_missing(client.clone(), namespace).await
        {
            return Err(FollowError::NoNamespace(namespace.clone()));
        }
        let mut beside = pin!(source::beside(&client, &self.scope, self.options));
        let mut events = pin!(source::watch(client, &self.scope, self.options));
        let mut pictures = tokio::time::interval(BETWEEN_PICTURES);
        pictures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut explanations = tokio::time::interval(BETWEEN_EXPLANATIONS);
        explanations.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => self.take(event)?,
                Some(change) = beside.next() => self.waits.take_in(&change),
                _ = explanations.tick() => self.explain()?,
                _ = pictures.tick(), if self.screen.is_live() => self.draw_if_due()?,
            }
            if let Some(outcome) = self.outcome() {
                return Ok(outcome);
            }
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        let over = self.board.is_done() && !self.options.watch;
        over.then(|| if self.board.is_empty() { Outcome::Nothing } else { Outcome::AllFinal(self.board.counts()) })
    }

    fn take(&mut self, event: Option<watcher::Result<watcher::Event<crate::api::Task>>>) -> Result<(), FollowError> {
        match event {
            Some(Ok(event)) => {
                if !self.options.follows_some() {
                    self.waits.take_in_task(&event);
                }
                let changes = self.board.apply(event);
                self.tell(&changes)
            }
            Some(Err(error)) => self.bear(error),
            None => Err(FollowError::WatchEnded(self.scope.clone())),
        }
    }

    fn explain(&mut self) -> Result<(), FollowError> {
        let (waits, now) = (&mut self.waits, Timestamp::now());
        let changes = self.board.explain(|task| waits.of(task, now));
        self.tell(&changes)
    }

    fn tell(&mut self, changes: &[Change]) -> Result<(), FollowError> {
        self.changed = true;
        if self.screen.is_live() { Ok(()) } else { self.log(changes) }
    }

    /// Before the first list some errors end it all; later the watch is tried again without end.
    fn bear(&mut self, error: watcher::Error) -> Result<(), FollowError> {
        if !self.board.is_listed() {
            match source::refusal(&error) {
                Some(404) => return Err(FollowError::NotInstalled(error)),
                Some(_) => return Err(FollowError::Refused { scope: self.scope.clone(), error }),
                None if self.began.elapsed() > PATIENCE => return Err(FollowError::Unreachable(error)),
                None => {}
            }
        }
        let trouble = format!("trying again: {}", innermost(&error));
        // A stream of lines tells the same trouble once, however often it returns.
        if !self.screen.is_live() && self.present_trouble() != Some(&trouble) {
            self.screen.print(&[Line::of(Tone::Caution, text::clean(&trouble))])?;
        }
        self.trouble = Some((Instant::now(), trouble));
        self.changed = true;
        Ok(())
    }

    fn present_trouble(&self) -> Option<&String> {
        self.trouble.as_ref().filter(|(at, _)| at.elapsed() < TROUBLE_SHOWN).map(|(_, said)| said)
    }

    /// One line per change, for a stream that is no terminal.
    fn log(&mut self, changes: &[Change]) -> Result<(), FollowError> {
        let now = Timestamp::now();
        let lines: Vec<Line> = changes.iter().map(|change| log_line(&self.board, change, now)).collect();
        Ok(self.screen.print(&lines)?)
    }

    /// When something changed, and each second for the clocks.
    fn draw_if_due(&mut self) -> Result<(), FollowError> {
        let stale = self.drawn.is_none_or(|drawn| drawn.elapsed() >= Duration::from_secs(1));
        if self.board.is_listed() && (self.changed || stale) || self.trouble.is_some() && stale {
            self.draw()?;
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), FollowError> {
        let note = self.present_trouble().map(String::as_str);
        let lines = table::frame(&self.board, Timestamp::now(), self.began.elapsed(), note, self.screen.size());
        self.screen.redraw(&lines)?;
        self.drawn = Some(Instant::now());
        self.changed = false;
        Ok(())
    }

    fn conclude(&mut self, outcome: Outcome) -> Result<(), FollowError> {
        if self.screen.is_live() && self.board.is_listed() && !self.board.is_empty() {
            self.draw()?;
        }
        if self.board.is_listed() && !self.board.is_empty() {
            let columns = self.screen.size().columns;
            let lines = report::report(&self.board, &self.scope, Timestamp::now(), columns);
            self.screen.print(&lines)?;
        }
        let said = outcome.told(&self.scope);
        let said: Vec<Line> = said.map(|said| Line::of(Tone::Caution, text::clean(&said))).into_iter().collect();
        Ok(self.screen.print(&said)?)
    }
}

/// "18:02:11  bake-bread  Failed (OOMKilled), attempt 2: killed for using more memory than its limit"
fn log_line(board: &Board, change: &Change, now: Timestamp) -> Line {
    let at = now.to_zoned(TimeZone::system()).strftime("%H:%M:%S  ").to_string();
    let line = Line::of(Tone::Dim, at);
    match change {
        Change::Deleted { key } => line.and(Tone::Caution, format!("{}  deleted", board.name_of(key))),
        Change::Moved { key, stage } => {
            let unknown = || Told { reason: stage.reason, message: String::new() };
            let Told { reason, message } = board.get(key).map_or_else(unknown, |task| told(task, now));
            let stage = Stage { reason, ..stage.clone() };
            let message = if message.is_empty() { message } else { format!(": {message}") };
            line.and(Tone::Plain, format!("{}  ", board.name_of(key)))
                .and(view::tone(stage.state, stage.reason), stage.told())
                .and(Tone::Plain, message)
        }
    }
}

async fn after(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => future::pending().await,
    }
}

async fn interruption() {
    if tokio::signal::ctrl_c().await.is_err() {
        future::pending().await
    }
}
