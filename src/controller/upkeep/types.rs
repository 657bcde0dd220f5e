//! Keeps the status of the types: whether the API server would take their pods, by its own dry run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PostParams;

use crate::api::TaskType;
use crate::cluster::calls::{CallError, Calls};
use crate::controller::cache::Cache;
use crate::controller::status::StatusWriter;
use crate::core::launch::job;
use crate::core::launch::task_type;
use crate::core::launch::task_type::Usable;
use crate::core::{ParsedType, Settings};

/// How often it is looked which types are to be checked.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// A type that could not be used is checked again after so long, for the reason may lie outside of it...
const CHECKED_AGAIN: Duration = Duration::from_secs(120);
/// ...and one of which it is not known, or could not be written, after so long.
const TRIED_AGAIN: Duration = Duration::from_secs(10);
const BAD_REQUEST: u16 = 400;
const UNPROCESSABLE: u16 = 422;

/// In which version a type was last checked, and when it is to be checked again, by uid.
type Checked = HashMap<String, (Option<i64>, Instant)>;

/// Where types are tried out, and by which settings.
pub struct Checks {
    pub calls: Calls,
    pub status: Arc<StatusWriter>,
    pub settings: Settings,
}

pub async fn run(cache: Arc<Cache>, checks: Checks) {
    let mut checked = Checked::new();
    loop {
        let types = cache.types();
        checked.retain(|uid, _| types.iter().any(|kind| kind.metadata.uid.as_ref() == Some(uid)));
        for kind in types.iter().filter(|kind| !task_type::is_checked(kind)) {
            if is_due(kind, &checked) {
                let pause = check(kind, &checks).await;
                checked.insert(kind.uid().unwrap_or_default(), (kind.metadata.generation, Instant::now() + pause));
            }
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

fn is_due(kind: &TaskType, checked: &Checked) -> bool {
    let last = checked.get(kind.metadata.uid.as_deref().unwrap_or_default());
    last.is_none_or(|(generation, due)| *generation != kind.metadata.generation || *due <= Instant::now())
}

/// Checks a type and says so in its status; returns how long to wait before the next check.
async fn check(kind: &TaskType, checks: &Checks) -> Duration {
    let usable = try_out(kind, checks).await;
    let status = task_type::status(kind, &usable, Timestamp::now());
    let written = match kind.status.as_ref() == Some(&status) {
        true => Ok(()),
        false => checks.status.write_type(kind, status).await.map(drop),
    };
    match (written, usable) {
        (Ok(()), Usable::Yes | Usable::No(_)) => CHECKED_AGAIN,
        (Ok(()), Usable::NotKnown(_)) => TRIED_AGAIN,
        (Err(CallError::Conflict | CallError::NotFound | CallError::NotLeader), _) => TRIED_AGAIN,
        (Err(error), _) => {
            tracing::warn!(namespace = kind.namespace(), type_ = kind.name_any(), %error, "failed to write a type's status; will try again");
            TRIED_AGAIN
        }
    }
}

/// Asks the API server to make a pod of this type without making it.
async fn try_out(kind: &TaskType, checks: &Checks) -> Usable {
    let name = kind.name_any();
    let probe = match job::probe(&ParsedType::read(&kind.spec), &name, &checks.settings) {
        Ok(probe) => probe,
        Err(error) => return Usable::No(error.to_string()),
    };
    let pods = checks.calls.namespaced::<Pod>(&kind.namespace().unwrap_or_default());
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    match checks.calls.write("dry_run", pods.create(&dry_run, &probe)).await {
        Ok(_) => Usable::Yes,
        Err(CallError::Refused(status)) if is_about_the_template(status.code, &status.message) => {
            Usable::No(status.message)
        }
        Err(error) => Usable::NotKnown(error.to_string()),
    }
}

/// Invalid and Pod Security refusals speak of the template; a quota or a webhook may think otherwise tomorrow.
fn is_about_the_template(code: u16, message: &str) -> bool {
    matches!(code, BAD_REQUEST | UNPROCESSABLE) || message.contains("violates PodSecurity")
}
