//! The command line: every flag with its default and its environment variable.

mod help;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::agent::WorkerOptions;
use crate::api::Quantity;
use crate::core::Settings;
use crate::follow::FollowOptions;
use crate::logs::LogsOptions;
use crate::worker_check::WorkerCheckOptions;

/// Runs asynchronous tasks on Kubernetes.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = help::AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one exists, once")]
pub enum Command {
    /// Run the operator until SIGTERM or Ctrl-C.
    #[command(after_help = help::AFTER_RUN)]
    Run(RunOptions),
    /// Print the CustomResourceDefinitions as YAML, for kubectl apply -f -.
    #[command(after_help = help::AFTER_CRD)]
    Crd(CrdOptions),
    /// Print the meaning of each reason, and the advice for it, as Markdown.
    Reasons,
    /// Follow tasks in a live table until all are final, also in scripts.
    Follow(FollowOptions),
    /// Print the last lines that a task's work wrote, of any attempt.
    #[command(after_help = help::AFTER_LOGS)]
    Logs(LogsOptions),
    /// Be a warm worker: run a command once for each task of a pool.
    #[command(after_help = help::AFTER_WORKER)]
    Worker(WorkerOptions),
    /// Try a worker, in whatever language it is, and say which promises of the worker protocol it keeps.
    #[command(after_help = help::AFTER_WORKER_CHECK)]
    WorkerCheck(WorkerCheckOptions),
}

#[derive(Debug, Args)]
pub struct CrdOptions {
    /// Write one file per resource into this folder instead.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// Address on which /healthz, /readyz and /metrics are served.
    #[arg(long, env = "TASK_MANAGER_HEALTH_ADDR", default_value = "0.0.0.0:8081")]
    pub health_addr: SocketAddr,

    /// Address on which /api/v1/tasks is served, such as 0.0.0.0:8080 [default: not served]. It authenticates nobody,
    /// so whoever reaches it can create tasks: let only your gateway in.
    #[arg(long, env = "TASK_MANAGER_HTTP_ADDR", value_name = "ADDRESS")]
    pub http_addr: Option<SocketAddr>,

    /// Address on which work reports progress, errors and results (/worker/v1), such as 0.0.0.0:8082 [default: not
    /// served]. A report must carry the token of the pod that runs the task.
    #[arg(long, env = "TASK_MANAGER_WORKER_ADDR", value_name = "ADDRESS")]
    pub worker_addr: Option<SocketAddr>,

    /// URL at which pods reach --worker-addr, such as http://task-manager-worker.task-manager:8082. With it every
    /// attempt gets TASK_API_URL, and a token in TASK_TOKEN_FILE [default: attempts get neither].
    #[arg(long, env = "TASK_MANAGER_WORKER_URL", value_name = "URL", value_parser = worker_url)]
    pub worker_url: Option<String>,

    /// Image that holds this program, for worker pools whose spec.agent brings the agent into their pods [default: such
    /// pools are not ready].
    #[arg(long, env = "TASK_MANAGER_AGENT_IMAGE", value_name = "IMAGE")]
    pub agent_image: Option<String>,

    /// URL at which the other replicas reach this one's --worker-addr, by plain HTTP [default: http:// with POD_IP or
    /// the listening address, and its port].
    #[arg(long, env = "TASK_MANAGER_ADVERTISE_URL", value_name = "URL", value_parser = advertise_url)]
    pub advertise_url: Option<String>,

    /// The namespaces that REST serves, the default one first; it reads no others [default: the watched namespace,
    /// else the operator's own].
    #[arg(long, env = "TASK_MANAGER_REST_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    pub rest_namespaces: Vec<String>,

    /// Archive of finished tasks: a file of SQLite, or for several replicas a PostgreSQL
    /// (postgres://user:password@host:5432/database).
    #[arg(
        long,
        env = "TASK_MANAGER_ARCHIVE",
        value_name = "URL",
        default_value = "sqlite:task-manager.db",
        hide_env_values = true
    )]
    pub archive: String,

    /// Makes this archive the one on which all replicas agree, when this replica leads. The Lease names another one where
    /// replicas had different archives, or a new one was begun with. For one start.
    #[arg(long, env = "TASK_MANAGER_ADOPT_ARCHIVE")]
    pub adopt_archive: bool,

    /// How many replicas run. More than one need a PostgreSQL; of one alone, the file of SQLite is locked against any other
    /// [default: not checked].
    #[arg(long, env = "TASK_MANAGER_REPLICAS", value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub replicas: Option<u32>,

    /// Days for which the record of a finished task is kept.
    #[arg(long, env = "TASK_MANAGER_ARCHIVE_KEEP_DAYS", value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub archive_keep_days: u32,

    /// The most records that are kept; the oldest beyond that number are deleted.
    #[arg(long, env = "TASK_MANAGER_ARCHIVE_KEEP_RECORDS", value_name = "NUMBER", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub archive_keep_records: u64,

    /// Run the tasks of this namespace alone [default: all namespaces].
    #[arg(long, env = "TASK_MANAGER_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    pub watch_namespace: Option<String>,

    /// Name of the Lease by which one of several replicas is elected.
    #[arg(long, env = "TASK_MANAGER_LEASE", value_name = "NAME", default_value = "task-manager")]
    pub lease: String,

    /// Namespace of that Lease. Replicas that run the same tasks must agree on it [default: the watched namespace,
    /// else the operator's own in a cluster, else "default"].
    #[arg(long, env = "TASK_MANAGER_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Identity of this replica in the election. It must differ between replicas that run at the same time; one that
    /// is started again under the same name need not wait for its own lease [default: host name, process id and a random
    /// word].
    #[arg(long, env = "TASK_MANAGER_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Capacity in tasks of a queue named "default" that nobody created.
    #[arg(long, env = "TASK_MANAGER_DEFAULT_QUEUE_TASKS", default_value_t = 50, value_parser = clap::value_parser!(i32).range(0..))]
    pub default_queue_tasks: i32,

    /// The most tasks of all queues together that run at once [default: no limit].
    #[arg(long, env = "TASK_MANAGER_MAX_RUNNING_TASKS", value_parser = clap::value_parser!(i32).range(1..))]
    pub max_running_tasks: Option<i32>,

    /// The most Tasks that are known at once, finished ones included: what the operator's memory must hold, about 5 KiB
    /// each. Beyond, the operator goes on with those that it knows, and /readyz?verbose, the log and the metric
    /// task_manager_tasks_beyond say how many it does not look at.
    #[arg(long, env = "TASK_MANAGER_MAX_KNOWN_TASKS", value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_known_tasks: u32,

    /// Memory limit of a work's container where nobody says anything of memory: not the task, its type, the template, nor
    /// a LimitRange of the namespace.
    #[arg(long, env = "TASK_MANAGER_DEFAULT_MEMORY_LIMIT", default_value = "1Gi", value_parser = quantity)]
    pub default_memory_limit: Quantity,

    /// Memory request of such a container, which is what queues count.
    #[arg(long, env = "TASK_MANAGER_DEFAULT_MEMORY_REQUEST", default_value = "128Mi", value_parser = quantity)]
    pub default_memory_request: Quantity,

    /// Seconds after which a pod that no node takes gives its slot back and its task goes to the end of its line. Where an
    /// autoscaler says that a node is coming, the type's startDeadlineSeconds counts instead.
    #[arg(long, env = "TASK_MANAGER_UNSCHEDULABLE_SECONDS", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=86400))]
    pub unschedulable_seconds: i64,

    /// Seconds for which the Job of a finished task is kept, for its logs.
    #[arg(long, env = "TASK_MANAGER_KEEP_FINISHED_SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(i64).range(0..))]
    pub keep_finished_seconds: i64,

    /// How many Jobs of finished attempts are kept in one namespace at most; beyond, the oldest go first.
    #[arg(long, env = "TASK_MANAGER_KEEP_FINISHED", value_name = "NUMBER", default_value_t = 500)]
    pub keep_finished: usize,

    /// Prefix of PriorityClass names: a task's pod gets the class with this prefix and the task's priority
    /// (task-manager-critical, for example), where the cluster has it.
    #[arg(long, env = "TASK_MANAGER_PRIORITY_CLASS_PREFIX", value_name = "PREFIX", default_value = "task-manager-")]
    pub priority_class_prefix: String,

    /// Format of the log.
    #[arg(long, env = "TASK_MANAGER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Filter of the log, such as "info", "debug" or "task_manager=debug,kube=info".
    #[arg(long, env = "TASK_MANAGER_LOG", default_value = "info,kube_client=off,kube_runtime=warn")]
    pub log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

fn quantity(text: &str) -> Result<Quantity, String> {
    let quantity = Quantity(text.into());
    match quantity.amount() {
        Ok(amount) if amount.0 > 0 => Ok(quantity),
        Ok(_) => Err("it must be more than nothing".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The start of a URL, to which paths are appended.
fn worker_url(text: &str) -> Result<String, String> {
    let uri: axum::http::Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none();
    if plain { Ok(text.trim_end_matches('/').into()) } else { Err("write it as http://host:port".into()) }
}

/// The URL for other replicas, which speak plain HTTP to each other.
fn advertise_url(text: &str) -> Result<String, String> {
    let url = worker_url(text)?;
    let is_plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if is_plain {
        Ok(url)
    } else {
        Err("the replicas speak plain HTTP to each other: write it as http://host:port".into())
    }
}

impl RunOptions {
    /// The URL at which the other replicas reach this one, where it is known. `pod_ip` is this pod's own address.
    pub fn advertised(&self, pod_ip: Option<IpAddr>) -> Option<String> {
        let addr = self.worker_addr?;
        let ip = pod_ip.or_else(|| Some(addr.ip()).filter(|ip| !ip.is_unspecified()));
        let derived = || Some(format!("http://{}", SocketAddr::new(ip?, addr.port())));
        self.advertise_url.clone().or_else(derived)
    }

    pub fn settings(&self) -> Settings {
        Settings {
            default_memory_limit: self.default_memory_limit.clone(),
            default_memory_request: self.default_memory_request.clone(),
            default_queue_tasks: self.default_queue_tasks,
            max_running_tasks: self.max_running_tasks,
            unschedulable_seconds: self.unschedulable_seconds,
            keep_finished_seconds: self.keep_finished_seconds,
            keep_finished: self.keep_finished,
            priority_class_prefix: self.priority_class_prefix.clone(),
            worker_url: self.worker_url.clone(),
            agent_image: self.agent_image.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_defaults_are_the_built_in_settings() {
        let cli = Cli::try_parse_from(["task-manager", "run"]).expect("no flag is needed");
        let Command::Run(options) = cli.command else { panic!("the subcommand is run") };
        assert_eq!(options.settings(), Settings::default());
    }

    #[test]
    fn the_others_are_told_an_address_that_they_can_reach() {
        let advertised = |flags: &[&str], pod_ip: Option<&str>| {
            let cli = Cli::try_parse_from([&["task-manager", "run"], flags].concat()).expect("flags");
            let Command::Run(options) = cli.command else { panic!("the subcommand is run") };
            options.advertised(pod_ip.map(|ip| ip.parse().expect("an address")))
        };
        let everywhere = ["--worker-addr", "0.0.0.0:8082"];
        assert_eq!(advertised(&[], Some("10.0.0.7")), None);
        assert_eq!(advertised(&everywhere, None), None);
        assert_eq!(advertised(&everywhere, Some("10.0.0.7")).as_deref(), Some("http://10.0.0.7:8082"));
        assert_eq!(advertised(&everywhere, Some("fd00::7")).as_deref(), Some("http://[fd00::7]:8082"));
        assert_eq!(advertised(&["--worker-addr", "127.0.0.1:8"], None).as_deref(), Some("http://127.0.0.1:8"));
        let told = [&everywhere[..], &["--advertise-url", "http://a:1"]].concat();
        assert_eq!(advertised(&told, Some("10.0.0.7")).as_deref(), Some("http://a:1"));
    }

    #[test]
    fn a_worker_url_is_the_beginning_of_one() {
        assert_eq!(worker_url("http://operator:8082/"), Ok("http://operator:8082".into()));
        for wrong in ["operator:8082", "ftp://operator", "http://", "http://operator/?a=b", ""] {
            assert!(worker_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_replicas_are_reached_by_plain_http_and_told_so_otherwise() {
        for fine in ["http://10.0.0.7:8082", "HTTP://replica:8082/"] {
            assert!(Cli::try_parse_from(["task-manager", "run", "--advertise-url", fine]).is_ok(), "{fine}");
        }
        let refused = Cli::try_parse_from(["task-manager", "run", "--advertise-url", "https://10.0.0.7:8082"]);
        let told = refused.expect_err("nobody could reach it").to_string();
        assert!(told.contains("plain HTTP") && told.contains("http://host:port"), "{told}");
        assert!(worker_url("https://operator:8082").is_ok(), "what the work calls may be behind TLS");
    }

    #[test]
    fn a_memory_limit_that_is_no_quantity_is_refused() {
        for (flag, text) in ["lots", "0", "-1Gi"]
            .map(|text| ("--default-memory-limit", text))
            .into_iter()
            .chain([("--default-memory-request", "lots")])
        {
            assert!(Cli::try_parse_from(["task-manager", "run", flag, text]).is_err(), "{flag} {text}");
        }
    }
}
