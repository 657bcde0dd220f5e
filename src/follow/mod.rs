//! `task-manager follow`: shows the tasks of a namespace live until all are final, then reports.
//!
//! It only looks: nothing here writes to the cluster. `board`, `view`, `spans`, `table`, `timeline`, `report` and
//! `text` are pure; `source` watches, `terminal` draws, and this file ties them together.

mod board;
#[cfg(test)]
mod fixtures;
mod report;
mod source;
mod spans;
mod table;
mod terminal;
mod text;
mod timeline;
mod view;

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
use terminal::Screen;
use text::{Line, Tone};
pub use view::Counts;

/// The picture is drawn at most five times a second.
const BETWEEN_PICTURES: Duration = Duration::from_millis(200);
/// The time for which an API server is waited for that has never answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time for which a connection problem is shown after it last occurred.
const TROUBLE_SHOWN: Duration = Duration::from_secs(10);

/// Shows tasks live until all of them are final, then reports.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct FollowOptions {
    /// The tasks to follow; one that does not exist yet is waited for. Default: all of the namespace.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// The namespace of the tasks.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,

    /// Only tasks with these labels. Example: team=search,stage!=test.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// Go on when all tasks are final, until interrupted.
    #[arg(short, long)]
    pub watch: bool,

    /// Give up after so many seconds and say what is not final (exit code 3). Default: never.
    #[arg(long, value_name = "SECONDS")]
    pub timeout_seconds: Option<u64>,
}

/// The end of following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All tasks are final, failed ones included.
    AllFinal(Counts),
    /// There is no task to follow.
    Nothing,
    /// The time was over before all were final.
    TimeOver(Counts),
    /// The user ended it.
    Interrupted,
    /// Whoever read the output has stopped reading: "follow | head".
    ReaderGone,
}

impl Outcome {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::AllFinal(_) | Self::Nothing => 0,
            Self::TimeOver(_) => 3,
            Self::Interrupted => 130,
            Self::ReaderGone => 141,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("the API server knows no tasks: apply the CustomResourceDefinitions of crds/ first ({})", source::told(.source))]
    NotInstalled { source: watcher::Error },

    #[error("the API server refused to list the tasks of namespace {namespace}: {}", source::told(.source))]
    Refused { namespace: String, source: watcher::Error },

    #[error("the API server could not be reached for {} seconds: {}", PATIENCE.as_secs(), source::told(.source))]
    Unreachable { source: watcher::Error },

    #[error("the watch on the tasks of namespace {namespace} ended by itself")]
    WatchEnded { namespace: String },

    #[error("failed to write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Follows tasks as `options` say, and prints what happens on standard output.
pub async fn follow(client: Client, options: &FollowOptions) -> Result<Outcome, FollowError> {
    let mut follower = Follower::new(options);
    match follower.follow(client).await {
        Err(FollowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::ReaderGone),
        ended => ended,
    }
}

struct Follower<'a> {
    options: &'a FollowOptions,
    board: Board,
    screen: Screen,
    began: Instant,
    /// The last trouble with the connection, and when it was.
    trouble: Option<(Instant, String)>,
    drawn: Option<Instant>,
    changed: bool,
}

impl<'a> Follower<'a> {
    fn new(options: &'a FollowOptions) -> Self {
        Self {
            options,
            board: Board::new(&options.names),
            screen: Screen::stdout(),
            began: Instant::now(),
            trouble: None,
            drawn: None,
            changed: true,
        }
    }

    async fn follow(&mut self, client: Client) -> Result<Outcome, FollowError> {
        let outcome = self.watch(client).await?;
        self.conclude(outcome)?;
        Ok(outcome)
    }

    async fn watch(&mut self, client: Client) -> Result<Outcome, FollowError> {
        let mut events = pin!(source::watch(client, self.options));
        let mut time_over = pin!(after(self.options.timeout_seconds));
        let mut interrupted = pin!(interruption());
        let mut pictures = tokio::time::interval(BETWEEN_PICTURES);
        pictures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => self.take(event)?,
                _ = pictures.tick(), if self.screen.is_live() => self.draw_if_due()?,
                () = &mut time_over => return Ok(Outcome::TimeOver(self.counts())),
                () = &mut interrupted => return Ok(Outcome::Interrupted),
            }
            if let Some(outcome) = self.outcome() {
                return Ok(outcome);
            }
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        let over = self.board.is_done() && !self.options.watch;
        over.then(|| if self.board.is_empty() { Outcome::Nothing } else { Outcome::AllFinal(self.counts()) })
    }

    fn counts(&self) -> Counts {
        Counts::of(self.board.tasks())
    }

    fn take(&mut self, event: Option<watcher::Result<watcher::Event<crate::api::Task>>>) -> Result<(), FollowError> {
        match event {
            Some(Ok(event)) => {
                let changes = self.board.apply(event);
                self.changed = true;
                if self.screen.is_live() { Ok(()) } else { self.log(&changes) }
            }
            Some(Err(error)) => self.bear(error),
            None => Err(FollowError::WatchEnded { namespace: self.options.namespace.clone() }),
        }
    }

    /// Before the first list some errors end it all; later the watch is tried again without end.
    fn bear(&mut self, error: watcher::Error) -> Result<(), FollowError> {
        if !self.board.is_listed() {
            match source::refusal(&error) {
                Some(404) => return Err(FollowError::NotInstalled { source: error }),
                Some(_) => {
                    return Err(FollowError::Refused { namespace: self.options.namespace.clone(), source: error });
                }
                None if self.began.elapsed() > PATIENCE => return Err(FollowError::Unreachable { source: error }),
                None => {}
            }
        }
        let trouble = format!("trying again: {}", source::told(&error));
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
        let columns = self.screen.size().columns;
        let lines: Vec<Line> = changes.iter().map(|change| log_line(&self.board, change, now).cut(columns)).collect();
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
        let said = match outcome {
            Outcome::AllFinal(_) | Outcome::ReaderGone => None,
            Outcome::Nothing => Some(format!("There is no task to follow in namespace {}.", self.options.namespace)),
            Outcome::TimeOver(_) => Some("The time is over before all tasks are final.".into()),
            Outcome::Interrupted => Some("Interrupted: following ends, the tasks go on by themselves.".into()),
        };
        if self.board.is_listed() && !self.board.is_empty() {
            let columns = self.screen.size().columns;
            let lines = report::report(&self.board, &self.options.namespace, Timestamp::now(), columns);
            self.screen.print(&lines)?;
        }
        let said: Vec<Line> = said.map(|said| Line::of(Tone::Caution, text::clean(&said))).into_iter().collect();
        Ok(self.screen.print(&said)?)
    }
}

/// "18:02:11  bake-bread  Failed (OOMKilled), attempt 2: killed for using more memory than its limit"
fn log_line(board: &Board, change: &Change, now: Timestamp) -> Line {
    let at = now.to_zoned(TimeZone::system()).strftime("%H:%M:%S  ").to_string();
    let line = Line::of(Tone::Dim, at);
    match change {
        Change::Deleted { name } => line.and(Tone::Caution, format!("{name}  deleted")),
        Change::Moved { name, stage } => {
            let detail = board.get(name).map(|task| view::detail(task, now)).filter(|detail| !detail.is_empty());
            line.and(Tone::Plain, format!("{name}  "))
                .and(view::tone(stage.state, stage.reason), stage.told())
                .and(Tone::Plain, detail.map(|detail| format!(": {detail}")).unwrap_or_default())
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
