//! How following ended, and the exit code that a script reads. Pure.

use super::counts::Counts;
use super::options::Scope;

/// The end of following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All tasks are final, failed ones included, or gone.
    AllFinal(Counts),
    /// There is no task to follow.
    Nothing,
    /// The time was over before all were final.
    TimeOver,
    /// The user ended it.
    Interrupted,
    /// Whoever read the output has stopped reading: "follow | head".
    ReaderGone,
}

impl Outcome {
    /// The exit code. `--help` and docs/follow.md list them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::AllFinal(counts) if counts.failed > 0 => 4,
            Self::AllFinal(counts) if counts.cancelled + counts.deleted > 0 => 5,
            Self::AllFinal(_) => 0,
            Self::TimeOver => 3,
            Self::Nothing => 6,
            Self::Interrupted => 130,
            Self::ReaderGone => 141,
        }
    }

    /// The sentence that ends the output, where its last lines do not say it already.
    pub fn told(&self, scope: &Scope) -> Option<String> {
        match self {
            Self::AllFinal(_) | Self::ReaderGone => None,
            Self::Nothing => Some(format!("There is no task to follow in {scope}.")),
            Self::TimeOver => Some("The time is over before all tasks are final.".into()),
            Self::Interrupted => Some("Interrupted: following ends, the tasks go on by themselves.".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_the_worst_end() {
        let code = |failed, cancelled, deleted| {
            Outcome::AllFinal(Counts { completed: 3, failed, cancelled, deleted, ..Counts::default() }).exit_code()
        };
        assert_eq!([code(0, 0, 0), code(1, 0, 0), code(1, 1, 1), code(0, 1, 0), code(0, 0, 1)], [0, 4, 4, 5, 5]);
    }

    #[test]
    fn other_ends_have_codes_of_their_own() {
        let codes = [Outcome::TimeOver, Outcome::Nothing, Outcome::Interrupted, Outcome::ReaderGone];
        assert_eq!(codes.map(|outcome| outcome.exit_code()), [3, 6, 130, 141]);
    }
}
