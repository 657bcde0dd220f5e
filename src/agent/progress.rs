//! Reads TASK_PROGRESS_FILE: JSON objects or percentages, one a line. The last complete line counts.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::api::worker_protocol::ProgressRequest;

/// The end of the file that is looked at: no line is longer.
const TAIL: u64 = 4096;

/// The file, and its end when it was last looked at.
pub struct ProgressFile {
    path: PathBuf,
    seen: Vec<u8>,
    last: Option<ProgressRequest>,
    is_refused: bool,
}

impl ProgressFile {
    pub fn at(path: PathBuf) -> Self {
        Self { path, seen: Vec::new(), last: None, is_refused: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says, where that is news.
    pub fn news(&mut self) -> Option<ProgressRequest> {
        let tail = tail(&self.path).ok()?;
        // A line without an end may be half written; one that stayed the same is not.
        let is_settled = tail == self.seen;
        let report = last_report(&String::from_utf8_lossy(&tail), is_settled);
        self.seen = tail;
        let news = report.filter(|report| self.last.as_ref() != Some(report))?;
        (self.last, self.is_refused) = (Some(news.clone()), false);
        Some(news)
    }

    /// What it last said, unless that was refused.
    pub fn told(&self) -> ProgressRequest {
        self.last.clone().filter(|_| !self.is_refused).unwrap_or_default()
    }

    /// What it last said was refused: it is not said again.
    pub fn refused(&mut self) {
        self.is_refused = true;
    }
}

/// The end of a regular file. Opening a pipe might hang.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

/// The report in the last complete line that is not empty. A line without an end counts if it is settled.
fn last_report(tail: &str, is_settled: bool) -> Option<ProgressRequest> {
    let complete = if is_settled { tail } else { &tail[..tail.rfind('\n')? + 1] };
    complete.lines().rev().map(str::trim).find(|line| !line.is_empty()).and_then(report)
}

/// A line as it may be written; other fields are nobody's concern here.
#[derive(Deserialize)]
struct Line {
    percent: Option<f64>,
    done: Option<f64>,
    total: Option<f64>,
    message: Option<String>,
}

/// `40`, `40.5 %`, or an object with some of percent, done, total and message.
fn report(line: &str) -> Option<ProgressRequest> {
    if line.starts_with('{') {
        let Line { percent, done, total, message } = serde_json::from_str(line).ok()?;
        let report = ProgressRequest { percent, done, total, message };
        return (report != ProgressRequest::default()).then_some(report);
    }
    let number = line.strip_suffix('%').unwrap_or(line).trim_end();
    let percent = serde_json::from_str::<Value>(number).ok()?.as_f64()?;
    Some(ProgressRequest { percent: Some(percent), ..ProgressRequest::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(percent: f64) -> Option<ProgressRequest> {
        Some(ProgressRequest { percent: Some(percent), ..ProgressRequest::default() })
    }

    #[test]
    fn a_percentage_may_be_written_plainly() {
        for (line, read) in [("40", 40.0), ("40.5", 40.5), ("40 %", 40.0), ("100%", 100.0), ("-1", -1.0), ("4e1", 40.0)]
        {
            assert_eq!(report(line), percent(read), "{line}");
        }
        for wrong in ["", "%", "inf", "NaN", "page 4", "4 of 10", "\"40\"", "[40]", "null", "0x10"] {
            assert_eq!(report(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_object_may_hold_more_than_is_reported() {
        let whole =
            ProgressRequest { percent: None, done: Some(4.0), total: Some(10.0), message: Some("page 4".into()) };
        assert_eq!(report(r#"{"done": 4, "total": 10, "message": "page 4", "eta": "soon"}"#), Some(whole));
        assert_eq!(report(r#"{"percent": 40}"#), percent(40.0));
        for wrong in [r#"{"percent": "40"}"#, r#"{"percent": 4"#, "{}", r#"{"eta": 1}"#] {
            assert_eq!(report(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_complete_line_counts() {
        for (text, read) in [
            ("10\n20\n", percent(20.0)),
            ("10\n20\n\n  \n", percent(20.0)),
            ("10\n2", percent(10.0)),
            ("{\"percent\": 10}\n{\"perc", percent(10.0)),
            ("10\r\n", percent(10.0)),
            ("10\nnoise\n", None),
            ("4", None),
            ("", None),
        ] {
            assert_eq!(last_report(text, false), read, "{text:?}");
        }
        assert_eq!(last_report("40", true), percent(40.0), "nobody writes at it any longer");
    }

    #[test]
    fn a_file_is_told_once_for_each_news_whether_it_grows_or_is_replaced() {
        let path = std::env::temp_dir().join(format!("progress-{}", std::process::id()));
        let mut file = ProgressFile::at(path.clone());
        assert_eq!(file.news(), None, "there is none yet");
        std::fs::write(&path, format!("{}\n10\n", "x".repeat(10_000))).expect("written");
        assert_eq!((file.news(), file.news()), (percent(10.0), None));
        std::fs::write(&path, "40").expect("written");
        assert_eq!((file.news(), file.news(), file.news()), (None, percent(40.0), None), "seen twice, it is whole");
        assert_eq!(Some(file.told()), percent(40.0));
        file.refused();
        assert_eq!((file.told(), file.news()), (ProgressRequest::default(), None), "it is not said again");
        std::fs::write(&path, "50\n").expect("written");
        assert_eq!((file.news(), Some(file.told())), (percent(50.0), percent(50.0)));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(file.news(), None);
    }
}
