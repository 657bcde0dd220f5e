//! A service account for an operator, instead of the administrator, and the API server's own count of its requests.
//! Other users of that API server are not counted.

use std::ops::Sub;
use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use task_manager::api::Task;

use crate::cluster::{config_of, target};
use crate::metrics::Metrics;
use crate::namespace::Namespace;
use crate::patience::{SOON, eventually};
use crate::rights;
use crate::rights::ACCOUNT_WITH_TOKEN as NAME;

const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
/// Precedence of the test's FlowSchemas: before all of the API server's own but the one for administrators.
const PRECEDENCE: u32 = 100;

/// Requests that are counted separately: a name, the verbs, the group and the resources. A request counts for the
/// first entry that it matches.
const COUNTED: [(&str, &[&str], &str, &str); 8] = [
    ("leases", &["*"], "coordination.k8s.io", "leases"),
    ("statuses", &["update"], "taskmanager.dev", "tasks/status"),
    ("jobs", &["create"], "batch", "jobs"),
    ("pods", &["create"], "", "pods"),
    ("pools", &["update"], "taskmanager.dev", "workerpools/status"),
    ("reviews", &["create"], "authentication.k8s.io", "tokenreviews"),
    ("writes", &WRITES, "*", "*"),
    // The last one shows that all are in force, since it was created last.
    ("reads", &["get", "list"], "*", "*"),
];

pub struct Account {
    namespace: Namespace,
    pub kubeconfig: PathBuf,
}

/// Requests of one account, refused ones too, as the API server counts them. A watch is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Writes of a task's status.
    pub statuses: u64,
    /// Jobs and bare pods created.
    pub launches: u64,
    /// Writes of a worker pool's status.
    pub pools: u64,
    /// Tokens that were asked about: that changes nothing.
    pub reviews: u64,
    /// All other mutating requests but those about Leases.
    pub other_writes: u64,
    pub leases: u64,
    pub reads: u64,
}

impl Requests {
    /// All requests that change something but those about Leases.
    pub fn writes(self) -> u64 {
        self.statuses + self.launches + self.pools + self.other_writes
    }
}

impl Sub for Requests {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            statuses: self.statuses - before.statuses,
            launches: self.launches - before.launches,
            pools: self.pools - before.pools,
            reviews: self.reviews - before.reviews,
            other_writes: self.other_writes - before.other_writes,
            leases: self.leases - before.leases,
            reads: self.reads - before.reads,
        }
    }
}

impl Account {
    pub(crate) async fn create(namespace: &Namespace) -> Self {
        namespace.create(&made::<ServiceAccount>(json!({"metadata": {"name": NAME}}))).await;
        let account = Self { namespace: namespace.clone(), kubeconfig: write_kubeconfig(namespace).await };
        namespace.create(&rights::in_namespace(NAME, &namespace.name)).await;
        account.create_cluster_wide(&account.rights()).await;
        for (place, (name, ..)) in COUNTED.iter().enumerate() {
            account.create_cluster_wide(&account.counter(place, name)).await;
        }
        account.is_counted().await;
        account
    }

    pub async fn requests(&self) -> Requests {
        let metrics = self.namespace.cluster_metrics().await;
        let count = |name: &str| {
            let schema = self.name_of(name);
            metrics.count("apiserver_flowcontrol_dispatched_requests_total", &[("flow_schema", schema.as_str())])
        };
        Requests {
            statuses: count("statuses"),
            launches: count("jobs") + count("pods"),
            pools: count("pools"),
            reviews: count("reviews"),
            other_writes: count("writes"),
            leases: count("leases"),
            reads: count("reads"),
        }
    }

    /// Removes the objects outside the namespace. A missed call harms nothing.
    pub async fn remove(self) {
        let how = DeleteParams::default();
        for (name, ..) in COUNTED {
            let _ = self.all::<FlowSchema>().delete(&self.name_of(name), &how).await;
        }
        let _ = self.all::<ClusterRoleBinding>().delete(&self.name_of("rights"), &how).await;
    }

    fn name_of(&self, what: &str) -> String {
        format!("{}-{what}", self.namespace.name)
    }

    fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.namespace.client.clone())
    }

    async fn create_cluster_wide<K>(&self, object: &K)
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
    {
        self.all::<K>().create(&PostParams::default(), object).await.expect("it is accepted");
    }

    fn rights(&self) -> ClusterRoleBinding {
        rights::in_cluster(&self.name_of("rights"), NAME, &self.namespace.name)
    }

    /// The API server counts requests by FlowSchema: one for each kind of request of this account alone.
    fn counter(&self, place: usize, name: &str) -> FlowSchema {
        let (_, verbs, group, resource) = COUNTED[place];
        made(json!({
            "metadata": {"name": self.name_of(name)},
            "spec": {
                "matchingPrecedence": PRECEDENCE + place as u32,
                "priorityLevelConfiguration": {"name": "workload-high"},
                "rules": [{
                    "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": NAME, "namespace": self.namespace.name}}],
                    "resourceRules": [{"verbs": verbs, "apiGroups": [group], "resources": [resource],
                        "namespaces": ["*"], "clusterScope": true}],
                }],
            },
        }))
    }

    async fn is_counted(&self) {
        let client = Client::try_from(config_of(&self.kubeconfig).await).expect("a client");
        let tasks = Api::<Task>::namespaced(client, &self.namespace.name);
        eventually("the API server counts the account's requests", SOON, async || {
            tasks.list(&ListParams::default()).await.ok()?;
            (self.requests().await.reads > 0).then_some(())
        })
        .await;
    }
}

fn made<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

/// The cluster's kubeconfig with the account's token in the administrator's place.
async fn write_kubeconfig(namespace: &Namespace) -> PathBuf {
    let request = made::<TokenRequest>(json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 86_400}}));
    let accounts = namespace.api::<ServiceAccount>();
    let token = accounts.create_token_request(NAME, &PostParams::default(), &request).await.expect("a token");
    let text = std::fs::read_to_string(namespace.cluster.kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("YAML");
    kubeconfig["users"][0]["user"] = json!({"token": token.status.expect("a token").token});
    let folder = target().join("test-logs").join("accounts");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(&namespace.name);
    std::fs::write(&file, kubeconfig.to_string()).expect("a file");
    file
}

impl Namespace {
    /// An account for an operator that looks after this namespace.
    pub async fn account(&self) -> Account {
        Account::create(self).await
    }

    /// The API server's own metrics.
    pub async fn cluster_metrics(&self) -> Metrics {
        let answer = self.kubectl(&["get", "--raw", "/metrics"]).await;
        assert!(answer.status.success(), "{answer:?}");
        Metrics { text: String::from_utf8_lossy(&answer.stdout).into_owned() }
    }
}
