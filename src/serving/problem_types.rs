//! What each type of problem means and what helps, for its page and for the OpenAPI document, which both name all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use strum::IntoEnumIterator;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::ProblemType;

impl ProblemType {
    /// Its name, which ends its type.
    pub fn name(self) -> &'static str {
        let (kind, ..) = self.parts();
        kind.trim_start_matches("/problems/")
    }

    /// Whether only the work in pods meets it, at the worker API.
    const fn is_for_work_alone(self) -> bool {
        matches!(self, Self::NoToken | Self::NotYourTask | Self::NoCheckpoint | Self::AttemptOver | Self::NotTaken)
    }

    /// What it means, and what helps.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Syntax => {
                "The body breaks off or is no JSON. The detail says at which line and column. Correct the body."
            }
            Self::Query => {
                "A parameter of the query is unknown, comes twice, or has a value that it cannot have. The field names it, \
                 and the detail says what to write."
            }
            Self::Header => "A header has a value that it cannot have, or comes twice. The field names it.",
            Self::NoToken => {
                "The worker API wants the token of the pod: Authorization: Bearer, with the content of the file that \
                 TASK_TOKEN_FILE names, read anew for each call."
            }
            Self::NotYourTask => {
                "The token is genuine, and its pod is none that works on a task now. Report from the pod of the task."
            }
            Self::CrossSite => {
                "A browser says that a page of another site sends this request, which would change something. Programs do \
                 not send Sec-Fetch-Site or Origin and are not concerned. Behind a gateway, see that it hands on Host."
            }
            Self::Forbidden => {
                "The cluster's own rules (a quota, an admission policy, missing rights) refuse the task. The detail has \
                 their words. Ask whoever runs the cluster."
            }
            Self::LogsForbidden => {
                "The operator reads logs with its own rights, and lacks one: get on pods/log, or list on pods and jobs. Ask \
                 whoever installed it."
            }
            Self::UnknownTask => {
                "No task has this id, neither in the cluster nor in the archive. Ids are the task_id of answers."
            }
            Self::UnknownNamespace => {
                "Only the namespaces that --rest-namespaces names are served. Leave it out for the usual one."
            }
            Self::NoSuchPath => "Tasks are under /api/v1/tasks; /docs shows all paths.",
            Self::NoCheckpoint => {
                "No attempt of this run has left a checkpoint by PUT /worker/v1/checkpoint. The work begins from the start."
            }
            Self::Method => "The path is known, and not with this method. The header Allow says which there are.",
            Self::SlowBody => "The body has not arrived within ten seconds. Send it again.",
            Self::NotFinished => {
                "There is no result before the end. Ask when its status is completed, failed or cancelled, or follow its events."
            }
            Self::Finished => {
                "The task is finished, and nothing of it changes. Replay it to run it again with changes."
            }
            Self::NoLog => {
                "The task waits, or its container has not started; the detail says why. Ask again when it is processing, or \
                 follow its events."
            }
            Self::Exists => "Another task has this name. Choose another one, or leave it out.",
            Self::NamespaceEnds => "The namespace is being deleted: nothing new can be made in it.",
            Self::Changed => {
                "Somebody changed the task at the same time, or ran it again. Look at it, and send the request again."
            }
            Self::AttemptOver => {
                "The attempt that this report is of is over; another may have begun. The work should stop."
            }
            Self::ResultGone => "The store does not have this result any longer. Replay the task to get it again.",
            Self::PayloadGone => {
                "The payload was not known any longer when the task was recorded. Submit it anew, with its payload."
            }
            Self::RecordGone => "The archive has forgotten the record of this task. Submit it anew.",
            Self::LogGone => {
                "The pod of this attempt is gone, and nothing of its log is in the archive, which keeps the last lines \
                 of attempts that failed, of the last ten of a run."
            }
            Self::NotAsMatched => {
                "The task's status is no longer the one whose ETag was sent as If-Match. Look at it, and send the change \
                 again if it is still meant."
            }
            Self::BodyTooLarge => {
                "The body is larger than is read here; the detail says how much that is. Put the content into a store of \
                 yours and hand over a reference."
            }
            Self::PayloadTooLarge => {
                "The payload is larger than its task type allows; the detail has both numbers. Put the content into a store \
                 of yours and hand over a reference."
            }
            Self::MediaType => {
                "Bodies are JSON: send Content-Type: application/json. A change by PATCH may be declared as \
                 application/merge-patch+json, too."
            }
            Self::ContentEncoding => "Bodies are read as they are. Send it without Content-Encoding.",
            Self::Invalid => {
                "A field is missing, unknown, or has a value that it cannot have. The field names it, and the detail says why."
            }
            Self::NumberTooLong => {
                "The cluster keeps integers of 64 bits with a sign, and every other number as a double. This one would \
                 come back as another. Write it as a string."
            }
            Self::UnknownType => {
                "No TaskType has this name in the namespace. Look for a typing error, or have it created."
            }
            Self::UnknownQueue => {
                "No TaskQueue has this name in the namespace. Look for a typing error, or leave it out for the usual queue."
            }
            Self::AboveMaximum => "The task type has a maximum for this field; the detail says which. Ask for less.",
            Self::LargerThanQueue => {
                "The task asks for more than its queue has in all at this priority, so it could never start. Ask for less, or \
                 use another queue."
            }
            Self::KeyReused => {
                "The Idempotency-Key was sent before with another request. Use a new key for a new request."
            }
            Self::Busy => {
                "Too many requests are being served just now. Send it again after the seconds of Retry-After."
            }
            Self::Deadline => {
                "The request took too long and was given up; what it asked for may be done later, or in part. Look, or send \
                 it again with the same Idempotency-Key."
            }
            Self::NotReady => "The tasks in the cluster are still being read. Send it again in a moment.",
            Self::NotTaken => "No replica leads just now, or it cannot write at the moment. Say it again in a moment.",
            Self::ApiServer => "The Kubernetes API server did not answer as it should. Send it again in a moment.",
            Self::NodeAway => {
                "The log is with the pod's node, which did not hand it out. Ask again in a moment; once a task has failed, \
                 the end of its log is in the archive."
            }
            Self::Archive => {
                "The archive, which knows tasks that left the cluster, did not answer. Send it again in a moment."
            }
        }
    }
}

/// The word for each type, with what it means.
impl PartialSchema for ProblemType {
    fn schema() -> RefOr<Schema> {
        let words = Self::iter().map(|kind| {
            let (word, title, status) = kind.parts();
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some([word]))
                .title(Some(title))
                .description(Some(format!("{status}. {}", kind.about())))
        });
        let all = words.fold(OneOfBuilder::new(), OneOfBuilder::item);
        all.description(Some("The types of problems, each with its status. Each has a page at its path.")).into()
    }
}

impl ToSchema for ProblemType {
    fn name() -> Cow<'static, str> {
        "ProblemType".into()
    }
}

/// The problems that any request may be answered with, named once for the OpenAPI document.
pub struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for kind in ProblemType::iter().filter(|kind| !kind.is_for_work_alone()) {
            by_status.entry(kind.parts().2).or_default().push(kind.name());
        }
        by_status.into_iter().map(|(status, names)| (status.to_string(), problem(status, &names).into())).collect()
    }
}

fn problem(status: u16, names: &[&str]) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new()
        .description(format!("A problem: {}.", names.join(", ")))
        .content("application/problem+json", content);
    if status != 503 {
        return response.build();
    }
    let seconds = HeaderBuilder::new().schema(Some(utoipa::schema!(u32).build()));
    response.header("Retry-After", seconds.description(Some("Seconds after which to try again")).build()).build()
}
