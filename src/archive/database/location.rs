//! Parses the URL of an archive, with a sentence for each way in which it can be wrong, and notices when the file of
//! SQLite is no longer the one that was opened.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::error::Error;
use super::file_system::FileSystem;

/// A URL that names no archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this URL names no archive: {0}; write sqlite:///var/lib/task-manager/archive.db or postgres://user:password@host:5432/database"
)]
pub struct UrlError(String);

/// The parameters that a URL of PostgreSQL may have. The driver ignores all others, so that a typing error in
/// `sslmode` would send passwords unencrypted.
const PARAMETERS: [&str; 12] = [
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Sqlite { file: PathBuf },
    Postgres,
}

/// Device and inode of the file of SQLite; `None` where it does not exist, and for PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity(Option<(u64, u64)>);

#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub backend: Backend,
    pub options: AnyConnectOptions,
    /// The URL without user, password and parameters.
    shown: String,
    file_system: Arc<FileSystem>,
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

impl FileIdentity {
    pub fn is_absent(self) -> bool {
        self.0.is_none()
    }
}

impl Location {
    /// The identity of the file. A PostgreSQL has an id in a table instead, which each probe reads.
    pub async fn identity(&self) -> Result<FileIdentity, Error> {
        let Backend::Sqlite { file } = &self.backend else { return Ok(FileIdentity(None)) };
        let file = file.clone();
        let look = move || std::fs::metadata(file).ok().map(|file| (file.dev(), file.ino()));
        self.file_system.ask(look).await.map(FileIdentity)
    }

    /// Fails where the file is gone. A new empty archive is wanted only when the operator starts; afterwards a
    /// missing file is to be put back.
    pub async fn must_exist(&self) -> Result<(), Error> {
        if matches!(self.backend, Backend::Postgres) || !self.identity().await?.is_absent() {
            return Ok(());
        }
        Err(Error::Down(format!(
            "the file of {self} is gone; put it back, or start the operator anew to begin with an empty one"
        )))
    }

    /// Fails where the file is no longer the one that was opened. SQLite does not notice and would go on with the old
    /// one.
    pub async fn must_still_be(&self, opened: FileIdentity) -> Result<(), Error> {
        if self.identity().await? == opened {
            return Ok(());
        }
        let gone = format!("the file of {self} is not the one that was opened; somebody moved, removed or replaced it");
        Err(Error::Down(gone))
    }

    /// The answer of `look` on the thread that looks at files.
    pub async fn ask_of_files<T: Send + 'static>(&self, look: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.file_system.ask(look).await
    }

    /// The reason why the file cannot be used, which SQLite does not tell; `None` where it can.
    pub async fn why_unwritable(&self) -> Option<String> {
        let Backend::Sqlite { file } = &self.backend else { return None };
        let file = file.clone();
        self.file_system.ask(move || why_unwritable(&file)).await.ok().flatten()
    }
}

impl FromStr for Location {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        match url.split_once(':') {
            Some(("sqlite", path)) => sqlite(path.strip_prefix("//").unwrap_or(path)),
            Some(("postgres" | "postgresql", _)) => postgres(url),
            Some((scheme, _)) => Err(UrlError(format!("it begins with {scheme:?}"))),
            None => Err(UrlError("it does not say of which kind it is".into())),
        }
    }
}

fn sqlite(path: &str) -> Result<Location, UrlError> {
    if path.is_empty() || path.ends_with('/') {
        return Err(UrlError("it names no file".into()));
    }
    if path.starts_with(":memory:") || path.contains(['?', '#']) {
        return Err(UrlError("SQLite takes a file here, and no parameters".into()));
    }
    let options = options(&format!("sqlite://{path}?mode=rwc"))?;
    let (backend, shown) = (Backend::Sqlite { file: Path::new(path).into() }, format!("sqlite:{path}"));
    Ok(Location { backend, options, shown, file_system: Arc::default() })
}

fn postgres(url: &str) -> Result<Location, UrlError> {
    let mut options = options(url)?;
    let url = options.database_url.clone();
    if let Some((unknown, _)) = url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&name.as_ref())) {
        return Err(UrlError(format!("it has a parameter {unknown:?}; known are {}", PARAMETERS.join(", "))));
    }
    PgConnectOptions::from_url(&url).map_err(|error| UrlError(error.to_string()))?;
    // Said when connecting, which a pooler keeps apart for each client; a SET it would not.
    options.database_url.query_pairs_mut().append_pair("application_name", "task-manager");
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!("postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path());
    Ok(Location { backend: Backend::Postgres, options, shown, file_system: Arc::default() })
}

fn options(url: &str) -> Result<AnyConnectOptions, UrlError> {
    let options = AnyConnectOptions::from_str(url).map_err(|error| UrlError(error.to_string()))?;
    // Statements are constant, and their values must not be logged.
    Ok(options.disable_statement_logging())
}

/// Found by writing beside the file and to it.
fn why_unwritable(file: &Path) -> Option<String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = file.with_extension("probe");
    let in_folder = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    let of_file = std::fs::OpenOptions::new().append(true).create(true).open(file);
    let told = |what: &Path, error| format!("{} cannot be written: {error}", what.display());
    in_folder.map_err(|error| told(folder, error)).and(of_file.map_err(|error| told(file, error))).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("sqlite:///var/lib/archive.db", "sqlite:/var/lib/archive.db"),
            ("sqlite:archive.db", "sqlite:archive.db"),
            ("postgres://me:secret@db:5433/tasks?sslmode=require", "postgres://db:5433/tasks"),
            ("postgresql://db/tasks", "postgres://db/tasks"),
        ] {
            let location: Location = url.parse().expect(url);
            assert_eq!(location.to_string(), shown);
        }
    }

    #[test]
    fn a_wrong_url_is_refused_in_a_sentence_that_keeps_its_secrets() {
        for (url, why) in [
            ("", "does not say of which kind"),
            ("/var/lib/archive.db", "does not say of which kind"),
            ("mysql://me:secret@db/tasks", "it begins with \"mysql\""),
            ("sqlite:", "names no file"),
            ("sqlite:///var/lib/", "names no file"),
            ("sqlite::memory:", "takes a file"),
            ("sqlite:///a.db?mode=ro", "no parameters"),
            ("postgres://me:secret@db:port/tasks", "invalid port"),
            ("postgres://me:secret@db/tasks?sslmode=sometimes", "unknown value"),
            ("postgres://me:secret@db/tasks?ssl_mode=require", "parameter \"ssl_mode\""),
        ] {
            let told = url.parse::<Location>().expect_err(url).to_string();
            assert!(told.contains(why) && told.contains("write sqlite:///"), "{url}: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
