//! Which of the tasks in the cluster are meant: by filters that are and-ed.

use crate::api::Priority;
use crate::rest::index::IndexedTask;
use crate::rest::wire::Phase;

#[derive(Default)]
pub struct Selection {
    pub status: Option<Phase>,
    /// As it is called in the cluster.
    pub task_type: Option<String>,
    pub kb_id: Option<String>,
    pub priority: Option<Priority>,
    pub queue: Option<String>,
    pub namespace: Option<String>,
}

impl Selection {
    /// Takes every task.
    pub fn is_empty(&self) -> bool {
        let Self { status, task_type, kb_id, priority, queue, namespace } = self;
        let texts = [task_type, kb_id, queue, namespace];
        status.is_none() && priority.is_none() && texts.into_iter().all(Option::is_none)
    }

    pub fn takes(&self, known: &IndexedTask) -> bool {
        let is = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        let head = &known.head;
        self.status.is_none_or(|status| status == head.status)
            && self.priority.is_none_or(|priority| priority == head.priority)
            && is(&self.task_type, Some(&head.task_type))
            && is(&self.kb_id, head.kb_id.as_deref())
            && is(&self.queue, Some(&head.queue))
            && is(&self.namespace, Some(&head.namespace))
    }
}

/// A type that has these filters and the fields that a request has beside them: they stand here once, for serde
/// flattens nothing into a type that refuses unknown fields.
macro_rules! selecting {
    ($(#[$about:meta])* pub struct $name:ident { $($more:tt)* }) => {
        $(#[$about])*
        pub struct $name {
            /// queued, processing, completed, failed or cancelled.
            status: Option<$crate::rest::wire::Phase>,
            /// The kind of work; document_processing stands for document-processing.
            task_type: Option<String>,
            kb_id: Option<String>,
            priority: Option<$crate::api::Priority>,
            queue: Option<String>,
            /// One of the served namespaces. Default: all of them.
            namespace: Option<String>,
            $($more)*
        }

        impl $name {
            /// The tasks that are meant, in the namespaces that are served.
            fn selection(
                &self,
                namespaces: &$crate::rest::namespaces::Namespaces,
            ) -> Result<$crate::rest::ask::selection::Selection, $crate::serving::problem::Problem> {
                namespaces.filtered(self.namespace.as_deref())?;
                Ok($crate::rest::ask::selection::Selection {
                    status: self.status,
                    task_type: self.task_type.as_deref().map($crate::rest::request::field_names::type_name),
                    kb_id: self.kb_id.clone(),
                    priority: self.priority,
                    queue: self.queue.clone(),
                    namespace: self.namespace.clone(),
                })
            }
        }
    };
}
pub(in crate::rest) use selecting;
