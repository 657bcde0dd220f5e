//! The filters by which a request names dead letters.

/// A type that has these filters and the fields that a request has beside them: they stand here once, for serde
/// flattens nothing into a type that refuses unknown fields.
macro_rules! filtered {
    ($(#[$about:meta])* pub struct $name:ident { $($more:tt)* }) => {
        $(#[$about])*
        pub struct $name {
            /// The kind of work; document_processing stands for document-processing.
            task_type: Option<String>,
            /// Why it failed, in one word.
            reason: Option<$crate::rest::wire::KnownReason>,
            kb_id: Option<String>,
            priority: Option<$crate::api::Priority>,
            queue: Option<String>,
            /// One of the served namespaces. Default: all of them.
            namespace: Option<String>,
            /// Failed at this time or later (RFC 3339).
            #[serde(default, deserialize_with = "crate::rest::request::time::written")]
            failed_from: Option<jiff::Timestamp>,
            /// Failed before this time (RFC 3339).
            #[serde(default, deserialize_with = "crate::rest::request::time::written")]
            failed_before: Option<jiff::Timestamp>,
            $($more)*
        }

        impl $name {
            /// Means every dead letter.
            #[allow(dead_code, reason = "a list may be of all")]
            fn is_empty(&self) -> bool {
                let texts = [&self.task_type, &self.kb_id, &self.queue, &self.namespace];
                let times = [&self.failed_from, &self.failed_before];
                texts.into_iter().all(Option::is_none)
                    && times.into_iter().all(Option::is_none)
                    && self.reason.is_none()
                    && self.priority.is_none()
            }

            /// The dead letters that are meant, in the namespaces that are served.
            fn filter(
                self,
                namespaces: &$crate::rest::namespaces::Namespaces,
            ) -> Result<Filter, $crate::serving::problem::Problem> {
                let namespaces = namespaces.filtered(self.namespace.as_deref())?;
                Ok(Filter {
                    type_: self.task_type.as_deref().map($crate::rest::request::field_names::type_name),
                    reason: self.reason.map(|reason| reason.0),
                    kb_id: self.kb_id,
                    priority: self.priority,
                    queue: self.queue,
                    finished_from: self.failed_from,
                    finished_before: self.failed_before,
                    ..Filter::within(namespaces).dead_letters()
                })
            }
        }
    };
}
pub(super) use filtered;
