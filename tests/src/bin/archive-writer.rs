//! Puts records into the archive at a URL without end, and says on a line of its own which one was acknowledged,
//! or what the archive said instead. Tests kill it in the middle of that.

use std::time::Duration;

use harness::open_archive;
use harness::records::completed;
use task_manager::archive::Options;

/// The pause after the archive refused a record.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, name] = &arguments[..] else { panic!("usage: archive-writer URL NAME") };
    let options = Options { deadline: Duration::from_secs(20), ..Options::default() };
    let archive = open_archive(url, &options).await.unwrap_or_else(|error| panic!("{error}"));
    for number in 0.. {
        let record = completed(&format!("{name}-{number}"), number);
        while let Err(error) = archive.put(&record).await {
            println!("{}: {error}", error.label());
            tokio::time::sleep(PAUSE).await;
        }
        println!("put {}", record.summary.uid);
    }
}
