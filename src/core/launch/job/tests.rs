use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Container;
use serde_json::json;

use super::super::holds::{Holds, launched_as};
use super::super::ownership::OUR_MOUNT;
use super::*;
use task_manager_api::{Admitted, AttemptRecord, Payload, Reason, TaskSpec, TaskTypeSpec};

fn built(spec: TaskSpec) -> Job {
    built_with(spec, &Settings::default())
}

fn built_with(spec: TaskSpec, settings: &Settings) -> Job {
    let template = json!({"spec": {"containers": [
        {"name": "work", "image": "busybox", "env": [{"name": "TOKEN", "value": "s3cr3t"}]},
        {"name": "beside", "image": "busybox"},
    ]}});
    let job = job_of(spec, template, TaskStatus::default(), settings);
    serde_json::from_value(job).expect("a Job")
}

fn job_of(spec: TaskSpec, template: Value, status: TaskStatus, settings: &Settings) -> Value {
    let mut task = Task::new("report-7", TaskSpec { type_: "reports".into(), ..spec });
    task.metadata.uid = Some("uid-1".into());
    task.metadata.namespace = Some("docs".into());
    task.metadata.labels = Some([("secret".to_owned(), "label".to_owned())].into());
    let status = TaskStatus {
        attempt: 2,
        admitted: Some(Admitted { queue: "default".into(), ..Admitted::default() }),
        ..status
    };
    let task_type = ParsedType::read(&TaskTypeSpec { template, ..TaskTypeSpec::default() });
    let classes = ["task-manager-normal".to_owned()].into();
    job(&task, &status, &task_type, settings, &classes).expect("a Job")
}

fn work(job: &Job) -> Container {
    job.spec.clone().expect("a spec").template.spec.expect("a pod").containers[0].clone()
}

fn variable(job: &Job, name: &str) -> Option<String> {
    work(job).env.into_iter().flatten().find(|variable| variable.name == name)?.value
}

#[test]
fn an_attempt_is_a_job_that_never_retries_by_itself() {
    let job = built(TaskSpec { timeout_seconds: Some(90), ..TaskSpec::default() });
    let spec = job.spec.clone().expect("a spec");
    assert_eq!(
        (spec.backoff_limit, spec.ttl_seconds_after_finished, spec.active_deadline_seconds),
        (Some(0), None, None)
    );
    let pod = spec.template.spec.expect("a pod");
    assert_eq!(
        (pod.restart_policy.as_deref(), pod.active_deadline_seconds),
        (Some("Never"), Some(690)),
        "600 s to start, and then 90"
    );
    let metadata = job.spec.clone().expect("a spec").template.metadata.expect("metadata");
    assert_eq!(metadata.annotations.expect("annotations")[names::ANNOTATION_TIMEOUT], "90");
    let owner = &job.metadata.owner_references.expect("owners")[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("Task", "uid-1", Some(true)));
}

#[test]
fn the_work_is_named_on_the_pod_and_for_kubectl_unless_the_template_does() {
    let annotations = |template: Value| {
        let job = job_of(TaskSpec::default(), template, TaskStatus::default(), &Settings::default());
        let job: Job = serde_json::from_value(job).expect("a Job");
        job.spec.expect("a spec").template.metadata.expect("metadata").annotations.expect("annotations")
    };
    let containers = json!({"containers": [{"name": "convert", "image": "a"}, {"name": "beside", "image": "b"}]});
    let plain = annotations(json!({"spec": containers}));
    assert_eq!(plain[names::ANNOTATION_CONTAINER], "convert");
    assert_eq!(plain[names::ANNOTATION_DEFAULT_CONTAINER], "convert");
    let theirs = json!({names::ANNOTATION_DEFAULT_CONTAINER: "beside"});
    let chosen = annotations(json!({"metadata": {"annotations": theirs}, "spec": containers}));
    assert_eq!(chosen[names::ANNOTATION_CONTAINER], "convert");
    assert_eq!(chosen[names::ANNOTATION_DEFAULT_CONTAINER], "beside");
}

#[test]
fn the_work_is_told_who_it_is() {
    let job = built(TaskSpec { kb_id: Some("kb-42".into()), ..TaskSpec::default() });
    for (name, value) in [
        ("TASK_ID", "uid-1"),
        ("TASK_NAME", "report-7"),
        ("TASK_TYPE", "reports"),
        ("TASK_ATTEMPT", "2"),
        ("TASK_KB_ID", "kb-42"),
        ("TASK_PAYLOAD_FILE", "/task/payload.json"),
        ("TOKEN", "s3cr3t"),
    ] {
        assert_eq!(variable(&job, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn job_and_pod_say_whose_they_are_and_what_they_hold() {
    let job = built(TaskSpec { kb_id: Some("kb-42".into()), ..TaskSpec::default() });
    let pod = job.spec.clone().expect("a spec").template.metadata.expect("metadata");
    for metadata in [&job.metadata, &pod] {
        let labels = metadata.labels.clone().expect("labels");
        assert_eq!(labels[names::LABEL_TASK_UID], "uid-1");
        assert_eq!(labels[names::TASK], "report-7");
        assert_eq!((labels[names::LABEL_TYPE].as_str(), labels[names::LABEL_ATTEMPT].as_str()), ("reports", "2"));
        let annotations = metadata.annotations.as_ref().expect("annotations");
        assert!(!annotations.contains_key(names::TASK), "the label has the whole name");
        let held = &annotations[names::ANNOTATION_HOLDS];
        let held: Holds = serde_json::from_str(held).expect("JSON");
        let holds = (held.queue.as_str(), held.type_.as_str(), held.kb_id.as_deref());
        assert_eq!(holds, ("default", "reports", Some("kb-42")));
    }
}

#[test]
fn a_job_bears_what_its_slot_needs_and_what_the_template_says_and_nothing_else() {
    let theirs = json!({"team": "docs", names::ANNOTATION_DEFAULT_CONTAINER: "beside"});
    let template = |annotations: &Value| json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "work"}]}});
    for (annotations, expected) in [
        (json!({}), vec![names::ANNOTATION_HOLDS]),
        (theirs, vec![names::ANNOTATION_DEFAULT_CONTAINER, names::ANNOTATION_HOLDS, "team"]),
    ] {
        let job = job_of(TaskSpec::default(), template(&annotations), TaskStatus::default(), &Settings::default());
        let found = job["metadata"]["annotations"].as_object().expect("annotations");
        assert_eq!(
            found.keys().collect::<BTreeSet<_>>(),
            expected.iter().map(ToString::to_string).collect::<Vec<_>>().iter().collect()
        );
    }
}

#[test]
fn a_pod_tells_what_was_launched_whatever_its_task_says_by_now() {
    let payload = json!({"uri": "s3://in/7.pdf", "half": 0.5, "nested": [{"a": null}]});
    let payload: Payload = serde_json::from_value(payload).expect("a payload");
    let ran = TaskSpec { kb_id: Some("kb-42".into()), payload: Some(payload), ..TaskSpec::default() };
    let pod = built(ran.clone()).spec.expect("a spec").template.metadata.expect("metadata");
    let annotations = pod.annotations.expect("annotations");
    let now = TaskSpec { type_: "other".into(), queue: "other".into(), run_id: "2".into(), ..TaskSpec::default() };
    let told = launched_as(&annotations, &now).expect("a spec");
    assert_eq!((told.type_.as_str(), told.queue.as_str()), ("reports", "default"));
    assert_eq!((told.kb_id, told.payload, told.run_id.as_str()), (ran.kb_id, ran.payload, "2"));
    assert_eq!(launched_as(&BTreeMap::new(), &now), None, "it is none of ours");
}

#[test]
fn the_work_finds_its_payload_read_only_and_no_other_volume_of_ours() {
    let job = built(TaskSpec::default());
    let mounts = work(&job).volume_mounts.expect("mounts");
    let mounted: Vec<_> = mounts.iter().map(|mount| (mount.mount_path.as_str(), mount.read_only)).collect();
    assert_eq!(mounted, [(OUR_MOUNT, Some(true))]);
    let volumes = job.spec.expect("a spec").template.spec.expect("a pod").volumes.expect("volumes");
    assert_eq!(volumes.iter().map(|volume| &volume.name).collect::<Vec<_>>(), [&mounts[0].name]);
    let file = &volumes[0].downward_api.as_ref().expect("downward API").items.as_ref().expect("files")[0];
    let from = file.field_ref.as_ref().expect("a field");
    assert_eq!(
        (file.path.as_str(), from.field_path.as_str()),
        ("payload.json", "metadata.annotations['taskmanager.dev/payload']")
    );
}

#[test]
fn where_there_is_a_worker_api_the_work_finds_its_address_and_a_token_for_it() {
    let settings = Settings { worker_url: Some("http://operator:8082".into()), ..Settings::default() };
    let job = built_with(TaskSpec::default(), &settings);
    assert_eq!(variable(&job, "TASK_API_URL").as_deref(), Some("http://operator:8082"));
    assert_eq!(variable(&job, "TASK_TOKEN_FILE").as_deref(), Some("/task-token/token"));
    let mounts = work(&job).volume_mounts.expect("mounts");
    let mounted = mounts.iter().find(|mount| mount.mount_path == "/task-token").expect("a mount");
    let pod = job.spec.expect("a spec").template.spec.expect("a pod");
    assert_eq!(pod.service_account_name.as_deref(), Some("default"));
    assert!(pod.containers[1].volume_mounts.is_none(), "the token is the work's alone");
    let volume = pod.volumes.into_iter().flatten().find(|volume| volume.name == mounted.name).expect("a volume");
    let source = volume.projected.and_then(|projected| projected.sources).expect("sources").remove(0);
    let token = source.service_account_token.expect("a token");
    assert_eq!((token.audience.as_deref(), token.path.as_str()), (Some("task-manager"), "token"));
    assert!(token.expiration_seconds >= Some(600));
}

#[test]
fn without_a_worker_api_the_pod_has_no_token_and_no_account_of_ours() {
    let job = built(TaskSpec::default());
    assert_eq!((variable(&job, "TASK_API_URL"), variable(&job, "TASK_TOKEN_FILE")), (None, None));
    let pod = job.spec.expect("a spec").template.spec.expect("a pod");
    assert!(pod.service_account_name.is_none() && pod.volumes.expect("volumes").len() == 1);
}

#[test]
fn a_kb_id_cannot_read_a_secret_out_of_the_environment() {
    let job = built(TaskSpec { kb_id: Some("$(TOKEN)".into()), ..TaskSpec::default() });
    assert_eq!(variable(&job, "TASK_KB_ID").as_deref(), Some("$$(TOKEN)"));
}

#[test]
fn nothing_of_the_tasks_metadata_but_its_name_reaches_the_pod() {
    let job = built(TaskSpec::default());
    let metadata = job.spec.expect("a spec").template.metadata.expect("metadata");
    assert!(!metadata.labels.expect("labels").contains_key("secret"));
}

#[test]
fn the_payload_comes_as_compact_json_by_the_downward_api() {
    let payload = serde_json::from_value(json!({"uri": "s3://in", "n": 1})).expect("an object");
    let job = built(TaskSpec { payload: Some(payload), ..TaskSpec::default() });
    let annotations = job.spec.expect("a spec").template.metadata.expect("metadata").annotations.expect("annotations");
    assert_eq!(annotations[names::ANNOTATION_PAYLOAD], r#"{"n":1,"uri":"s3://in"}"#);
}

#[test]
fn the_pod_gets_the_priority_class_of_its_task_where_there_is_one() {
    let class = |job: Job| job.spec.expect("a spec").template.spec.expect("a pod").priority_class_name;
    assert_eq!(class(built(TaskSpec::default())).as_deref(), Some("task-manager-normal"));
}

#[test]
fn only_the_first_container_is_the_work() {
    let job = built(TaskSpec::default());
    let beside = job.spec.expect("a spec").template.spec.expect("a pod").containers[1].clone();
    assert!(beside.env.is_none() && beside.resources.is_none());
}

#[test]
fn work_without_a_memory_limit_gets_the_default_one() {
    let limits = work(&built(TaskSpec::default())).resources.expect("resources").limits.expect("limits");
    assert_eq!(limits["memory"].0, "1Gi");
}

#[test]
fn a_template_is_kept_as_it_was_written() {
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]);
    let template = json!({
        "metadata": {"labels": {"cost-center": "4711"}, "annotations": {"example.com/a": "b"}},
        "spec": {
            "fieldOfTomorrow": true, "overhead": {"cpu": 1},
            "resourceClaims": [{"name": "device", "resourceClaimTemplateName": "device"}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": 1_000_000}}],
            "containers": [
                {"name": "work", "resources": {"claims": [{"name": "device"}], "limits": {"memory": 1e8}},
                 "terminationMessagePolicy": "FallbackToLogsOnError"},
                {"name": "beside", "restartPolicy": "Never", "restartPolicyRules": rules},
            ],
        },
    });
    let job = job_of(TaskSpec::default(), template.clone(), TaskStatus::default(), &Settings::default());
    let pod = &job["spec"]["template"];
    for field in ["fieldOfTomorrow", "overhead", "resourceClaims"] {
        assert_eq!(pod["spec"][field], template["spec"][field], "{field}");
    }
    assert_eq!(pod["spec"]["volumes"][0], template["spec"]["volumes"][0]);
    assert_eq!(pod["spec"]["containers"][1], template["spec"]["containers"][1]);
    let work = &pod["spec"]["containers"][0];
    assert_eq!(work["resources"], json!({"claims": [{"name": "device"}], "limits": {"memory": "100000000"}}));
    assert_eq!(work["terminationMessagePolicy"], "FallbackToLogsOnError");
    for metadata in [&job["metadata"], &pod["metadata"]] {
        assert_eq!(
            (&metadata["labels"]["cost-center"], &metadata["annotations"]["example.com/a"]),
            (&json!("4711"), &json!("b"))
        );
        assert_eq!(metadata["labels"][names::LABEL_TASK_UID], "uid-1");
    }
    assert!(job["metadata"]["annotations"].get(names::ANNOTATION_PAYLOAD).is_none(), "the pod's copy does");
}

#[test]
fn after_a_node_was_lost_the_next_attempt_prefers_another_beside_what_the_template_says() {
    let theirs = json!({"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}});
    let preferred = |reason: Reason| {
        let last = AttemptRecord { reason, node: Some("node-1".into()), ..AttemptRecord::default() };
        let status = TaskStatus { attempts: vec![last], ..TaskStatus::default() };
        let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [theirs.clone()]}});
        let template = json!({"spec": {"affinity": affinity, "containers": [{"name": "work"}]}});
        let job = job_of(TaskSpec::default(), template, status, &Settings::default());
        job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
            .clone()
    };
    assert_eq!(preferred(Reason::ExitCode), json!([theirs]));
    for reason in [Reason::NodeLost, Reason::DiskLimit, Reason::RejectedByNode] {
        let terms = preferred(reason);
        assert_eq!(terms[0], theirs, "{reason}");
        let not_there = json!([{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]);
        assert_eq!(terms[1]["preference"]["matchFields"], not_there, "{reason}");
    }
}

#[test]
fn an_account_that_the_template_names_by_the_old_field_is_left_alone() {
    let settings = Settings { worker_url: Some("http://operator:8082".into()), ..Settings::default() };
    let template = json!({"spec": {"serviceAccount": "mine", "containers": [{"name": "work"}]}});
    let job = job_of(TaskSpec::default(), template, TaskStatus::default(), &settings);
    assert!(job["spec"]["template"]["spec"].get("serviceAccountName").is_none());
}
