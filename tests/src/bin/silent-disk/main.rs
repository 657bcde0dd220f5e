//! A small file system in memory, mounted at the folder that its argument names, that hangs when its input says so: after
//! the line `freeze` it takes no request, after `hold` it says only whether a file is there, and after `thaw` it answers
//! all. It is unmounted when its input ends.
//!
//! A process that waits for it can be killed, although the kernel lets none go that has such a file in its memory before
//! that is written: this one ends with the process that began it, and every wait for it fails. It also thaws by itself.

mod device;
mod files;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, interval, sleep_until};

use device::{Device, Request};
use files::Files;

/// The longest time that it hangs.
const AT_MOST: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A thread that ends, in the flags that `/proc` has of it.
const ENDS: u64 = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    /// Requests are taken, and most are not answered.
    Holds,
    /// None is taken.
    Frozen,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = std::env::args().nth(1).expect("usage: silent-disk FOLDER");
    let device = Device::open().expect("/dev/fuse can be opened");
    let mounting = tokio::spawn(device.mount(&folder).expect("mount can be started"));
    tokio::spawn(async move {
        assert!(mounting.await.is_ok_and(|is_mounted| is_mounted), "it could not be mounted");
        println!("mounted");
    });
    serve(&device).await;
    // Ends every wait for it with an error.
    drop(device);
    device::unmount(Path::new(&folder));
}

/// Until the input or the parent ends, or the file system is unmounted by somebody else.
async fn serve(device: &Device) {
    let input = std::io::stdin().as_fd().try_clone_to_owned().expect("an input");
    let mut lines = BufReader::new(Receiver::from_owned_fd(input).expect("the input is a pipe")).lines();
    let (mut files, mut held) = (Files::default(), vec![]);
    let (parent, mut looks) = (std::os::unix::process::parent_id(), interval(BETWEEN_LOOKS));
    let (mut mood, mut until) = (Mood::Answers, Instant::now());
    loop {
        tokio::select! {
            biased;
            line = lines.next_line() => {
                mood = match line.ok().flatten().as_deref() {
                    Some("freeze") => Mood::Frozen,
                    Some("hold") => Mood::Holds,
                    Some("thaw") => Mood::Answers,
                    _ => return,
                };
                until = Instant::now() + AT_MOST;
                println!("done");
            }
            _ = looks.tick() => if ends(parent) { return },
            () = sleep_until(until), if mood != Mood::Answers => mood = Mood::Answers,
            request = device.request(), if mood != Mood::Frozen => match request {
                Ok(request) if mood == Mood::Holds && !files::LOOKS.contains(&request.code) => held.push(request),
                Ok(request) => answer(device, &mut files, &request),
                Err(_) => return,
            },
        }
        if mood == Mood::Answers {
            held.drain(..).for_each(|request| answer(device, &mut files, &request));
        }
    }
}

fn answer(device: &Device, files: &mut Files, request: &Request) {
    if let Some(answer) = files.answer(request) {
        device.answer(request.unique, answer);
    }
}

/// That process ends or has ended.
fn ends(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name stands in brackets before all other fields.
    let flags = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(6)?.parse::<u64>().ok());
    flags.is_none_or(|flags| flags & ENDS != 0)
}
