//! The processes of tasks: started as groups of their own, signalled as groups, and none left behind, neither at work nor as a
//! zombie. What leaves its group is found by its environment.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::process::{Child, Command};

/// The largest environment that is searched.
const ENVIRONMENT: u64 = 4 << 20;
/// Processes that start others faster than they are ended are looked for so many times, for two seconds.
const SWEEPS: u32 = 12;

/// The commands that run. Their ends are waited for by whoever started them; those of all other children by `reap`.
#[derive(Clone, Default)]
pub struct Processes {
    commands: Arc<Mutex<HashSet<i32>>>,
}

/// A command that runs, or has ended, and its group.
pub struct Group {
    pub child: Child,
    leader: Option<Pid>,
    processes: Processes,
}

impl Processes {
    /// Starts a command as the leader of a group.
    pub fn start(&self, command: &mut Command) -> io::Result<Group> {
        // Nobody reaps it before it is known.
        let mut commands = self.commands.lock();
        let child = command.process_group(0).spawn()?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        commands.extend(leader.map(|leader| leader.as_raw_nonzero().get()));
        Ok(Group { child, leader, processes: self.clone() })
    }

    /// Waits for children that ended and that nobody else waits for: orphans of tasks, which become this process' own.
    pub fn reap(&self) {
        self.orphans(|_| false);
    }

    /// Kills orphans that have this variable in their environment, until none is left.
    fn sweep(&self, variable: &str) {
        for sweep in 0..SWEEPS {
            if self.orphans(|pid| has(pid, variable)) == 0 {
                return;
            }
            // The children of one that is killed become orphans when it has ended.
            std::thread::sleep(Duration::from_millis(1 << sweep.min(9)));
        }
    }

    /// Waits for the orphans that have ended, and kills those that are to be killed. How many these were.
    fn orphans(&self, is_to_end: impl Fn(i32) -> bool) -> usize {
        let commands = self.commands.lock();
        let mut killed = 0;
        for pid in children().into_iter().filter(|pid| !commands.contains(pid)) {
            let Some(process) = Pid::from_raw(pid) else { continue };
            // Whether it has ended, and whether there is still one of that number, makes no difference.
            let ended = waitpid(Some(process), WaitOptions::NOHANG);
            if matches!(ended, Ok(None)) && is_to_end(pid) {
                let _: rustix::io::Result<()> = kill_process(process, Signal::KILL);
                killed += 1;
            }
        }
        killed
    }
}

impl Group {
    pub fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            let _: rustix::io::Result<()> = kill_process_group(leader, signal);
        }
    }

    /// Kills what is left of the group when its leader has ended, and what left it: it has this file as its result file.
    pub fn end(self, result: &Path) {
        self.signal(Signal::KILL);
        self.processes.clone().sweep(&format!("TASK_RESULT_FILE={}", result.display()));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            self.processes.commands.lock().remove(&leader.as_raw_nonzero().get());
        }
    }
}

/// The children of this process. They are listed by the thread that they became children of; not every kernel lists them.
fn children() -> Vec<i32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists: Vec<_> = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect();
    if lists.is_empty() {
        let own = std::process::id().cast_signed();
        return pids().filter(|pid| parent(*pid) == Some(own)).collect();
    }
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    stat[stat.rfind(')')? + 1..].split_whitespace().nth(1)?.parse().ok()
}

fn has(pid: i32, variable: &str) -> bool {
    let mut environment = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRONMENT).read_to_end(&mut environment));
    read.is_ok() && environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_by_its_parent_and_by_its_environment() {
        let mut child =
            std::process::Command::new("sleep").arg("60").env("TASK_RESULT_FILE", "/r/1").spawn().expect("it starts");
        let pid = child.id().cast_signed();
        assert_eq!(parent(pid), Some(std::process::id().cast_signed()));
        assert!(children().contains(&pid) && pids().any(|other| other == pid));
        // It has its own environment once it is no longer a copy of this process.
        while !has(pid, "TASK_RESULT_FILE=/r/1") {
            std::thread::yield_now();
        }
        assert!(!has(pid, "TASK_RESULT_FILE=/r/10") && !has(pid, "TASK_RESULT_FILE=/r/"));
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(!children().contains(&pid) && parent(pid).is_none());
    }
}
