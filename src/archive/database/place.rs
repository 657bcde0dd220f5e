//! Where an archive is: a URL, read once, with a sentence for each way in which it can be wrong; and whether what is there
//! is still what was opened.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::error::Error;

/// A URL that names no archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this URL names no archive: {0}; write sqlite:///var/lib/task-manager/archive.db or postgres://user:password@host:5432/database"
)]
pub struct UrlError(String);

/// What a URL of PostgreSQL may say besides. The driver passes over all else, so that a slip in `sslmode` would
/// send passwords in the clear.
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

/// What is at a place: of SQLite, which file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present(Option<(u64, u64)>);

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub backend: Backend,
    pub options: AnyConnectOptions,
    /// The URL without user, password and parameters.
    shown: String,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

impl Present {
    pub fn is_nothing(self) -> bool {
        self.0.is_none()
    }
}

impl Place {
    /// A server says itself when it is another one.
    pub async fn present(&self) -> Present {
        let Backend::Sqlite { file } = &self.backend else { return Present(None) };
        Present(tokio::fs::metadata(file).await.ok().map(|file| (file.dev(), file.ino())))
    }

    /// Only whoever starts this program may want an empty archive; one whose file went away wants it back.
    pub async fn must_be_there(&self) -> Result<(), Error> {
        if matches!(self.backend, Backend::Postgres) || !self.present().await.is_nothing() {
            return Ok(());
        }
        Err(Error::Down(format!(
            "the file of {self} is gone; put it back, or start the operator anew to begin with an empty one"
        )))
    }

    /// SQLite notices nothing of it when its file goes elsewhere, and would go on with that.
    pub async fn must_have(&self, opened: Present) -> Result<(), Error> {
        if self.present().await == opened {
            return Ok(());
        }
        let gone = format!("the file of {self} is not the one that was opened; somebody moved, removed or replaced it");
        Err(Error::Down(gone))
    }
}

impl FromStr for Place {
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

fn sqlite(path: &str) -> Result<Place, UrlError> {
    if path.is_empty() || path.ends_with('/') {
        return Err(UrlError("it names no file".into()));
    }
    if path.starts_with(":memory:") || path.contains(['?', '#']) {
        return Err(UrlError("SQLite takes a file here, and no parameters".into()));
    }
    let options = options(&format!("sqlite://{path}?mode=rwc"))?;
    Ok(Place { backend: Backend::Sqlite { file: Path::new(path).into() }, options, shown: format!("sqlite:{path}") })
}

fn postgres(url: &str) -> Result<Place, UrlError> {
    let options = options(url)?;
    let url = &options.database_url;
    if let Some((unknown, _)) = url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&name.as_ref())) {
        return Err(UrlError(format!("it has a parameter {unknown:?}; known are {}", PARAMETERS.join(", "))));
    }
    PgConnectOptions::from_url(url).map_err(|error| UrlError(error.to_string()))?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!("postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path());
    Ok(Place { backend: Backend::Postgres, options, shown })
}

fn options(url: &str) -> Result<AnyConnectOptions, UrlError> {
    let options = AnyConnectOptions::from_str(url).map_err(|error| UrlError(error.to_string()))?;
    // Statements are ours and always the same; what they carry is logged nowhere.
    Ok(options.disable_statement_logging())
}

/// Why a file of SQLite cannot be used, found out by trying; `None` when it can.
pub(crate) fn trouble_with(file: &Path) -> Option<String> {
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
            let place: Place = url.parse().expect(url);
            assert_eq!(place.to_string(), shown);
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
            let told = url.parse::<Place>().expect_err(url).to_string();
            assert!(told.contains(why) && told.contains("write sqlite:///"), "{url}: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
