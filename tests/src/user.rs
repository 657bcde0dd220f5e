//! A person in a test, with the roles that an installation has for people.

use std::process::Output;

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::target;
use crate::namespace::Namespace;
use crate::patience::{SOON, eventually};
use crate::rights::{OURS, RBAC, Rights, binding};

/// A person who was given roles in one namespace.
pub struct User {
    namespace: Namespace,
    name: String,
}

impl User {
    /// Runs kubectl as this person.
    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        self.namespace.kubectl(&[&["--as", &self.name], arguments].concat()).await
    }

    /// The refusal of this command; `None` where it is carried out.
    pub async fn refused(&self, arguments: &[&str]) -> Option<String> {
        let said = self.kubectl(arguments).await;
        (!said.status.success()).then(|| String::from_utf8_lossy(&said.stderr).into_owned())
    }

    /// The refusal of a manifest as kubectl sends it, which asks that unknown fields be refused.
    pub async fn refused_strictly(&self, manifest: &Value) -> Option<String> {
        let file = target().join("test-logs").join(format!("{}-{}.json", self.namespace.name, self.name));
        std::fs::write(&file, manifest.to_string()).expect("a manifest");
        self.refused(&["create", "--filename", &file.to_string_lossy()]).await
    }

    /// Creates an object from a manifest of any kind.
    pub async fn create(&self, manifest: Value) -> kube::Result<DynamicObject> {
        self.namespace.asked_by(self.client().await).create_raw(manifest).await
    }

    /// The authorizer's word on a request in this namespace.
    pub async fn may(&self, verb: &str, group: &str, resource: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let asked: SelfSubjectAccessReview = serde_json::from_value(json!({"spec": {"resourceAttributes": {
            "namespace": self.namespace.name, "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        }}}))
        .expect("a review");
        let reviews = Api::<SelfSubjectAccessReview>::all(self.client().await);
        let answer = reviews.create(&PostParams::default(), &asked).await.expect("an answer");
        answer.status.is_some_and(|status| status.allowed)
    }

    pub async fn client(&self) -> Client {
        let mut config = self.namespace.cluster.config().await;
        config.auth_info.impersonate = Some(self.name.clone());
        Client::try_from(config).expect("a client")
    }
}

fn subject(user: &str) -> Value {
    json!({"apiGroup": RBAC, "kind": "User", "name": user})
}

impl Namespace {
    /// A person who has these roles of the list here: view, edit, admin, task-admin.
    pub async fn user(&self, name: &str, roles: &[&str]) -> User {
        assert!(roles.iter().all(|role| Rights::of_the_chart().users.contains_key(*role)), "rights.yaml has {roles:?}");
        for role in roles {
            self.is_given(name, &format!("{OURS}:{role}")).await;
        }
        self.user_who_may_read(name).await
    }

    /// A person who has a role here that every cluster has.
    pub async fn user_of_cluster(&self, name: &str, role: &str) -> User {
        self.is_given(name, role).await;
        self.user_who_may_read(name).await
    }

    async fn is_given(&self, user: &str, role: &str) {
        let name = format!("{user}-{}", role.replace(':', "-"));
        self.create(&binding(&name, "ClusterRole", role, subject(user))).await;
    }

    async fn user_who_may_read(&self, name: &str) -> User {
        let user = User { namespace: self.clone(), name: name.into() };
        eventually("the roles count", SOON, async || user.may("list", "taskmanager.dev", "tasks").await.then_some(()))
            .await;
        user
    }

    /// Gives a person rights beside those roles.
    pub async fn role(&self, role: &str, user: &str, rules: Value) {
        let made: Role = serde_json::from_value(json!({"metadata": {"name": role}, "rules": rules})).expect("a role");
        self.create(&made).await;
        self.create(&binding(role, "Role", role, subject(user))).await;
    }
}
