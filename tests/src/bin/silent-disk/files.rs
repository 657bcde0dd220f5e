//! The files, all in one folder and in memory.

use std::collections::BTreeMap;

use crate::device::{Answer, Request};

const ROOT: u64 = 1;
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// Bits of `valid` and `open_flags`. A file is closed without asking: that wait nobody could kill.
const SETS_SIZE: u32 = 1 << 3;
const CLOSED_UNASKED: u32 = 1 << 5;

/// The most bytes of a write.
const LARGEST_WRITE: u32 = 128 << 10;

/// LOOKUP, FORGET, GETATTR, INIT, INTERRUPT, BATCH_FORGET
pub const LOOKS: [u32; 6] = [1, 2, 3, 26, 36, 42];

#[derive(Default)]
pub struct Files {
    names: BTreeMap<String, u64>,
    /// By number, 2 and up. One that was removed stays, for it may be open.
    contents: Vec<Vec<u8>>,
}

impl Files {
    /// `None` where the kernel waits for none.
    pub fn answer(&mut self, request: &Request) -> Option<Answer> {
        Some(match request.code {
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => return None,
            // LOOKUP
            1 => match self.names.get(&request.name(0)).copied() {
                Some(node) => Ok(self.entry(node)),
                None => Err(ENOENT),
            },
            // GETATTR
            3 => Ok(self.attributes_answer(request.node)),
            // SETATTR
            4 => {
                if request.u32(0) & SETS_SIZE != 0 {
                    self.content(request.node).resize(size(request.u64(16)), 0);
                }
                Ok(self.attributes_answer(request.node))
            }
            // UNLINK
            10 => self.names.remove(&request.name(0)).map_or(Err(ENOENT), |_| Ok(vec![])),
            // OPEN, OPENDIR
            14 | 27 => Ok(opened()),
            // READ
            15 => Ok(self.read(request.node, request.u64(8), request.u32(16))),
            // WRITE
            16 => Ok(self.write(request.node, request.u64(8), request.u32(16), request.body.get(40..))),
            // STATFS: room for more than a test writes.
            17 => Ok(Words::default().long(1 << 20).long(1 << 20).long(1 << 20).long(1000).long(1000).end_of_room()),
            // RELEASE, FSYNC, READDIR of none, RELEASEDIR, FSYNCDIR, DESTROY
            18 | 20 | 28 | 29 | 30 | 38 => Ok(vec![]),
            // INIT
            26 => Ok(agreed(request)),
            // CREATE
            35 => {
                let node = self.created(request.name(16));
                Ok([self.entry(node), opened()].concat())
            }
            _ => Err(ENOSYS),
        })
    }

    fn created(&mut self, name: String) -> u64 {
        *self.names.entry(name).or_insert_with(|| {
            self.contents.push(vec![]);
            ROOT + self.contents.len() as u64
        })
    }

    fn content(&mut self, node: u64) -> &mut Vec<u8> {
        &mut self.contents[size(node - ROOT - 1)]
    }

    fn read(&mut self, node: u64, from: u64, length: u32) -> Vec<u8> {
        let content = self.content(node);
        let from = size(from).min(content.len());
        let to = content.len().min(from + length as usize);
        content[from..to].to_vec()
    }

    fn write(&mut self, node: u64, from: u64, length: u32, bytes: Option<&[u8]>) -> Vec<u8> {
        let (content, from) = (self.content(node), size(from));
        let bytes = bytes.unwrap_or_default();
        let to = from + bytes.len();
        content.resize(content.len().max(to), 0);
        content[from..to].copy_from_slice(bytes);
        Words::default().short(length).short(0).0
    }

    /// Neither the name nor the attributes may be kept by the kernel: each look at the file asks.
    fn entry(&mut self, node: u64) -> Vec<u8> {
        let head = Words::default().long(node).long(0).long(0).long(0).long(0);
        [head.0, self.attributes(node)].concat()
    }

    fn attributes_answer(&mut self, node: u64) -> Vec<u8> {
        [Words::default().long(0).long(0).0, self.attributes(node)].concat()
    }

    fn attributes(&mut self, node: u64) -> Vec<u8> {
        let (mode, bytes) = if node == ROOT { (FOLDER, 0) } else { (FILE, self.content(node).len() as u64) };
        let times = Words::default().long(node).long(bytes).long(bytes.div_ceil(512)).long(0).long(0).long(0);
        times.short(0).short(0).short(0).short(mode).short(1).short(0).short(0).short(0).short(4096).short(0).0
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).expect("it is small")
}

fn opened() -> Vec<u8> {
    Words::default().long(0).short(CLOSED_UNASKED).short(0).0
}

/// The version that the kernel speaks, and none of its extras.
fn agreed(request: &Request) -> Vec<u8> {
    let version = Words::default().short(7).short(request.u32(4).min(31)).short(request.u32(8)).short(0);
    let mut answer = version.short(0).short(LARGEST_WRITE).short(1).short(0).0;
    answer.resize(64, 0);
    answer
}

/// Numbers one after the other.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn short(mut self, number: u32) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    fn long(mut self, number: u64) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    /// The sizes of a block and of a name.
    fn end_of_room(self) -> Vec<u8> {
        let mut answer = self.short(4096).short(255).short(4096).0;
        answer.resize(80, 0);
        answer
    }
}
