//! A real PostgreSQL for tests: Debian's, on a folder and a port of its own, gone when the test process is.
//!
//! As root it runs as the user that Debian's package made, for PostgreSQL will not run as root. It writes to disk
//! without waiting for the disk: it is killed as a process here, never by a power cut.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, OnceCell};

use crate::cluster::target;
use crate::operator::free_address;
use crate::patience::{SOON, eventually};

/// Runs the server as long as its parent lives: when the pipe to it closes, in whatever way, it ends the server at
/// once.
pub(crate) const KEEPER: &str = r#""$@" & server=$!; cat >/dev/null; kill -QUIT "$server" 2>/dev/null; wait "$server""#;

const SETTINGS: [&str; 6] = [
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=32MB",
    "unix_socket_directories=",
    "log_min_messages=warning",
];

pub struct Postgres {
    folder: PathBuf,
    address: SocketAddr,
    /// The address of this machine at which pods reach it, too.
    for_pods: Option<String>,
    keeper: Mutex<Option<Child>>,
}

/// A database of the role [`OWNER`].
pub struct Database {
    /// As the test reaches it, as an administrator.
    pub url: String,
    /// As pods reach it, with a password.
    pub for_pods: String,
}

/// Whoever owns databases that pods use. It is no administrator.
const OWNER: &str = "tasks";
const PASSWORD: &str = "not-secret";

impl Postgres {
    /// A server for this test alone, which may stop and freeze it.
    pub async fn start() -> Self {
        Self::start_at(None).await
    }

    /// The same, which pods of a cluster reach at this address of the machine.
    pub async fn start_for_pods(host: &str) -> Self {
        let postgres = Self::start_at(Some(host.into())).await;
        postgres.execute("postgres", &format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")).await;
        postgres
    }

    async fn start_at(for_pods: Option<String>) -> Self {
        let folder = new_folder().await;
        let postgres = Self { folder, address: free_address(), for_pods, keeper: Mutex::default() };
        let data = postgres.folder.join("data");
        let made = as_server(&programs().join("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .await
            .expect("initdb can be started");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        if postgres.for_pods.is_some() {
            let rules = std::fs::File::options().append(true).open(data.join("pg_hba.conf"));
            // Not scram-sha-256, whose 4,096 rounds take a debug build longer than a connection may take on a busy machine.
            writeln!(rules.expect("its rules"), "host all {OWNER} all password").expect("one more rule");
        }
        postgres.start_again().await;
        postgres
    }

    /// The server that tests share which never stop it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// The URL of a new, empty database.
    pub async fn database(&self) -> String {
        self.database_with("").await
    }

    /// The URL of a new, empty database made with these words at the end of CREATE DATABASE.
    pub async fn database_with(&self, words: &str) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name} {words}")).await;
        self.url(&name)
    }

    /// A new, empty database that pods use.
    pub async fn database_for_pods(&self) -> Database {
        let url = self.database_with(&format!("OWNER {OWNER}")).await;
        let (host, port) = (self.for_pods.as_deref().expect("pods reach it"), self.address.port());
        let name = url.rsplit('/').next().expect("a name");
        Database { for_pods: format!("postgres://{OWNER}:{PASSWORD}@{host}:{port}/{name}"), url }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// A program of PostgreSQL's, such as pg_dump.
    pub fn program(name: &str) -> Command {
        Command::new(programs().join(name))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries out any SQL as an administrator.
    pub async fn execute(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::connect(&self.url(database)).await.expect("the server answers");
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Kills the server. Its port stays reserved for `start_again`.
    pub async fn stop(&self) {
        let mut keeper = self.keeper.lock().await.take().expect("it runs");
        drop(keeper.stdin.take());
        keeper.wait().await.expect("it ends");
    }

    pub async fn start_again(&self) {
        let log = std::fs::File::options().append(true).create(true).open(self.folder.join("log")).expect("a log");
        let port = self.address.port().to_string();
        let hosts = ["127.0.0.1"].into_iter().chain(self.for_pods.as_deref()).collect::<Vec<_>>().join(",");
        let keeper = as_server(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "sh"])
            .arg(programs().join("postgres"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-h", &hosts, "-p", &port])
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log again"))
            .stderr(log)
            .spawn()
            .expect("PostgreSQL can be started");
        *self.keeper.lock().await = Some(keeper);
        eventually(&format!("PostgreSQL answers; see {}/log", self.folder.display()), SOON, async || {
            PgConnection::connect(&self.url("postgres")).await.ok().map(drop)
        })
        .await;
    }

    /// Freezes all its processes: it refuses nothing and answers nothing, like a machine that has lost its network.
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let server = file.lines().next().expect("a process id").to_owned();
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children")).expect("it runs");
        let sent = Command::new("kill").arg(signal).arg(&server).args(children.split_whitespace()).status().await;
        assert!(sent.is_ok(), "{signal} could not be sent");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The keeper ends the server when its pipe closes, which needs none of its files.
        drop(self.keeper.get_mut().take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The folder of PostgreSQL's programs: Debian keeps one for each version, none on the PATH.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    programs.max().unwrap_or_else(|| panic!("there is no PostgreSQL in /usr/lib/postgresql: run `tests/packages`"))
}

/// The user that runs the server: Debian's where the test is root, else the test's own.
fn server_user() -> Option<(u32, u32)> {
    let me = std::fs::metadata("/proc/self").expect("/proc").uid();
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let postgres = || users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("Debian's user postgres");
    let numbers = || postgres().split(':').skip(1).map_while(|number| number.parse().ok()).collect::<Vec<u32>>();
    (me == 0).then(|| match numbers()[..] {
        [user, group, ..] => (user, group),
        _ => panic!("Debian's user postgres has no numbers"),
    })
}

pub(crate) fn as_server(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).current_dir("/");
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}

/// The folder of the data: in target/, unless the server's user cannot enter that, as under /root.
pub(crate) async fn new_folder() -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let target = target();
    let reached = as_server(Path::new("/usr/bin/test")).arg("-x").arg(&target).status().await;
    let reached = reached.is_ok_and(|status| status.success());
    let home = if reached { target.join("postgres") } else { std::env::temp_dir().join("task-manager-postgres") };
    sweep(&home);
    let folder = home.join(name);
    std::fs::create_dir_all(&folder).expect("a folder for PostgreSQL");
    if let Some((user, group)) = server_user() {
        chown(&folder, Some(user), Some(group)).expect("the folder becomes the server's");
    }
    folder
}

/// Removes what earlier test processes left.
fn sweep(home: &Path) {
    for folder in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let name = folder.file_name();
        let process = name.to_str().and_then(|name| name.split('-').next()).unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}
