//! A file system that hangs under the file of SQLite. It is one in memory that a process of the test answers for
//! (`silent-disk`, through /dev/fuse), so that whoever waits for it can be killed, and nothing outlives the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::{SOON, eventually, target};
use task_manager::archive::{Archive, Error, Filter, Guard, Options};
use tokio::time::{sleep, timeout};

use crate::stage::{PATIENT, completed};

/// The test, which begins itself in a process of its own.
const THIS: &str = "frozen_disk::a_disk_that_hangs_costs_a_few_threads_however_many_call_and_is_used_again";
/// Set for that process.
const WITHIN: &str = "CALLS_A_SILENT_DISK";
const DEADLINE: Duration = Duration::from_secs(2);
/// One for each connection to a file, of which one writes, and one that looks at the file.
const THREADS: usize = 6;

struct Disk {
    folder: PathBuf,
    server: Child,
    told: BufReader<ChildStdout>,
}

impl Disk {
    fn mounted() -> Self {
        let folder = target().join("archives").join(format!("disk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut server = Command::new(env!("CARGO_BIN_EXE_silent-disk"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let told = BufReader::new(server.stdout.take().expect("its output"));
        let mut disk = Self { folder, server, told };
        disk.says("mounted");
        disk
    }

    fn archive(&self) -> Archive {
        let url = format!("sqlite://{}/archive.db", self.folder.display());
        Archive::at(&url, &Options { deadline: DEADLINE, ..Options::default() }).expect("a URL")
    }

    /// `freeze`, `hold` or `thaw`.
    fn tell(&mut self, what: &str) {
        writeln!(self.server.stdin.as_mut().expect("its input"), "{what}").expect("it listens");
        self.says("done");
    }

    fn says(&mut self, expected: &str) {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("it says something");
        assert_eq!(line.trim_end(), expected);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It ends with its input, and every wait for it fails.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
        let _ = std::fs::remove_dir(&self.folder);
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("its threads").count()
}

/// How many threads have which name.
fn names_of_threads() -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for thread in std::fs::read_dir("/proc/self/task").expect("its threads").flatten() {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        *names.entry(name.trim_end().to_owned()).or_default() += 1;
    }
    names
}

/// Other work that blocks a thread, or has the process start another: none of it may wait for the disk.
async fn something_else() {
    let blocking = tokio::task::spawn_blocking(|| std::fs::read("/proc/self/cmdline").is_ok());
    assert!(blocking.await.expect("it is done"), "the process can be looked at");
    let found = tokio::net::lookup_host("localhost:80").await.expect("a name is looked up").count();
    assert!(found > 0);
    let room = vec![1_u8; 4 << 20];
    assert_eq!(room.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 4 << 20);
    assert!(tokio::process::Command::new("true").status().await.expect("it is started").success());
}

/// One of the calls that there are, each of which is one statement or a few.
async fn call(archive: &Archive, number: usize) -> Result<(), Error> {
    let uid = format!("u-{number}");
    match number % 6 {
        0 => archive.find("before").await.map(drop),
        1 => archive.list(&Filter::default().dead_letters(), None, 10).await.map(drop),
        2 => archive.count(&Filter::default()).await.map(drop),
        3 => archive.link_replay("before", &uid).await.map(drop),
        4 => archive.by_name("docs", "task-before", "1").await.map(drop),
        _ => archive.put(&completed(&uid, 1)).await,
    }
}

/// A thousand calls at once, each of which fails in time. Returns the most threads that were seen.
async fn a_thousand_calls(archive: &Archive) -> usize {
    let (most, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let calls = async {
        let calls = (0..1000).map(async |number| {
            let began = Instant::now();
            let told = call(archive, number).await.expect_err("the disk hangs");
            assert!(matches!(&told, Error::Down(_)), "{told}");
            began.elapsed()
        });
        let took = join_all(calls).await.into_iter().max().expect("calls");
        is_over.store(true, Ordering::Relaxed);
        took
    };
    let others = async {
        let mut longest = Duration::ZERO;
        while !is_over.load(Ordering::Relaxed) {
            let began = Instant::now();
            something_else().await;
            longest = longest.max(began.elapsed());
            most.fetch_max(threads(), Ordering::Relaxed);
            sleep(Duration::from_millis(20)).await;
        }
        longest
    };
    let (took, other) = tokio::join!(calls, others);
    let most = most.into_inner();
    eprintln!("1,000 calls in {took:?}, other work in {other:?} at most, {most} threads: {:?}", names_of_threads());
    assert!(took < 3 * DEADLINE, "{took:?}");
    most
}

/// It is done again and again until the disk answers.
async fn works(archive: &Archive) {
    for number in 0..6 {
        eventually("it works again", SOON, async || call(archive, number).await.ok()).await;
    }
}

/// Counts threads, and so has a process of its own.
async fn calls_to_an_archive_on_a_disk_that_hangs() {
    let mut disk = Disk::mounted();
    let archive = disk.archive();
    archive.prepare().await.expect("it opens");
    let guard = Guard::of(archive.clone());
    guard.put(&completed("before", 1)).await.expect("it is put");
    archive.make_searchable().await.expect("nothing is missing");
    something_else().await;
    let before = threads();

    // The file is there, and whoever reads or writes it waits: every connection is held.
    disk.tell("hold");
    for _ in 0..2 {
        let more = a_thousand_calls(&archive).await.saturating_sub(before);
        assert!(more <= THREADS, "{more} more threads");
    }
    disk.tell("thaw");
    works(&archive).await;

    disk.tell("freeze");
    let told = guard.put(&completed("u-1", 1)).await.expect_err("the disk hangs");
    assert!(matches!(&told, Error::Down(why) if why.contains("file system")) && !guard.is_up(), "{told}");
    let unopened = disk.archive();
    for _ in 0..3 {
        let more = a_thousand_calls(&archive).await.saturating_sub(before);
        assert!(more <= THREADS, "{more} more threads");
    }
    // One that nobody has opened yet, as after a start: it has a thread of its own that looks at its file.
    let more = a_thousand_calls(&unopened).await.saturating_sub(before);
    assert!(more <= THREADS + 1, "{more} more threads");

    disk.tell("thaw");
    let is_put = eventually("it is put", SOON, async || guard.put(&completed("after", 1)).await.ok());
    tokio::select! {
        () = guard.watch_over() => {}
        () = is_put => {}
    }
    assert!(guard.is_up());
    works(&archive).await;
    works(&unopened).await;
    for uid in ["before", "after"] {
        assert!(archive.find(uid).await.expect("an answer").is_some(), "{uid} is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_costs_a_few_threads_however_many_call_and_is_used_again() {
    if std::env::var_os(WITHIN).is_some() {
        return calls_to_an_archive_on_a_disk_that_hangs().await;
    }
    let is_root = std::fs::metadata("/proc/self").expect("/proc").uid() == 0;
    if !is_root || std::fs::metadata("/dev/fuse").is_err() {
        eprintln!("nothing was tried: mounting a file system needs root and /dev/fuse");
        return;
    }
    let mut calls = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    calls.args(["--exact", THIS, "--nocapture"]);
    let calls = calls.env(WITHIN, "yes").kill_on_drop(true).output();
    let done = timeout(2 * PATIENT, calls).await.expect("it ends").expect("it is started");
    let told = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    eprintln!("{told}");
    assert!(done.status.success() && told.contains("1 passed"), "{told}");
}
