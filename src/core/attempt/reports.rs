//! Reports of the work over HTTP: its progress, the error for which it will fail, and that its result is stored. Here they
//! are read with bounds; `task` decides what follows from them.

use serde::{Deserialize, Serialize};

use super::id::AttemptId;
use task_manager_api::{Progress, ReportedError, ResultRef};

/// Characters of a progress' message.
const PROGRESS_MESSAGE: usize = 256;
/// Characters of an error's message, and of its type.
pub(crate) const ERROR_MESSAGE: usize = 1024;
pub(crate) const ERROR_TYPE: usize = 128;
/// Floats above this are not known to the last digit.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Everything that one attempt has reported so far, and from which pod. Another attempt begins with nothing, also in the same pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reports {
    pub attempt: AttemptId,
    /// The uid of the pod that reported.
    pub pod: String,
    pub progress: Option<Progress>,
    pub error: Option<ReportedError>,
    pub result: Option<ResultRef>,
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// It is alive, and no more.
    Heartbeat,
    Progress(Progress),
    Error(ReportedError),
    /// Its result is in the store.
    Result(ResultRef),
}

impl Reports {
    pub fn none(attempt: AttemptId, pod: &str) -> Self {
        Self { attempt, pod: pod.into(), progress: None, error: None, result: None }
    }

    /// The last report of each kind counts.
    pub fn take(&mut self, report: Report) {
        match report {
            Report::Heartbeat => {}
            Report::Progress(progress) => self.progress = Some(progress),
            Report::Error(error) => self.error = Some(error),
            Report::Result(result) => self.result = Some(result),
        }
    }
}

/// Why a report is refused, and for which field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{why}")]
pub struct InvalidReport {
    pub field: Option<&'static str>,
    pub why: &'static str,
}

/// A progress report. A percentage is kept within 0 and 100, and rounded down; numbers of items are
/// whole.
pub fn progress(
    percent: Option<f64>,
    done: Option<f64>,
    total: Option<f64>,
    message: Option<&str>,
) -> Result<Progress, InvalidReport> {
    let message = message.map(|text| line(text, PROGRESS_MESSAGE)).filter(|text| !text.is_empty());
    let progress = Progress {
        percent: percent.map(|percent| percent.clamp(0.0, 100.0) as i32),
        done: done.map(|done| count(done, "done")).transpose()?,
        total: total.map(|total| count(total, "total")).transpose()?,
        message,
        updated_at: None,
    };
    if progress == Progress::default() {
        return Err(InvalidReport { field: None, why: "say how far it is: percent, done, total or message" });
    }
    Ok(progress)
}

fn count(number: f64, field: &'static str) -> Result<i64, InvalidReport> {
    let is_count = number.fract() == 0.0 && (0.0..=EXACT).contains(&number);
    if is_count {
        Ok(number as i64)
    } else {
        Err(InvalidReport { field: Some(field), why: "it counts items: 0, 1, 2 and so on" })
    }
}

/// A report of the error for which the work will fail.
pub fn error(
    type_: Option<&str>,
    message: Option<&str>,
    retryable: Option<bool>,
) -> Result<ReportedError, InvalidReport> {
    let text = |text: Option<&str>, most| text.map(|text| line(text, most)).filter(|text| !text.is_empty());
    let error = ReportedError { type_: text(type_, ERROR_TYPE), message: text(message, ERROR_MESSAGE), retryable };
    if error == ReportedError::default() {
        return Err(InvalidReport { field: None, why: "say what is wrong: type, message or retryable" });
    }
    Ok(error)
}

/// Two reports say the same, whenever they were written.
pub fn same(one: &Progress, other: &Progress) -> bool {
    let undated = |progress: &Progress| Progress { updated_at: None, ..progress.clone() };
    undated(one) == undated(other)
}

/// `text` in one line of at most so many characters.
fn line(text: &str, most: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    crate::telling::text::cut(clean.trim(), most)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percentage_is_kept_within_its_bounds() {
        for (said, kept) in [(40.0, 40), (40.9, 40), (-3.0, 0), (250.0, 100), (1e300, 100)] {
            assert_eq!(
                progress(Some(said), None, None, None).map(|progress| progress.percent),
                Ok(Some(kept)),
                "{said}"
            );
        }
    }

    #[test]
    fn items_are_counted_in_whole_numbers_however_they_are_written() {
        let counted = progress(None, Some(125.0), Some(1e3), None).expect("numbers");
        assert_eq!((counted.done, counted.total), (Some(125), Some(1000)));
        for wrong in [1.5, -1.0, 1e300] {
            assert_eq!(progress(None, None, Some(wrong), None).map_err(|why| why.field), Err(Some("total")), "{wrong}");
        }
    }

    #[test]
    fn who_says_nothing_is_told_what_to_say() {
        assert!(progress(None, None, None, Some(" \n")).is_err());
        assert!(error(None, Some(""), None).is_err());
        assert!(error(None, None, Some(false)).is_ok());
    }

    #[test]
    fn the_last_report_of_each_kind_counts() {
        let attempt = AttemptId { uid: "uid".into(), run_id: "1".into(), began: Timestamp::UNIX_EPOCH, attempt: 1 };
        let mut reports = Reports::none(attempt, "p");
        for percent in [10.0, 20.0] {
            reports.take(Report::Progress(progress(Some(percent), None, None, None).expect("clear")));
        }
        reports.take(Report::Error(error(Some("Broken"), None, None).expect("clear")));
        assert_eq!(reports.progress.and_then(|progress| progress.percent), Some(20));
        assert_eq!((reports.error.and_then(|error| error.type_).as_deref(), reports.result), (Some("Broken"), None));
    }

    proptest! {
        #[test]
        fn texts_are_one_line_and_short(text in "(?s).{0,2000}") {
            let message = progress(Some(1.0), None, None, Some(&text)).expect("clear").message.unwrap_or_default();
            prop_assert!(message.chars().count() <= PROGRESS_MESSAGE && !message.contains(char::is_control));
            let said = error(Some(&text), Some(&text), Some(true)).expect("clear");
            for text in [said.type_, said.message].into_iter().flatten() {
                prop_assert!(text.chars().count() <= ERROR_MESSAGE && !text.contains(char::is_control));
            }
        }
    }
}
