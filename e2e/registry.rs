//! An image registry on the node's own loopback: the container runtime speaks plain HTTP only there. What it does
//! with which image is said in `registry.py`.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::Namespace;

use crate::program::{Program, file};

/// How long the image `slow` takes.
pub const SLOW_SECONDS: u32 = 40;

pub struct Registry {
    port: u16,
    tag: String,
    process: u32,
    program: Option<Program>,
}

impl Registry {
    /// A registry whose images no other test pulls.
    pub fn start(namespace: &Namespace) -> Self {
        let kubeconfig = namespace.cluster.kubeconfig();
        let state = kubeconfig.parent().expect("a folder").canonicalize().expect("the folder of the cluster");
        let process = node_process(&state);
        let program = run(process, 0);
        let port = program.said.parse().expect("a port");
        Self { port, tag: namespace.name.clone(), process, program: Some(program) }
    }

    /// The name under which a pod pulls this image from here.
    pub fn image(&self, name: &str) -> String {
        format!("localhost:{}/{name}:{}", self.port, self.tag)
    }

    /// From now on connections are refused.
    pub fn goes_away(&mut self) {
        self.program = None;
    }

    pub fn comes_back(&mut self) {
        self.program = Some(run(self.process, self.port));
    }
}

fn run(node: u32, port: u16) -> Program {
    let mut command = Command::new("nsenter");
    command.args(["--target", &node.to_string(), "--net", "python3"]).arg(file("registry.py"));
    command.args([port.to_string(), SLOW_SECONDS.to_string()]);
    Program::start(command)
}

/// The process that holds together the node whose files are in `state`: the one that is not in the network of this
/// machine.
fn node_process(state: &Path) -> u32 {
    let here = fs::read_link("/proc/self/ns/net").expect("a network");
    let processes = fs::read_dir("/proc").expect("processes").filter_map(|entry| entry.ok());
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = numbers.find(|number| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let arguments: Vec<&str> = line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok()).collect();
        let holds_it = arguments.iter().any(|word| word.ends_with("/lib/supervise.sh"))
            && arguments.iter().any(|word| Path::new(word) == state);
        holds_it && fs::read_link(format!("/proc/{number}/ns/net")).is_ok_and(|network| network != here)
    });
    found.expect("the node runs on this machine")
}
