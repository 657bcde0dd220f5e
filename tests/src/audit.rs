//! Reads the API server's audit log of operators under test: which of their rights were used, and what they were refused.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use crate::rights::{ACCOUNT, ACCOUNT_WITH_TOKEN, FEW_RIGHTS, Rights};

/// A group, a resource with its subresource, and a verb.
pub type Asked = (String, String, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    request_received_timestamp: Timestamp,
    verb: String,
    user: Who,
    impersonated_user: Option<Who>,
    object_ref: Option<Object>,
    #[serde(rename = "requestURI")]
    uri: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Who {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    resource: String,
    subresource: String,
    api_group: String,
}

/// The requests of operators under test.
#[derive(Default)]
pub struct Audit {
    pub requests: usize,
    pub used: BTreeSet<Asked>,
    /// A sentence for each kind of refusal, with how often it came.
    pub refused: BTreeMap<String, usize>,
}

impl Event {
    /// The namespace and the name of the operator's service account.
    fn operator(&self) -> Option<(&str, &str)> {
        let who = self.impersonated_user.as_ref().unwrap_or(&self.user);
        let (namespace, account) = who.username.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        [ACCOUNT, ACCOUNT_WITH_TOKEN, FEW_RIGHTS].contains(&account).then_some((namespace, account))
    }

    fn asked(&self) -> Option<Asked> {
        let object = self.object_ref.as_ref()?;
        let resource = match object.subresource.as_str() {
            "" => object.resource.clone(),
            subresource => format!("{}/{subresource}", object.resource),
        };
        Some((object.api_group.clone(), resource, self.verb.clone()))
    }

    /// The authorizer's word: a quota or a policy that refuses is none of its business.
    fn is_forbidden(&self) -> bool {
        self.annotations.get("authorization.k8s.io/decision").is_some_and(|decision| decision == "forbid")
    }
}

impl Audit {
    /// Takes in a line of the log. Requests before `since` are another run's.
    pub fn read(&mut self, line: &str, since: Timestamp) -> Result<(), serde_json::Error> {
        let event: Event = serde_json::from_str(line)?;
        let Some((namespace, account)) = event.operator().filter(|_| event.request_received_timestamp >= since) else {
            return Ok(());
        };
        self.requests += 1;
        match event.asked() {
            _ if !event.is_forbidden() => self.used.extend(event.asked()),
            _ if account == FEW_RIGHTS => {}
            Some((group, resource, verb)) => {
                // Names of namespaces end in digits that every run draws anew.
                let test = namespace.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit());
                let sentence = format!("{verb} {resource} of the group \"{group}\" in the test {test}");
                *self.refused.entry(sentence).or_default() += 1;
            }
            None => *self.refused.entry(format!("{} {}", event.verb, event.uri)).or_default() += 1,
        }
        Ok(())
    }

    /// The rights of the list that no operator used. Those on finalizers are asked for by an admission plugin, whenever a
    /// Job is made, and by no request; a test shows that the plugin is on.
    pub fn unused(&self, rights: &Rights) -> Vec<Asked> {
        let mut unused: Vec<Asked> = rights.of_the_operator().flat_map(crate::Right::asked).collect();
        unused.retain(|asked| !self.used.contains(asked) && !asked.1.ends_with("/finalizers"));
        unused
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(user: &str, verb: &str, resource: &str, subresource: &str, decision: &str) -> String {
        json!({"requestReceivedTimestamp": "2026-11-30T07:00:00.000001Z", "verb": verb, "requestURI": "/x",
            "user": {"username": "operators"}, "impersonatedUser": {"username": user},
            "objectRef": {"resource": resource, "subresource": subresource},
            "annotations": {"authorization.k8s.io/decision": decision}})
        .to_string()
    }

    fn read(lines: &[String]) -> Audit {
        let mut audit = Audit::default();
        let since = "2026-11-30T07:00:00Z".parse().expect("a time");
        lines.iter().for_each(|line| audit.read(line, since).expect("a line"));
        audit
    }

    #[test]
    fn what_an_operator_did_is_used_and_what_it_was_refused_is_told() {
        let it = "system:serviceaccount:docs-17-4:task-manager";
        let audit = read(&[
            line(it, "get", "pods", "log", "allow"),
            line(it, "list", "secrets", "", "forbid"),
            line("eve", "list", "nodes", "", "allow"),
        ]);
        assert_eq!((audit.requests, audit.used), (2, [("".into(), "pods/log".into(), "get".into())].into()));
        assert_eq!(audit.refused, [("list secrets of the group \"\" in the test docs".into(), 1)].into());
    }

    #[test]
    fn only_an_operator_whose_rights_were_taken_away_may_be_refused() {
        let it = format!("system:serviceaccount:docs-17-4:{FEW_RIGHTS}");
        let audit = read(&[line(&it, "list", "events", "", "forbid")]);
        assert!(audit.used.is_empty() && audit.refused.is_empty());
    }

    #[test]
    fn requests_of_an_earlier_run_do_not_count() {
        let mut audit = Audit::default();
        let since = "2026-11-30T07:00:01Z".parse().expect("a time");
        let it = "system:serviceaccount:docs-17-4:task-manager";
        audit.read(&line(it, "get", "pods", "", "allow"), since).expect("a line");
        assert_eq!(audit.requests, 0);
    }

    #[test]
    fn a_right_that_nobody_used_is_named() {
        let unused = Audit::default().unused(Rights::of_the_chart());
        assert!(unused.contains(&("batch".into(), "jobs".into(), "create".into())), "{unused:?}");
    }
}
