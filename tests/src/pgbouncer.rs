//! A real PgBouncer in front of a PostgreSQL, which has each transaction carried out by another of two sessions: what
//! holds for one of them only is noticed. Gone when the test process is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::OnceCell;

use crate::operator::free_address;
use crate::patience::{SOON, eventually};
use crate::postgres::{KEEPER, Postgres, as_server, new_folder};

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// The driver says it when connecting.
const IGNORED: &str = "ignore_startup_parameters = extra_float_digits";

pub struct PgBouncer {
    address: SocketAddr,
    /// It ends when the pipe to it closes.
    _keeper: Child,
}

impl PgBouncer {
    /// The one in front of the server that tests share.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<PgBouncer> = OnceCell::const_new();
        SHARED.get_or_init(async || Self::start(Postgres::shared().await, IGNORED).await).await
    }

    /// The URL of a database behind one that nobody has told of the driver.
    pub async fn as_installed() -> String {
        static INSTALLED: OnceCell<PgBouncer> = OnceCell::const_new();
        INSTALLED.get_or_init(async || Self::start(Postgres::shared().await, "").await).await.url("postgres")
    }

    async fn start(server: &Postgres, more: &str) -> Self {
        assert!(Path::new(PROGRAM).exists(), "there is no {PROGRAM}: run `tests/packages`");
        let (folder, address) = (new_folder().await, free_address());
        let users = folder.join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n").expect("its users");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 2\n\
             server_round_robin = 1\nmax_client_conn = 500\nmax_db_connections = 2\nlog_connections = 0\n\
             log_disconnections = 0\n{more}\n",
            server.address().port(),
            address.port(),
            users.display(),
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("its settings");
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let keeper = as_server(Path::new("/bin/sh"))
            // A shell has what it runs in the background ignore SIGQUIT, which PgBouncer leaves so.
            .args(["-c", &KEEPER.replace("-QUIT", "-TERM"), "sh", PROGRAM])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log again"))
            .stderr(log)
            .spawn()
            .expect("PgBouncer can be started");
        let bouncer = Self { address, _keeper: keeper };
        eventually(&format!("PgBouncer answers; see {}/log", folder.display()), SOON, async || {
            TcpStream::connect(bouncer.address).await.ok().map(drop)
        })
        .await;
        bouncer
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// The URL of a new, empty database behind it.
    pub async fn database(&self) -> String {
        let direct = Postgres::shared().await.database().await;
        self.url(direct.rsplit('/').next().expect("a name"))
    }
}
