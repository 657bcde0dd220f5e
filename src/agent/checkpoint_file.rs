//! TASK_CHECKPOINT_FILE: whether something new is in it, and is whole. Work that writes beside it and renames is never read half
//! way. One that is written in place is taken when it has stayed the same for a second, or when the work has ended by itself.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::api::worker_protocol::LARGEST_CHECKPOINT_BYTES;

/// The file, and how it was when it was last looked at.
pub struct CheckpointFile {
    path: PathBuf,
    seen: Option<Stamp>,
    /// The one that was taken last.
    taken: Option<Stamp>,
    digest: Option<[u8; 32]>,
}

/// Tells two contents of a file apart, mostly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

/// Something new in the file.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Nothing,
    Checkpoint(Vec<u8>),
    /// More bytes than the operator takes.
    TooLarge(u64),
}

impl CheckpointFile {
    pub fn at(path: PathBuf) -> Self {
        Self { path, seen: None, taken: None, digest: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts what an earlier attempt left into the file: whole or not at all.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let part = self.path.with_extension("part");
        fs::write(&part, content)?;
        fs::rename(&part, &self.path)?;
        let stamp = fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata))?;
        (self.seen, self.taken, self.digest) = (Some(stamp), Some(stamp), Some(Sha256::digest(content).into()));
        Ok(())
    }

    /// Notes how the file is now.
    pub fn look(&mut self) {
        self.seen = self.stamp();
    }

    /// Takes what is new and whole. Where the work `has_ended` by itself, nobody is in the middle of writing.
    pub fn news(&mut self, has_ended: bool) -> News {
        let Some(stamp) = self.stamp() else { return News::Nothing };
        let is_whole = has_ended || self.is_whole(stamp);
        self.seen = Some(stamp);
        if self.taken == Some(stamp) || !is_whole {
            return News::Nothing;
        }
        if stamp.bytes > LARGEST_CHECKPOINT_BYTES as u64 {
            self.taken = Some(stamp);
            return News::TooLarge(stamp.bytes);
        }
        // It was replaced or grew meanwhile: the next look is about that.
        let Ok(Some(content)) = self.read(stamp) else { return News::Nothing };
        self.taken = Some(stamp);
        let digest = Sha256::digest(&content).into();
        if self.digest.replace(digest) == Some(digest) { News::Nothing } else { News::Checkpoint(content) }
    }

    /// What was taken last was not sent: it is new again.
    pub fn give_back(&mut self) {
        (self.taken, self.digest) = (None, None);
    }

    /// It stayed the same, or another file was put in its place.
    fn is_whole(&self, now: Stamp) -> bool {
        self.seen.is_some_and(|seen| seen == now || seen.inode != now.inode)
    }

    /// Of a regular file that is not empty: an empty one is about to be written. Opening a pipe might hang.
    fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.path).ok()?;
        (metadata.is_file() && metadata.len() > 0).then(|| Stamp::of(&metadata))
    }

    /// The content, if the file is as this says before and after it was read.
    fn read(&self, stamp: Stamp) -> io::Result<Option<Vec<u8>>> {
        let file = File::open(&self.path)?;
        let is_the_same = |file: &File| file.metadata().map(|metadata| Stamp::of(&metadata) == stamp);
        if !is_the_same(&file)? {
            return Ok(None);
        }
        let mut content = Vec::new();
        (&file).take(LARGEST_CHECKPOINT_BYTES as u64).read_to_end(&mut content)?;
        Ok(is_the_same(&file)?.then_some(content))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { inode: metadata.ino(), modified, bytes: metadata.len() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> (Self, CheckpointFile) {
            let folder = std::env::temp_dir().join(format!("checkpoint-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            let file = CheckpointFile::at(folder.join("checkpoint"));
            (Self(folder), file)
        }

        fn path(&self) -> PathBuf {
            self.0.join("checkpoint")
        }

        /// As the work is told to write it.
        fn replace(&self, content: &str) {
            let part = self.0.join("mine.tmp");
            fs::write(&part, content).expect("written");
            fs::rename(part, self.path()).expect("renamed");
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn checkpoint(content: &str) -> News {
        News::Checkpoint(content.into())
    }

    #[test]
    fn what_is_put_in_the_files_place_is_taken_at_once_and_only_once() {
        let (place, mut file) = Place::new("replaced");
        assert_eq!(file.news(false), News::Nothing, "there is none");
        file.write(b"of an earlier attempt").expect("written");
        assert_eq!(fs::read(place.path()).expect("a file"), b"of an earlier attempt");
        assert_eq!((file.news(false), file.news(true)), (News::Nothing, News::Nothing), "it came from there");
        place.replace("60 %");
        assert_eq!((file.news(false), file.news(false)), (checkpoint("60 %"), News::Nothing));
        place.replace("60 %");
        assert_eq!(file.news(false), News::Nothing, "it says the same");
        file.give_back();
        assert_eq!(file.news(false), checkpoint("60 %"), "it was not sent");
    }

    #[test]
    fn what_is_written_in_place_is_taken_when_it_stays_the_same_or_the_work_has_ended() {
        let (place, mut file) = Place::new("in-place");
        let mut writer = File::create(place.path()).expect("a file");
        assert_eq!((file.news(false), file.news(true)), (News::Nothing, News::Nothing), "it is empty");
        writer.write_all(b"half").expect("written");
        assert_eq!(file.news(false), News::Nothing, "somebody may be writing");
        writer.write_all(b" and half").expect("written");
        assert_eq!((file.news(false), file.news(false)), (News::Nothing, checkpoint("half and half")));
        writer.write_all(b" again").expect("written");
        assert_eq!(file.news(false), News::Nothing);
        writer.write_all(b", whole").expect("written");
        assert_eq!(file.news(true), checkpoint("half and half again, whole"));
    }

    #[test]
    fn a_look_counts_for_whether_it_stays_the_same() {
        let (place, mut file) = Place::new("looked-at");
        fs::write(place.path(), "10 %").expect("written");
        file.look();
        assert_eq!(file.news(false), checkpoint("10 %"));
    }

    #[test]
    fn one_that_is_too_large_or_no_file_is_not_taken() {
        let (place, mut file) = Place::new("odd");
        place.replace(&"x".repeat(LARGEST_CHECKPOINT_BYTES));
        assert!(matches!(file.news(true), News::Checkpoint(content) if content.len() == LARGEST_CHECKPOINT_BYTES));
        place.replace(&"x".repeat(LARGEST_CHECKPOINT_BYTES + 1));
        let more = News::TooLarge(LARGEST_CHECKPOINT_BYTES as u64 + 1);
        assert_eq!((file.news(true), file.news(true)), (more, News::Nothing), "told once");
        fs::remove_file(place.path()).expect("removed");
        assert_eq!(file.news(true), News::Nothing);
        fs::create_dir(place.path()).expect("a folder");
        assert_eq!(file.news(true), News::Nothing);
    }
}
