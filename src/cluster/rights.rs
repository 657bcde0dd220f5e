//! Rights that the operator can do without: each that is missing is told once, with what is then not known, and once more
//! when it is there. Never decides what follows.

use std::collections::HashSet;
use std::sync::Arc;

use kube::core::Status;
use parking_lot::Mutex;

use super::calls::CallError;

/// How many missing rights are remembered; beyond that no other one is told.
const REMEMBERED: usize = 1000;
const FORBIDDEN: u16 = 403;

/// Something that the operator may do to objects of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    ListEvents,
    GetNodes,
    CreateJobs,
    CreatePods,
    CreateTasks,
    GetPodLogs,
    ListPriorityClasses,
    WatchNamespaces,
    WriteEvents,
    ReviewTokens,
}

impl Right {
    /// The name in charts/task-manager/files/rights.yaml. A Job is tried by the right with which it is made.
    fn name(self) -> &'static str {
        match self {
            Self::ListEvents => "readEvents",
            Self::GetNodes => "nodes",
            Self::CreateJobs => "jobs",
            Self::CreatePods => "createPods",
            Self::CreateTasks => "batches",
            Self::GetPodLogs => "podLogs",
            Self::ListPriorityClasses => "priorityClasses",
            Self::WatchNamespaces => "namespaces",
            Self::WriteEvents => "writeEvents",
            Self::ReviewTokens => "tokenReviews",
        }
    }

    fn verb_and_resource(self) -> (&'static str, &'static str) {
        match self {
            Self::ListEvents => ("list", "events"),
            Self::GetNodes => ("get", "nodes"),
            Self::CreateJobs => ("create", "jobs.batch"),
            Self::CreatePods => ("create", "pods"),
            Self::CreateTasks => ("create", "tasks.taskmanager.dev"),
            Self::GetPodLogs => ("get", "pods/log"),
            Self::ListPriorityClasses => ("list", "priorityclasses.scheduling.k8s.io"),
            Self::WatchNamespaces => ("watch", "namespaces"),
            Self::WriteEvents => ("create", "events.events.k8s.io"),
            Self::ReviewTokens => ("create", "tokenreviews.authentication.k8s.io"),
        }
    }

    fn without_it(self) -> &'static str {
        match self {
            Self::ListEvents => {
                "why a pod or its container is not made is not known, nor whether the work of a pod that goes has begun"
            }
            Self::GetNodes => {
                "whether the node of a pod that should be gone answers is not known: after 60 s it counts as lost"
            }
            Self::CreateJobs => {
                "Jobs cannot be made, and whether a type's Job can be is not known before its first launch"
            }
            Self::CreatePods => {
                "bare pods cannot be made, and what the namespace and webhooks add to a type's pod is not known: queues count it by its template"
            }
            Self::CreateTasks => "no chunk of a batch can be made",
            Self::GetPodLogs => "the last lines of what failed are not in the archive",
            Self::ListPriorityClasses => "pods get no PriorityClass of their task's priority",
            Self::WatchNamespaces => "that a namespace is being deleted is known only by what it refuses",
            Self::WriteEvents => "tasks have no events; their status says the same",
            Self::ReviewTokens => "no report of a task's work over the worker port is accepted",
        }
    }
}

/// The missing rights that were told, each by the namespace in which it is missing; empty for the cluster.
#[derive(Clone, Default)]
pub struct Rights(Arc<Mutex<HashSet<(Right, String)>>>);

/// A change of what may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Missing,
    ThereAgain,
}

impl Rights {
    /// Takes note of the answer to a request that needs this right, and tells what is news.
    pub fn note<T>(&self, right: Right, namespace: &str, answer: &Result<T, CallError>) {
        let Some(news) = self.news(right, namespace, answer) else { return };
        let (verb, resource) = right.verb_and_resource();
        match news {
            News::Missing => {
                let (name, without) = (right.name(), right.without_it());
                tracing::warn!(namespace, verb, resource, name, without, "a right is missing");
            }
            News::ThereAgain => tracing::info!(namespace, verb, resource, "a right that was missing is there again"),
        }
    }

    fn news<T>(&self, right: Right, namespace: &str, answer: &Result<T, CallError>) -> Option<News> {
        let mut missing = self.0.lock();
        let which = (right, namespace.to_owned());
        match answer {
            Ok(_) => missing.remove(&which).then_some(News::ThereAgain),
            Err(error) if error.is_of_rights() && missing.len() < REMEMBERED => {
                missing.insert(which).then_some(News::Missing)
            }
            Err(_) => None,
        }
    }
}

impl CallError {
    /// Whether the API server's authorizer refuses, and not a quota, policy or webhook.
    pub fn is_of_rights(&self) -> bool {
        matches!(self, Self::Refused(status) if is_of_rights(status))
    }
}

fn is_of_rights(status: &Status) -> bool {
    status.code == FORBIDDEN && status.message.contains(" cannot ") && status.message.contains(" resource ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Result<(), CallError> {
        Err(CallError::Refused(Box::new(Status { code: 403, message: message.into(), ..Status::default() })))
    }

    #[test]
    fn a_missing_right_is_told_once_and_once_more_when_it_is_there() {
        let rights = Rights::default();
        let forbidden = || refused("events is forbidden: User \"u\" cannot list resource \"events\" in API group \"\"");
        let tell = |namespace: &str, answer| rights.news(Right::ListEvents, namespace, &answer);
        assert_eq!(tell("a", Ok(())), None);
        assert_eq!([tell("a", forbidden()), tell("a", forbidden())], [Some(News::Missing), None]);
        assert_eq!(tell("b", forbidden()), Some(News::Missing), "it is another namespace's");
        assert_eq!(tell("a", Err(CallError::Deadline)), None);
        assert_eq!([tell("a", Ok(())), tell("a", Ok(()))], [Some(News::ThereAgain), None]);
        assert_eq!(tell("a", forbidden()), Some(News::Missing));
    }

    #[test]
    fn each_right_that_can_be_left_out_is_noted_by_its_name_in_the_list() {
        let list = include_str!("../../charts/task-manager/files/rights.yaml");
        let list: serde_json::Value = serde_saphyr::from_str(list).expect("YAML");
        let rights = ["operator", "rest", "lease", "cluster"].into_iter().flat_map(|part| list[part].as_array());
        let mut listed: Vec<&str> = rights.flatten().filter_map(|right| right["name"].as_str()).collect();
        let noted = [
            Right::ListEvents,
            Right::GetNodes,
            Right::CreatePods,
            Right::CreateTasks,
            Right::GetPodLogs,
            Right::ListPriorityClasses,
            Right::WatchNamespaces,
            Right::WriteEvents,
            Right::ReviewTokens,
        ];
        let mut noted = noted.map(Right::name);
        listed.sort_unstable();
        noted.sort_unstable();
        assert_eq!(listed, noted);
    }

    #[test]
    fn what_a_quota_or_policy_refuses_is_no_missing_right() {
        let rights = Rights::default();
        for message in [
            "pods \"w\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
            "pods \"w\" is forbidden: violates PodSecurity \"restricted:latest\": privileged",
        ] {
            assert_eq!(rights.news(Right::CreatePods, "a", &refused(message)), None, "{message}");
        }
    }
}
