//! A file system that hangs under the file of SQLite: a real one, which `fsfreeze` holds. Not run unless it is asked for
//! (FREEZE_A_DISK=1, as root, with nothing else in the process): SQLite maps a file of it into memory, and a thread that
//! waits for such a page may hold up its whole process, and whoever looks at that. What thaws it is another process.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::{SOON, eventually, target};
use task_manager::archive::{Archive, Error, Guard, Options};

use crate::stage::completed;

const DEADLINE: Duration = Duration::from_secs(2);

/// A small file system in a file.
struct Disk {
    folder: PathBuf,
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|done| done.status.success())
}

impl Disk {
    /// `None` where none can be made.
    fn made() -> Option<Self> {
        let folder = target().join("archives").join(format!("disk-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("mounted")).expect("a folder");
        let (image, disk) = (folder.join("image"), Self { folder });
        let image = image.to_str().expect("a path").to_owned();
        let steps: [(&str, &[&str]); 3] = [
            ("truncate", &["-s", "64M", &image]),
            ("mkfs.ext4", &["-q", "-F", &image]),
            ("mount", &["-o", "loop", &image, &disk.mounted()]),
        ];
        steps.iter().all(|(program, args)| run(program, args)).then_some(disk)
    }

    fn mounted(&self) -> String {
        self.folder.join("mounted").display().to_string()
    }

    fn url(&self) -> String {
        format!("sqlite://{}/archive.db", self.mounted())
    }

    /// Whatever becomes of this process, it is thawed after a minute.
    fn freeze(&self) {
        let thaw = format!("sleep 60; fsfreeze -u {}", self.mounted());
        let started = Command::new("setsid").args(["-f", "sh", "-c", &thaw]).status().expect("somebody thaws it");
        assert!(started.success(), "somebody thaws it");
        assert!(run("fsfreeze", &["-f", &self.mounted()]), "it is frozen");
    }

    fn thaw(&self) {
        run("fsfreeze", &["-u", &self.mounted()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        run("umount", &["-l", &self.mounted()]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("its threads").count()
}

/// More than there are threads for a file, of which SQLite has one for each connection, and fewer than the calls.
const FEW: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_costs_a_few_threads_however_many_call_and_is_used_again() {
    if std::env::var_os("FREEZE_A_DISK").is_none() {
        eprintln!("nothing was tried: FREEZE_A_DISK is not set");
        return;
    }
    let disk = Disk::made().expect("a file system can be made here");
    let archive = Archive::at(&disk.url(), &Options { deadline: DEADLINE, ..Options::default() }).expect("a URL");
    archive.prepare().await.expect("it opens");
    let guard = Guard::of(archive.clone());
    guard.put(&completed("before", 1)).await.expect("it is put");
    disk.freeze();
    let before = threads();
    let told = guard.put(&completed("u-1", 1)).await.expect_err("the disk hangs");
    assert!(matches!(&told, Error::Down(_)) && !guard.is_up(), "{told}");
    for round in 0..3 {
        let calls = (0..100).map(async |number| {
            let began = Instant::now();
            let record = completed(&format!("u-{round}-{number}"), 1);
            let told = archive.put(&record).await.expect_err("the disk hangs");
            assert!(matches!(&told, Error::Down(_)), "{told}");
            began.elapsed()
        });
        let took = join_all(calls).await.into_iter().max().expect("calls");
        assert!(took < 3 * DEADLINE, "{took:?}");
    }
    let more = threads().saturating_sub(before);
    assert!(more < FEW, "{more} more threads");

    disk.thaw();
    let is_put = eventually("it is put", SOON, async || guard.put(&completed("after", 1)).await.ok());
    tokio::select! {
        () = guard.watch_over() => {}
        () = is_put => {}
    }
    assert!(archive.find("after").await.expect("an answer").is_some());
}
