//! A network of its own for an operator, whose cable to the API server a test makes silent: no packet passes, in neither
//! direction, and nobody is told. Its rules lie in that network, and the kernel removes both when the last process in it
//! ends; so nothing is left of them, however the test ends, and no other traffic of the machine meets them.

use std::path::Path;
use std::process::Command;

use harness::{Cluster, Place};

use crate::program::Program;

/// The whole life of a network: it ends when the test no longer holds its standard input open.
const HOLD: &str = "echo $$; exec cat";
const SILENT: &str = r#"table inet silence {
    chain in { type filter hook prerouting priority -300; iifname "api" counter drop; }
    chain out { type filter hook output priority -300; oifname "api" counter drop; }
}"#;

pub struct Cable {
    holder: Program,
    address: String,
}

impl Cable {
    /// A network with a cable to the API server of this cluster, and another by which the test reaches it.
    pub fn to(cluster: Cluster) -> Self {
        let mut network = Command::new("unshare");
        let holder = Program::start({
            network.args(["--net", "sh", "-c", HOLD]);
            network
        });
        let file = cluster.kubeconfig();
        let name = file.parent().and_then(Path::file_name).expect("it is in a folder that has the cluster's name");
        let mut connect = Command::new(crate::program::file("cluster/cluster"));
        let address = output(connect.args(["connect", &holder.said, "--name"]).arg(name));
        Self { holder, address: address.trim().to_owned() }
    }

    /// For an operator in this network. It ends with the thread that started it, so with the test at the latest.
    pub fn place(&self) -> Place {
        let around = ["nsenter", "--target", &self.holder.said, "--net", "setpriv", "--pdeathsig", "KILL"];
        let launcher = around.map(str::to_owned).to_vec();
        Place { launcher, host: self.address.parse().expect("an address") }
    }

    /// From here on no packet passes, until `mend`.
    pub fn silence(&self) {
        self.nft(&[SILENT]);
    }

    pub fn mend(&self) {
        self.nft(&["delete table inet silence"]);
    }

    /// The packets that were dropped since it is silent: those to the operator, and those of it.
    pub fn dropped(&self) -> [u64; 2] {
        let told = self.nft(&["list table inet silence"]);
        let counts = told.split("counter packets ").skip(1).map(|rest| {
            let number = rest.split(' ').next().and_then(|number| number.parse().ok());
            number.expect("a number of packets")
        });
        counts.collect::<Vec<_>>().try_into().expect("two counters")
    }

    /// The connections that were closed and have not delivered all: the kernel goes on with them.
    pub fn lingering(&self) -> String {
        self.inside("ss", &["-Htn", "state", "fin-wait-1"])
    }

    fn nft(&self, command: &[&str]) -> String {
        self.inside("nft", command)
    }

    fn inside(&self, program: &str, arguments: &[&str]) -> String {
        output(Command::new("nsenter").args(["--target", &self.holder.said, "--net", program]).args(arguments))
    }
}

fn output(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?} can be started: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
