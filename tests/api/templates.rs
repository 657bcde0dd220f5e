//! A template is kept, or its type says no; and the API server's dry run is the truth about it.

use harness::*;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{LimitRange, Namespace as KubeNamespace, Pod, ResourceQuota};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use task_manager::api::{Condition, Reason, State, TaskType};

use crate::stage::{manifest, started, status};

pub fn read<K: DeserializeOwned>(manifest: Value) -> K {
    serde_json::from_value(manifest).expect("a manifest")
}

/// A type of the name "work" whose container has `fields` and whose pod has `more`, and which names no memory.
pub fn kind(metadata: Value, fields: Value, more: Value) -> Value {
    let mut container = json!({"name": "work", "image": "localhost/busybox:1", "command": ["true"]});
    extend(&mut container, fields);
    let mut spec = json!({"containers": [container]});
    extend(&mut spec, more);
    manifest("TaskType", "work", json!({"template": {"metadata": metadata, "spec": spec}}))
}

fn extend(object: &mut Value, fields: Value) {
    let fields = fields.as_object().cloned().unwrap_or_default();
    object.as_object_mut().expect("an object").extend(fields);
}

/// The Ready condition of the type "work", once it is so.
pub async fn ready(ns: &Namespace, is: &str) -> Condition {
    eventually(&format!("Ready is {is}"), SOON, async || {
        let kind: TaskType = ns.types().get("work").await.ok()?;
        let status = kind.status.filter(|status| Some(status.observed_generation) == kind.metadata.generation)?;
        status.conditions.into_iter().find(|seen| seen.type_ == "Ready" && seen.status == is)
    })
    .await
}

/// Creates a LimitRange, and waits until the API server goes by it.
pub async fn limit_range(ns: &Namespace, limits: Value) {
    let mut of_container = json!({"type": "Container"});
    extend(&mut of_container, limits);
    let range: LimitRange = read(json!({"metadata": {"name": "containers"}, "spec": {"limits": [of_container]}}));
    ns.create(&range).await;
    let pod: Pod =
        read(json!({"metadata": {"name": "control"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the LimitRange holds", SOON, async || {
        let pod = ns.pods().create(&dry, &pod).await.ok()?;
        pod.spec?.containers[0].resources.as_ref()?.requests.as_ref().map(drop)
    })
    .await;
}

async fn job_of(ns: &Namespace, task: &str) -> Job {
    eventually("its Job is there", SOON, async || {
        let is_its = |job: &Job| job.metadata.owner_references.iter().flatten().any(|owner| owner.name == task);
        ns.jobs_now().await.into_iter().find(is_its)
    })
    .await
}

#[tokio::test]
async fn what_a_template_says_reaches_job_and_pod_as_it_was_written() {
    in_namespace("kept", async |ns| {
        let node = ns.fake_node();
        node.otherwise(Outcome::Hold);
        let _operator = ns.operator(&[]).await;
        let claims = json!({"claims": [{"name": "device"}], "requests": {"cpu": 0.5}, "limits": {"memory": 1e8}});
        let fields = json!({"resources": claims, "terminationMessagePolicy": "FallbackToLogsOnError",
            "env": [{"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": 1}}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let more = json!({"resourceClaims": [{"name": "device", "resourceClaimTemplateName": "device"}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": 1_000_000}}]});
        let metadata = json!({"labels": {"cost-center": "4711"}, "annotations": {"example.com/owner": "docs"}});
        ns.apply(kind(metadata, fields, more)).await.expect("accepted");
        ready(&ns, "True").await;
        ns.create(&task("one")).await;
        started(&node, "one", 1).await;
        let job = job_of(&ns, "one").await;
        assert_eq!(job.metadata.labels.as_ref().expect("labels")["cost-center"], "4711");
        assert_eq!(job.metadata.annotations.as_ref().expect("annotations")["example.com/owner"], "docs");
        let template = job.spec.expect("a spec").template;
        assert_eq!(template.metadata.expect("metadata").labels.expect("labels")["cost-center"], "4711");
        let pod = template.spec.expect("a pod");
        let work = &pod.containers[0];
        let resources = work.resources.as_ref().expect("resources");
        assert_eq!(resources.claims.as_ref().expect("claims")[0].name, "device");
        assert_eq!(resources.requests.as_ref().expect("requests")["cpu"].0, "500m");
        assert_eq!(resources.limits.as_ref().expect("limits")["memory"].0, "100M");
        assert_eq!(work.termination_message_policy.as_deref(), Some("FallbackToLogsOnError"));
        let size = pod.volumes.as_ref().expect("volumes")[0].empty_dir.as_ref().expect("a folder").size_limit.as_ref();
        assert_eq!(size.map(|size| size.0.as_str()), Some("1M"));
    })
    .await;
}

#[tokio::test]
async fn a_type_whose_template_cannot_be_kept_is_not_ready_and_names_the_field() {
    in_namespace("not-kept", async |ns| {
        let _operator = ns.operator(&[]).await;
        let labels = json!({"labels": {"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "nightly",
            "controller-uid": "u", "job-name": "nightly"}, "creationTimestamp": null});
        let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
        let signal = json!({"stopSignal": "SIGUSR1"});
        let beside = json!({"containers": [{"name": "work", "image": "x"}, {"name": "beside", "image": "x", "lifecycle": signal}]});
        for (kind, words) in [
            (kind(json!({}), json!({"lifecycle": signal}), json!({})), vec!["spec.template.spec.containers[0].lifecycle", "drops"]),
            (kind(json!({}), json!({}), beside), vec!["spec.template.spec.containers[1].lifecycle", "feature gate"]),
            (kind(json!({}), json!({}), json!({"evictionResponders": [{"name": "a.dev/b", "priority": 1}]})), vec!["evictionResponders"]),
            (kind(json!({}), json!({"restartPolicyRules": rules}), json!({})), vec!["containers[0].restartPolicyRules", "one start"]),
            (kind(labels, json!({}), json!({})), vec!["batch.kubernetes.io/job-name", "controller-uid", "remove"]),
            (kind(json!({}), json!({"comand": ["true"]}), json!({})), vec!["spec.template.spec.containers[0].comand"]),
            (kind(json!({}), json!({"env": [{"name": "A", "value": 1}]}), json!({})), vec!["number", "value"]),
            (kind(json!({"labels": {"app": "x".repeat(64)}}), json!({}), json!({})), vec!["labels"]),
            (kind(json!({"finalizers": ["example.com/wait"]}), json!({}), json!({})), vec!["spec.template.metadata.finalizers", "remove"]),
            (kind(json!({"name": "mine"}), json!({}), json!({})), vec!["spec.template.metadata.name", "remove"]),
        ] {
            ns.apply(kind).await.expect("accepted");
            let said = ready(&ns, "False").await;
            assert!(words.iter().all(|word| said.message.contains(word)), "{words:?}: {}", said.message);
            assert_eq!(said.reason, Reason::TypeNotReady.as_str());
        }
    })
    .await;
}

/// The minor version of the API server's Kubernetes.
pub(crate) async fn minor_version(ns: &Namespace) -> u32 {
    let version = ns.client.apiserver_version().await.expect("it has one");
    version.minor.trim_end_matches('+').parse().expect("a number")
}

#[tokio::test]
async fn fields_that_are_on_since_1_35_are_kept_from_then_on_and_named_before() {
    in_namespace("since", async |ns| {
        let _operator = ns.operator(&[]).await;
        let is_older = minor_version(&ns).await < 35;
        let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
        let beside = json!({"containers": [{"name": "work", "image": "x"},
            {"name": "beside", "image": "x", "restartPolicy": "Never", "restartPolicyRules": rules}]});
        let image = json!({"volumes": [{"name": "tools", "image": {"reference": "x"}}]});
        for (more, path) in [
            (json!({"hostnameOverride": "h"}), "spec.template.spec.hostnameOverride"),
            (beside, "spec.template.spec.containers[1].restartPolicyRules"),
            (image, "spec.template.spec.volumes[0]"),
        ] {
            ns.apply(kind(json!({}), json!({}), more)).await.expect("accepted");
            let said = ready(&ns, if is_older { "False" } else { "True" }).await;
            assert!(!is_older || said.message.contains(path), "{path}: {}", said.message);
        }
    })
    .await;
}

/// A policy that wants a label on every Job of this namespace, once it is in force.
async fn a_policy_on_jobs(ns: &Namespace) {
    let policy: ValidatingAdmissionPolicy = read(json!({"metadata": {"name": ns.name}, "spec": {
        "matchConstraints": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}},
            "resourceRules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}]},
        "validations": [{"expression": "has(object.metadata.labels) && 'cost-center' in object.metadata.labels",
            "message": "every Job here needs the label cost-center"}]}}));
    let binding: ValidatingAdmissionPolicyBinding = read(json!({"metadata": {"name": ns.name},
        "spec": {"policyName": ns.name, "validationActions": ["Deny"]}}));
    Api::all(ns.client.clone()).create(&PostParams::default(), &policy).await.expect("a policy");
    Api::all(ns.client.clone()).create(&PostParams::default(), &binding).await.expect("a binding");
    let job: Job = read(json!({"metadata": {"name": "control"}, "spec": {"template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}}));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy holds", SOON, async || ns.jobs().create(&dry, &job).await.is_err().then_some(())).await;
}

#[tokio::test]
async fn a_policy_on_jobs_is_told_in_its_words_and_met_by_the_templates_labels() {
    in_namespace("policy", async |ns| {
        a_policy_on_jobs(&ns).await;
        let _node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        let said = ready(&ns, "Unknown").await;
        assert!(said.message.contains("every Job here needs the label cost-center"), "{}", said.message);
        ns.apply(kind(json!({"labels": {"cost-center": "4711"}}), json!({}), json!({}))).await.expect("accepted");
        ready(&ns, "True").await;
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        let all = DeleteParams::default();
        let _ = Api::<ValidatingAdmissionPolicyBinding>::all(ns.client.clone()).delete(&ns.name, &all).await;
        let _ = Api::<ValidatingAdmissionPolicy>::all(ns.client.clone()).delete(&ns.name, &all).await;
    })
    .await;
}

#[tokio::test]
async fn the_namespaces_own_defaults_for_memory_go_before_the_operators() {
    in_namespace("limit-range", async |ns| {
        let limits = json!({"default": {"cpu": "200m", "memory": "64Mi"}, "defaultRequest": {"cpu": "20m", "memory": "16Mi"},
            "max": {"cpu": "500m", "memory": "128Mi"}});
        limit_range(&ns, limits).await;
        let _node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        // Both at once: the first launch waits until it is known what the namespace gives.
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        let pod = ns.pods_now().await.remove(0).spec.expect("a spec");
        let limits = pod.containers[0].resources.as_ref().and_then(|resources| resources.limits.as_ref()).expect("limits");
        assert_eq!(limits["memory"].0, "64Mi");
        ready(&ns, "True").await;
    })
    .await;
}

#[tokio::test]
async fn what_a_limit_range_and_a_runtime_class_add_is_counted() {
    in_namespace("counted", async |ns| {
        limit_range(&ns, json!({"default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}})).await;
        let class: RuntimeClass = read(json!({"metadata": {"name": ns.name}, "handler": "runc",
            "overhead": {"podFixed": {"cpu": "10m", "memory": "20Mi"}}}));
        let classes = Api::<RuntimeClass>::all(ns.client.clone());
        classes.create(&PostParams::default(), &class).await.expect("a class");
        let queue = json!({"capacity": {"resources": {"cpu": "150m"}}});
        ns.apply(manifest("TaskQueue", "default", queue)).await.expect("accepted");
        let node = ns.fake_node();
        node.otherwise(Outcome::Hold);
        let _operator = ns.operator(&[]).await;
        ns.apply(kind(json!({}), json!({}), json!({"runtimeClassName": ns.name}))).await.expect("accepted");
        ns.create(&task("one")).await;
        ns.create(&task("two")).await;
        started(&node, "one", 1).await;
        let held = status(&ns.task("one").await).admitted.expect("a slot").resources;
        assert_eq!((held["cpu"].0.as_str(), held["memory"].0.as_str()), ("110m", "148Mi"));
        stays("the second has no room", A_MOMENT, async || node.starts_of("two") == 0).await;
        let large =
            |spec: &mut task_manager::api::TaskSpec| spec.resources = Some(read(json!({"requests": {"cpu": "145m"}})));
        ns.create(&task("large").with(large)).await;
        let told = ns.task_when("large", "is too large", |_, status| status.reason == Reason::TooLargeForQueue).await;
        let message = status(&told).message.unwrap_or_default();
        assert!(message.contains("155m"), "with the overhead: {message}");
        let _ = classes.delete(&ns.name, &DeleteParams::default()).await;
    })
    .await;
}

/// A quota whose usage is what the test says: nobody else counts it here.
pub async fn quota(ns: &Namespace, hard: Value, used: Value) {
    let quota: ResourceQuota = read(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}}));
    ns.create(&quota).await;
    let counted = Patch::Merge(json!({"status": {"hard": hard, "used": used}}));
    ns.api::<ResourceQuota>().patch_status("q", &PatchParams::default(), &counted).await.expect("a status");
}

#[tokio::test]
async fn a_quota_that_wants_memory_named_gets_the_operators_defaults() {
    in_namespace("quota-memory", async |ns| {
        let hard = json!({"limits.memory": "4Gi", "requests.memory": "4Gi"});
        quota(&ns, hard, json!({"limits.memory": "0", "requests.memory": "0"})).await;
        let _operator = ns.operator(&[]).await;
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        ready(&ns, "True").await;
    })
    .await;
}

#[tokio::test]
async fn a_full_quota_is_told_and_holds_nobody_up() {
    in_namespace("quota-full", async |ns| {
        quota(&ns, json!({"pods": "0"}), json!({"pods": "0"})).await;
        let _operator = ns.operator(&[]).await;
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        let said = ready(&ns, "Unknown").await;
        assert!(said.message.contains("exceeded quota: q"), "{}", said.message);
        ns.create(&task("one")).await;
        job_of(&ns, "one").await;
        let version = |kind: TaskType| kind.metadata.resource_version;
        let before = version(ns.types().get("work").await.expect("a type"));
        // It is asked again after ten seconds.
        let same = async || version(ns.types().get("work").await.expect("a type")) == before;
        stays("the same answer writes nothing", std::time::Duration::from_secs(13), same).await;
    })
    .await;
}

#[tokio::test]
async fn pod_security_refuses_a_type_for_good_though_its_job_would_be_made() {
    in_namespaces("pod-security", async |ns| {
        let enforce =
            Patch::Merge(json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}));
        let spaces = Api::<KubeNamespace>::all(ns.client.clone());
        spaces.patch(&ns.name, &PatchParams::default(), &enforce).await.expect("a label");
        let _operator = ns.operator(&[]).await;
        let mut kind = kind(json!({}), json!({}), json!({}));
        kind["spec"]["executor"] = json!(executor());
        ns.apply(kind).await.expect("accepted");
        let said = ready(&ns, "False").await;
        assert!(said.message.contains("violates PodSecurity"), "{}", said.message);
        ns.create(&task("one")).await;
        ns.task_when("one", "waits for its type", |_, status| status.reason == Reason::TypeNotReady).await;
        assert!(ns.launched_now().await.is_empty(), "nothing was launched");
    })
    .await;
}

#[tokio::test]
async fn the_first_type_that_a_person_writes_runs_in_the_sample_queue() {
    in_namespace("first-type", async |ns| {
        let queue = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../manifests/samples/20-taskqueue-default.yaml"
        ));
        ns.apply_yaml(&queue.expect("a sample")).await.expect("accepted");
        let _node = ns.fake_node();
        let _operator = ns.operator(&[]).await;
        ns.apply(kind(json!({}), json!({}), json!({}))).await.expect("accepted");
        ns.create(&task("one")).await;
        ns.task_in("one", State::Completed).await;
        let work = job_of(&ns, "one").await.spec.expect("a spec").template.spec.expect("a pod").containers.remove(0);
        let resources = work.resources.expect("resources");
        assert_eq!(resources.requests.expect("requests")["memory"].0, "128Mi");
        assert_eq!(resources.limits.expect("limits")["memory"].0, "1Gi");
    })
    .await;
}

#[tokio::test]
async fn a_type_that_can_be_used_tells_in_ready_what_in_it_is_changed_or_probably_a_slip() {
    in_namespace("noted", async |ns| {
        let _operator = ns.operator(&[]).await;
        let resources = json!({"requests": {"cpu": "2", "memory": "100m"}, "limits": {"cpu": "1", "memory": "64Mi"}});
        ns.apply(kind(json!({}), json!({ "resources": resources }), json!({}))).await.expect("accepted");
        let said = ready(&ns, "True").await.message;
        for words in ["the work requests cpu 2, above its limit 1", "containers[0].resources.requests.memory is 100m"] {
            assert!(said.contains(words), "{said}");
        }
    })
    .await;
}
