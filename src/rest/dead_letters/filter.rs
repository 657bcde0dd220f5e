//! Which dead letters a request means.

use std::borrow::Cow;

use serde::Deserialize;
use strum::IntoEnumIterator;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::api::Reason;
use crate::archive::Filter;
use crate::rest::app::App;
use crate::rest::problem::Problem;

/// A type that has these filters and what a request says beside them: they stand here once, for serde flattens nothing
/// into a type that refuses unknown fields.
macro_rules! filtered {
    ($(#[$about:meta])* pub struct $name:ident { $($more:tt)* }) => {
        $(#[$about])*
        pub struct $name {
            /// The kind of work; document_processing stands for document-processing.
            task_type: Option<String>,
            /// Why it failed, in one word.
            reason: Option<$crate::rest::dead_letters::filter::Word>,
            kb_id: Option<String>,
            priority: Option<$crate::rest::ask::wire::Priority>,
            queue: Option<String>,
            /// One of the served namespaces. Default: all of them.
            namespace: Option<String>,
            /// Failed at this time or later (RFC 3339).
            failed_from: Option<jiff::Timestamp>,
            /// Failed before this time (RFC 3339).
            failed_before: Option<jiff::Timestamp>,
            $($more)*
        }

        impl $name {
            /// The dead letters that are meant, of those that a client may see.
            fn filter(self, app: &$crate::rest::app::App) -> Result<Filter, Problem> {
                Ok(Filter {
                    type_: self.task_type.as_deref().map($crate::rest::request::field_names::type_name),
                    reason: self.reason.map(|word| word.0),
                    kb_id: self.kb_id,
                    priority: self.priority.map(Into::into),
                    queue: self.queue,
                    finished_from: self.failed_from,
                    finished_before: self.failed_before,
                    ..$crate::rest::dead_letters::filter::within(app, self.namespace.as_deref())?
                })
            }
        }
    };
}
pub(super) use filtered;

/// All dead letters that a client may see: of this namespace, or of all that are served.
pub(super) fn within(app: &App, namespace: Option<&str>) -> Result<Filter, Problem> {
    let namespaces = match namespace {
        Some(namespace) => vec![app.namespace(Some(namespace))?.to_owned()],
        None => app.namespaces().to_vec(),
    };
    Ok(Filter::within(namespaces).dead_letters())
}

/// A reason that there is. A word that we do not know is nobody's filter, but a typing error.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Word(pub Reason);

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(told: String) -> Result<Self, String> {
        let known = Reason::iter().find(|reason| reason.to_string() == told);
        known.map(Self).ok_or_else(|| format!("{told:?} is no reason; use one of those that docs/reasons.md lists"))
    }
}

impl PartialSchema for Word {
    fn schema() -> RefOr<Schema> {
        let words = Reason::iter().map(|reason| reason.to_string());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
    }
}

impl ToSchema for Word {
    fn name() -> Cow<'static, str> {
        "Reason".into()
    }
}
