//! Takes requests from /dev/fuse and gives their answers. <https://www.kernel.org/doc/html/latest/filesystems/fuse/fuse.html>
//! and the kernel's `include/uapi/linux/fuse.h` say how they look.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::sleep;

const O_NONBLOCK: i32 = 0o4000;
/// A request is at most what one write carries, and its header.
const LARGEST_REQUEST: usize = 256 << 10;
const HEADER: usize = 40;

/// There is no request, or nothing is mounted yet.
const NONE_YET: [ErrorKind; 2] = [ErrorKind::WouldBlock, ErrorKind::PermissionDenied];
/// The pause after there was none.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// A request that was withdrawn, or whose process was interrupted: there is another one.
const ENOENT: i32 = 2;

pub struct Request {
    pub code: u32,
    pub unique: u64,
    pub node: u64,
    pub body: Vec<u8>,
}

impl Request {
    pub fn u32(&self, at: usize) -> u32 {
        number(&self.body, at)
    }

    pub fn u64(&self, at: usize) -> u64 {
        u64::from(number(&self.body, at)) | u64::from(number(&self.body, at + 4)) << 32
    }

    /// The text from there to the next NUL.
    pub fn name(&self, at: usize) -> String {
        let bytes = self.body.get(at..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_ne_bytes(four.try_into().expect("four bytes")))
}

/// The bytes of an answer, or an error number.
pub type Answer = Result<Vec<u8>, i32>;

pub struct Device(File);

impl Device {
    pub fn open() -> io::Result<Self> {
        File::options().read(true).write(true).custom_flags(O_NONBLOCK).open("/dev/fuse").map(Self)
    }

    /// Whether it could be mounted. The kernel learns by the input of `mount` who answers.
    pub fn mount(&self, folder: &str) -> io::Result<impl Future<Output = bool> + use<>> {
        let mut mounting = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40755,user_id=0,group_id=0", "silent-disk", folder])
            .stdin(Stdio::from(self.0.try_clone()?))
            .spawn()?;
        Ok(async move { mounting.wait().await.is_ok_and(|ended| ended.success()) })
    }

    /// The next one. Fails when the file system is no longer mounted.
    pub async fn request(&self) -> io::Result<Request> {
        let mut bytes = vec![0; LARGEST_REQUEST];
        loop {
            match (&self.0).read(&mut bytes) {
                Ok(length) if length >= HEADER => {
                    bytes.truncate(length);
                    let body = bytes.split_off(HEADER);
                    let header = Request { code: 0, unique: 0, node: 0, body: bytes };
                    return Ok(Request { code: header.u32(4), unique: header.u64(8), node: header.u64(16), body });
                }
                Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if NONE_YET.contains(&error.kind()) => sleep(BETWEEN_LOOKS).await,
                Err(error) if error.raw_os_error() == Some(ENOENT) || error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub fn answer(&self, unique: u64, answer: Answer) {
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(number) => (-number, vec![]),
        };
        let length = u32::try_from(16 + body.len()).expect("it is short");
        let bytes =
            [&length.to_ne_bytes()[..], &i32::to_ne_bytes(error)[..], &unique.to_ne_bytes()[..], &body[..]].concat();
        // Who asked may be gone.
        let _ = (&self.0).write(&bytes);
    }
}

pub fn unmount(folder: &Path) {
    let _ = std::process::Command::new("umount").arg("-l").arg(folder).status();
}
