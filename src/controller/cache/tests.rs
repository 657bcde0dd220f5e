use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector;
use serde_json::{Value, json};

use super::*;
use crate::api::Reason;
use crate::core::attempt::facts::Why;
use crate::core::launch::dry_run::DryRun;
use crate::core::launch::names;

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

fn task(name: &str, version: &str, status: Value) -> Task {
    let metadata = json!({"name": name, "namespace": "docs", "uid": name, "resourceVersion": version});
    read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": metadata,
        "spec": {"type": "work"}, "status": status}))
}

fn kind() -> TaskType {
    read(
        json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskType", "metadata": {"name": "work", "namespace": "docs"},
        "spec": {"template": {"spec": {"containers": [{"name": "work", "image": "busybox"}]}}}}),
    )
}

fn held_by_a_pod() -> Pod {
    read(json!({
        "metadata": {"name": "p", "namespace": "docs", "uid": "p", "labels": {names::LABEL_TASK_UID: "runs"},
            "annotations": {names::ANNOTATION_HOLDS: r#"{"queue":"default","type":"work","priority":"normal","resources":{}}"#}},
        "status": {"phase": "Running"},
    }))
}

/// A cache in which the default queue of namespace docs has one slot.
fn cache() -> Cache {
    let (tasks, _) = reflector::store();
    let cache = Cache::new(tasks, Settings { default_queue_tasks: 1, ..Settings::default() });
    cache.type_changed(key(&kind().metadata), Some(&Arc::new(kind())));
    cache.type_tried(&kind(), None, None);
    cache
}

fn gathered(cache: &Cache, task: &Task) -> Option<Input> {
    cache.gather(&Arc::new(task.clone()))
}

fn admitted(cache: &Cache) -> usize {
    cache.admit(Timestamp::UNIX_EPOCH).admitted.len()
}

#[test]
fn the_default_queue_is_there_though_a_slot_of_it_was_found_held_first() {
    let cache = cache();
    cache.pod_seen(&held_by_a_pod());
    let waits = task("waits", "7", json!({"state": "Queued"}));
    cache.task_seen(&waits);
    assert!(gathered(&cache, &waits).expect("it is known").queue.is_some());
    assert_eq!(admitted(&cache), 0, "the pod holds the only slot");
}

#[test]
fn a_slot_stays_assumed_while_its_write_is_in_flight_whatever_else_changes() {
    let cache = cache();
    cache.task_seen(&task("first", "7", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 1);
    cache.task_seen(&task("first", "8", json!({"state": "Queued"})));
    cache.task_seen(&task("second", "9", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0);
    cache.admission_outdated(&task("first", "8", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0, "the conflict may be the echo of the write");
    cache.task_seen(&task("first", "10", json!({"state": "Cancelled"})));
    assert_eq!(admitted(&cache), 1, "now it is known that it holds nothing");
}

#[test]
fn an_admission_to_a_worker_is_decided_on_only_when_its_answer_was_taken_in() {
    let processing = |admitted: Value| {
        let cache = cache();
        cache.task_seen(&task("first", "7", json!({"state": "Queued"})));
        assert_eq!(self::admitted(&cache), 1);
        let task = task("first", "8", json!({"state": "Processing", "admitted": admitted}));
        cache.task_seen(&task);
        (cache, task)
    };
    let worker = json!({"pool": "warm", "uid": "w", "slot": 0, "beats": true});
    let (cache, given) = processing(json!({"queue": "default", "executor": "Pool", "worker": worker}));
    assert!(gathered(&cache, &given).is_none(), "its lease begins with the answer");
    cache.admission_written(&given);
    assert!(gathered(&cache, &given).is_some());
    let (cache, given) = processing(json!({"queue": "default", "executor": "Job"}));
    assert!(gathered(&cache, &given).is_some(), "a Job is launched at once");
}

/// Whether admission was rung since it was last asked.
fn is_rung(cache: &Cache) -> bool {
    use futures::FutureExt;
    cache.admission_may_go_on().now_or_never().is_some()
}

#[test]
fn admission_is_rung_when_somebody_stands_elsewhere_and_not_for_each_word_of_a_status() {
    let cache = cache();
    is_rung(&cache);
    let processing = |version: &str, percent: u8| {
        let status = json!({"state": "Processing", "admitted": {"queue": "default"}, "progress": {"percent": percent}});
        task("first", version, status)
    };
    cache.task_seen(&task("first", "7", json!({"state": "Queued"})));
    assert!(is_rung(&cache), "one more waits");
    cache.task_seen(&processing("8", 1));
    assert!(is_rung(&cache), "another leader gave it a slot");
    cache.task_seen(&processing("9", 2));
    assert!(!is_rung(&cache), "it runs on");
    cache.pod_seen(&held_by_a_pod());
    is_rung(&cache);
    cache.pod_seen(&held_by_a_pod());
    assert!(!is_rung(&cache), "so does what a task left");
    cache.task_outdated(&processing("9", 2));
    assert!(!is_rung(&cache), "it may hold its slot");
    cache.task_seen(&task("first", "10", json!({"state": "Completed"})));
    assert!(is_rung(&cache), "its slot is free");
    cache.task_gone(&"first".into());
    assert!(!is_rung(&cache), "it held nothing");
    cache.pod_gone(&held_by_a_pod());
    assert!(is_rung(&cache), "what a task left is gone");
    let head = task("head", "11", json!({"state": "Queued"}));
    cache.task_seen(&head);
    is_rung(&cache);
    cache.task_outdated(&head);
    assert!(is_rung(&cache), "others may come first");
}

#[test]
fn a_new_run_arrives_when_it_is_seen_first_though_it_is_decided_on_before_it_was_taken_in() {
    let cache = cache();
    let arrival = |task: &Task| gathered(&cache, task).expect("it is known").first_seen;
    let asks = |version: &str, run_id: &str| {
        let mut task = task("one", version, json!({"state": "Completed", "runId": "1"}));
        task.spec.run_id = run_id.into();
        task
    };
    cache.task_seen(&asks("7", "1"));
    assert_eq!(arrival(&asks("9", "2")), 9);
    cache.task_seen(&asks("9", "2"));
    cache.task_seen(&asks("12", "2"));
    assert_eq!(arrival(&asks("12", "2")), 9);
}

#[test]
fn an_answer_that_comes_late_does_not_undo_what_came_after_it() {
    let cache = cache();
    cache.task_seen(&task("first", "7", json!({"state": "Processing", "admitted": {"queue": "default"}})));
    cache.task_written(&task("first", "6", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0);
}

#[test]
fn what_the_watch_has_shown_of_a_pod_is_not_undone_by_an_answer_that_comes_late() {
    let cache = cache();
    let runs = task("runs", "7", json!({"state": "Processing", "admitted": {"queue": "default"}}));
    cache.task_seen(&runs);
    let pod = owned_pod();
    cache.pod_found(&pod);
    let pods = || gathered(&cache, &runs).expect("it is known").observed.pods;
    assert!(!pods()[0].is_gone());
    cache.pod_gone(&pod);
    cache.pod_found(&pod);
    assert!(pods()[0].is_gone());
}

/// The pod of `held_by_a_pod` after a change of its metadata or status.
fn that_pod(change: impl FnOnce(&mut Pod)) -> Pod {
    let mut pod = held_by_a_pod();
    change(&mut pod);
    pod
}

#[test]
fn a_task_that_cannot_be_read_is_not_waited_for_its_children_are_no_orphans_and_hold_its_slot_until_it_is_gone() {
    let cache = cache();
    let runs = task("runs", "7", json!({"state": "Processing", "admitted": {"queue": "default"}}));
    cache.pod_seen(&held_by_a_pod());
    assert!(!cache.has_reached(&runs.metadata));
    assert_eq!(cache.orphans().len(), 1);
    cache.tasks_listed(std::slice::from_ref(&runs.metadata));
    assert!(cache.has_reached(&runs.metadata), "nothing more of it will be seen");
    assert!(cache.orphans().is_empty(), "it is there");
    assert!(gathered(&cache, &runs).is_none(), "nothing is decided about it");
    cache.task_seen(&task("waits", "8", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0, "its pod holds the only slot");
    let later = task("runs", "9", json!({}));
    assert!(!cache.has_reached(&later.metadata));
    cache.task_passed_over(&later.metadata);
    assert!(cache.has_reached(&later.metadata) && cache.orphans().is_empty());
    cache.task_gone(&"runs".into());
    assert_eq!((admitted(&cache), cache.orphans().len()), (0, 1), "what it left still runs");
    cache.pod_gone(&held_by_a_pod());
    assert_eq!(admitted(&cache), 1);
}

#[test]
fn a_task_that_can_be_read_no_more_holds_what_its_children_hold_and_one_that_can_be_again_is_as_any_other() {
    let cache = cache();
    let processing = |version| task("runs", version, json!({"state": "Processing", "admitted": {"queue": "default"}}));
    cache.task_seen(&processing("7"));
    cache.task_seen(&task("waits", "8", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0);
    cache.task_passed_over(&processing("9").metadata);
    assert_eq!(cache.depth().1, 0, "nothing of it runs");
    cache.pod_seen(&held_by_a_pod());
    assert_eq!(cache.depth().1, 1);
    cache.task_seen(&processing("10"));
    cache.pod_seen(&that_pod(|pod| pod.status = read(json!({"phase": "Succeeded"}))));
    assert_eq!(
        (cache.depth().1, gathered(&cache, &processing("10")).is_some()),
        (1, true),
        "it is decided about again"
    );
}

#[test]
fn what_a_stranger_calls_ours_holds_nothing_as_soon_as_that_is_known() {
    for (version, kind) in [("batch/v1", "Job"), ("taskmanager.dev/v1alpha1", "Task")] {
        let cache = cache();
        cache.task_seen(&task("waits", "8", json!({"state": "Queued"})));
        let owner = json!([{"apiVersion": version, "kind": kind, "name": "j", "uid": "j", "controller": true}]);
        let made = |name: &str| {
            that_pod(|pod| {
                (pod.metadata.name, pod.metadata.uid) = (Some(name.into()), Some(name.into()));
                pod.metadata.owner_references = read(owner.clone());
            })
        };
        cache.pod_seen(&made("p"));
        assert_eq!((admitted(&cache), cache.orphans().len()), (0, 1), "it may be what a task left");
        cache.disown("runs", "j");
        cache.pod_seen(&made("q"));
        assert_eq!((admitted(&cache), cache.orphans().len()), (1, 0));
        ["p", "q"].iter().for_each(|name| drop(cache.pod_gone(&made(name))));
        assert!(cache.lock().children.is_empty());
    }
}

#[test]
fn a_queue_counts_each_slot_that_is_held_of_it_though_its_task_is_gone_or_was_only_just_given_it() {
    let (tasks, mut writer) = reflector::store();
    let cache = Cache::new(tasks, Settings::default());
    cache.type_changed(key(&kind().metadata), Some(&Arc::new(kind())));
    cache.type_tried(&kind(), None, None);
    let queue: TaskQueue = read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskQueue",
        "metadata": {"name": "default", "namespace": "docs"}, "spec": {"capacity": {"tasks": 2}}}));
    cache.queue_changed(key(&queue.metadata), Some(&Arc::new(queue)));
    cache.pod_seen(&held_by_a_pod());
    for name in ["first", "second"] {
        let waits = task(name, "7", json!({"state": "Queued"}));
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(waits.clone()));
        cache.task_seen(&waits);
    }
    let told = || {
        let (queue, summary) = cache.queues(Timestamp::UNIX_EPOCH).remove(0);
        let status = crate::core::queue::queue_status(&queue, &summary, Timestamp::UNIX_EPOCH);
        (status.running, status.queued)
    };
    assert_eq!(told(), (1, 2), "what its task left runs");
    assert_eq!(admitted(&cache), 1);
    assert_eq!(told(), (2, 1));
    cache.pod_gone(&held_by_a_pod());
    assert_eq!(told(), (1, 1));
}

#[test]
fn a_task_that_cannot_be_read_any_more_while_it_is_admitted_gets_no_slot() {
    let cache = cache();
    cache.task_seen(&task("first", "7", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 1);
    cache.task_passed_over(&task("first", "8", json!({})).metadata);
    cache.admission_void(&"first".into());
    cache.not_admitted(&task("first", "7", json!({"state": "Queued"})));
    assert_eq!((admitted(&cache), cache.depth().1), (0, 0));
}

#[test]
fn the_slot_of_a_task_whose_deletion_somebody_delays_is_free_when_its_pod_has_ended() {
    let (tasks, mut writer) = reflector::store();
    let cache = Cache::new(tasks, Settings { default_queue_tasks: 1, ..Settings::default() });
    cache.type_changed(key(&kind().metadata), Some(&Arc::new(kind())));
    cache.type_tried(&kind(), None, None);
    let mut runs = task("runs", "7", json!({"state": "Processing", "admitted": {"queue": "default"}}));
    runs.metadata.deletion_timestamp = read(json!("2026-01-01T00:00:00Z"));
    cache.pod_seen(&held_by_a_pod());
    writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(runs.clone()));
    cache.task_seen(&runs);
    cache.task_seen(&task("waits", "8", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0, "its pod runs");
    cache.pod_seen(&that_pod(|pod| pod.status = read(json!({"phase": "Failed"}))));
    assert_eq!(admitted(&cache), 1);
}

fn job() -> Job {
    read(json!({"metadata": {"name": "j", "namespace": "docs", "uid": "j", "labels": {names::LABEL_TASK_UID: "runs"},
        "annotations": held_by_a_pod().metadata.annotations,
        "ownerReferences": [{"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "name": "runs", "uid": "runs",
            "controller": true}]}}))
}

/// A cache in which the task "runs" holds a slot, and that task.
fn with_one_that_runs() -> (Cache, Task) {
    let cache = cache();
    let runs = task("runs", "7", json!({"state": "Processing", "admitted": {"queue": "default"}}));
    cache.task_seen(&runs);
    (cache, runs)
}

/// The pod of `held_by_a_pod`, as the Job "j" owns it.
fn owned_pod() -> Pod {
    that_pod(|pod| {
        pod.metadata.owner_references =
            read(json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]));
    })
}

#[test]
fn a_pod_that_was_asked_for_and_never_seen_is_gone_when_a_list_that_began_later_does_not_show_it() {
    let (cache, runs) = with_one_that_runs();
    let is_gone = || gathered(&cache, &runs).expect("it is known").observed.pods[0].is_gone();
    cache.pods_list_begins();
    cache.pod_found(&owned_pod());
    cache.pods_listed(&HashSet::new());
    assert!(!is_gone(), "that list began before it was asked for");
    cache.pods_list_begins();
    cache.pods_listed(&HashSet::new());
    assert!(is_gone());
}

#[test]
fn a_pod_that_was_asked_for_and_then_seen_is_gone_when_a_list_does_not_show_it() {
    for seen in [Cache::pod_seen, |cache: &Cache, pod: &Pod| cache.pod_in_part(pod, false)] {
        let (cache, runs) = with_one_that_runs();
        cache.pod_found(&owned_pod());
        seen(&cache, &owned_pod());
        cache.pods_listed(&HashSet::new());
        assert!(gathered(&cache, &runs).expect("it is known").observed.pods[0].is_gone());
    }
}

fn job_is_gone(cache: &Cache, runs: &Task) -> bool {
    gathered(cache, runs).expect("it is known").observed.jobs[0].gone
}

#[test]
fn a_job_that_was_made_and_never_seen_is_gone_when_a_list_that_began_later_does_not_show_it() {
    let (cache, runs) = with_one_that_runs();
    cache.jobs_list_begins();
    cache.job_found(&job());
    cache.jobs_listed(&HashSet::new());
    assert!(!job_is_gone(&cache, &runs), "that list began before it was made");
    cache.jobs_list_begins();
    cache.jobs_listed(&HashSet::new());
    assert!(job_is_gone(&cache, &runs));
}

#[test]
fn a_job_that_was_made_and_never_seen_is_gone_when_the_api_server_has_none_to_delete() {
    let (cache, runs) = with_one_that_runs();
    cache.job_found(&job());
    cache.not_there(&runs, "j");
    assert!(job_is_gone(&cache, &runs));
}

#[test]
fn what_the_watch_has_shown_of_a_job_is_not_undone_by_an_answer_that_comes_late() {
    let (cache, runs) = with_one_that_runs();
    cache.job_seen(&job());
    cache.job_gone(&job());
    cache.job_found(&job());
    assert!(job_is_gone(&cache, &runs));
}

#[test]
fn of_a_job_and_a_pod_that_can_be_read_in_part_what_was_seen_before_stays() {
    let (cache, runs) = with_one_that_runs();
    let mut ended = job();
    ended.status = read(json!({"conditions": [{"type": "Failed", "status": "True"}]}));
    cache.job_seen(&ended);
    cache.pod_seen(&owned_pod());
    cache.job_in_part(&job(), true);
    cache.pod_in_part(&Pod { status: None, ..owned_pod() }, true);
    let observed = gathered(&cache, &runs).expect("it is known").observed;
    assert!(observed.jobs[0].gone && observed.jobs[0].finished.is_some());
    assert!(observed.pods[0].is_gone() && observed.pods[0].phase == crate::core::attempt::facts::Phase::Running);
}

#[test]
fn it_is_remembered_when_a_job_and_a_pod_were_first_seen() {
    let (cache, runs) = with_one_that_runs();
    let seen = || {
        cache.job_seen(&job());
        cache.pod_seen(&owned_pod());
        let observed = gathered(&cache, &runs).expect("it is known").observed;
        (observed.jobs[0].age_from(), observed.pods[0].age_from())
    };
    let began = Timestamp::now();
    let first = seen();
    assert!(first.0 >= began && first.1 >= began, "neither has a stamp");
    assert_eq!(seen(), first);
}

#[test]
fn looks_that_fail_are_counted_until_one_goes_well() {
    let (cache, runs) = with_one_that_runs();
    assert_eq!([cache.look_failed(&runs), cache.look_failed(&runs)], [1, 2]);
    cache.look_went_well(&runs);
    assert_eq!(cache.look_failed(&runs), 1);
}

#[test]
fn a_launch_that_nobody_answers_is_known_since_its_first_try_and_forgotten_with_its_slot() {
    let (cache, runs) = with_one_that_runs();
    let trouble = |message: &str| Why { reason: crate::core::Reason::LaunchFailed, message: message.into() };
    let unanswered = |cache: &Cache, task: &Task| gathered(cache, task).expect("it is known").observed.unanswered;
    cache.launch_unanswered(&runs, trouble("first"));
    let first = unanswered(&cache, &runs).expect("a launch that failed");
    cache.launch_unanswered(&runs, trouble("second"));
    let second = unanswered(&cache, &runs).expect("a launch that failed");
    assert_eq!((second.since, second.why), (first.since, trouble("second")));
    let waits = task("runs", "8", json!({"state": "Queued"}));
    cache.task_seen(&waits);
    assert_eq!(unanswered(&cache, &waits), None);
    cache.task_gone(&"runs".into());
    cache.launch_unanswered(&runs, trouble("late"));
    assert!(cache.lock().children.is_empty(), "nobody would ever forget it");
}

#[test]
fn a_task_whose_admission_is_refused_lets_others_come_first_for_a_growing_while() {
    let cache = cache();
    let [bad, good] =
        ["bad", "good"].map(|name| task(name, if name == "bad" { "7" } else { "8" }, json!({"state": "Queued"})));
    cache.task_seen(&bad);
    let second = |seconds| Timestamp::from_second(seconds).expect("a time");
    let admitted = |at| cache.admit(second(at)).admitted.len();
    assert_eq!(admitted(0), 1);
    cache.admission_refused(&bad, second(0));
    assert_eq!((admitted(9), admitted(10)), (0, 1));
    cache.admission_refused(&bad, second(10));
    assert_eq!(admitted(29), 0);
    cache.task_seen(&good);
    let pass = cache.admit(second(29));
    assert_eq!(pass.admitted.len(), 1, "the slot is free for others");
    cache.task_gone(&"good".into());
    assert_eq!(admitted(30), 1);
    for _ in 0..50 {
        cache.admission_refused(&bad, second(30));
    }
    assert_eq!((admitted(349), admitted(350)), (0, 1), "not for ever");
}

#[test]
fn a_slot_whose_executor_is_not_known_here_stays_counted_while_its_task_is_there() {
    let cache = cache();
    let of_a_pool = |version: &str| {
        task("runs", version, json!({"state": "Processing", "admitted": {"queue": "default", "executor": "Pool"}}))
    };
    cache.task_seen(&of_a_pool("7"));
    cache.task_seen(&task("waits", "8", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0);
    let mut deleted = of_a_pool("9");
    deleted.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::now()));
    cache.task_seen(&deleted);
    assert_eq!(admitted(&cache), 0, "somebody's finalizer keeps it, and nobody here knows what runs");
    cache.task_gone(&"runs".into());
    assert_eq!(admitted(&cache), 1);
}

/// A cache, and a way to show a task to its store and then to itself.
fn shown() -> (Cache, impl FnMut(&Cache, &Task)) {
    let (tasks, mut writer) = reflector::store();
    let cache = Cache::new(tasks, Settings { default_queue_tasks: 1, ..Settings::default() });
    cache.type_changed(key(&kind().metadata), Some(&Arc::new(kind())));
    let show = move |cache: &Cache, task: &Task| {
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(task.clone()));
        cache.task_seen(task);
    };
    (cache, show)
}

#[test]
fn tasks_wait_for_the_first_dry_run_of_their_type_and_count_by_its_answer() {
    let changed = |generation: i64| TaskType {
        metadata: ObjectMeta { generation: Some(generation), ..kind().metadata },
        ..kind()
    };
    let answer = json!({"spec": {"containers": [{"name": "injected", "resources": {"requests": {"cpu": "1"}}}, {"name": "work"}]}});
    let answer = || Some(DryRun::of(&answer, false));
    let (cache, mut show) = shown();
    cache.type_changed(key(&kind().metadata), Some(&Arc::new(changed(2))));
    let waits = task("waits", "7", json!({"state": "Queued"}));
    show(&cache, &waits);
    assert_eq!(admitted(&cache), 0, "nobody has answered yet");
    cache.type_tried(&kind(), None, answer());
    assert_eq!(admitted(&cache), 0, "that was the generation before");
    assert_eq!(cache.type_tried(&changed(2), None, answer()).len(), 1, "it is looked at");
    let cpu = || cache.pending(&waits).expect("it waits").requests["cpu"].to_string();
    assert_eq!(cpu(), "1");
    cache.type_tried(&changed(2), None, None);
    assert_eq!(cpu(), "1", "where nobody answers, the answer before counts on");
    cache.type_tried(&changed(2), None, Some(DryRun { pod: None, memory_is_set: true }));
    assert_eq!(cpu(), "1", "so it does where an answer holds no pod");
    assert_eq!(admitted(&cache), 1);
}

#[test]
fn tasks_do_not_wait_long_for_a_dry_run() {
    let (cache, mut show) = shown();
    let waits = task("waits", "7", json!({"state": "Queued"}));
    show(&cache, &waits);
    let ready_at = cache.pending(&waits).expect("it waits").ready_at.expect("a time");
    assert!(ready_at <= Timestamp::now() + jiff::SignedDuration::from_secs(5));
    assert_eq!(cache.admit(ready_at).admitted.len(), 1);
}

#[test]
fn a_type_that_the_dry_run_refused_is_not_ready_before_its_status_says_so() {
    let (cache, mut show) = shown();
    show(&cache, &task("waits", "7", json!({"state": "Queued"})));
    cache.type_tried(&kind(), Some("it is no pod".into()), None);
    assert_eq!(admitted(&cache), 0);
    cache.type_tried(&kind(), None, None);
    assert_eq!(admitted(&cache), 1);
}

#[test]
fn an_admission_that_is_answered_after_its_task_has_ended_holds_no_slot() {
    let (cache, mut show) = shown();
    cache.type_tried(&kind(), None, None);
    show(&cache, &task("ends", "7", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 1);
    show(&cache, &task("ends", "9", json!({"state": "Completed"})));
    cache.admission_written(&task("ends", "8", json!({"state": "Processing", "admitted": {"queue": "default"}})));
    assert_eq!(cache.depth().1, 0);
}

#[test]
fn a_pod_that_was_found_after_its_end_was_shown_holds_its_slot_until_it_was_looked_for() {
    let cache = cache();
    cache.pod_gone(&held_by_a_pod());
    cache.pod_found(&held_by_a_pod());
    cache.task_seen(&task("waits", "7", json!({"state": "Queued"})));
    assert_eq!(admitted(&cache), 0, "nobody shows its end again");
    let lingering = cache.lingering();
    assert_eq!(lingering.len(), 1);
    lingering.iter().for_each(|child| cache.child_not_there(child));
    assert_eq!((admitted(&cache), cache.lingering().len()), (1, 0));
}

/// The pod of the task "runs", with a proxy that asks for so much and of which no dry run has told. Its slot holds 128Mi.
fn with_a_proxy(cpu: &str) -> Pod {
    let mut pod = owned_pod();
    let holds = r#"{"queue":"default","type":"work","priority":"normal","resources":{"memory":"128Mi"}}"#;
    pod.metadata.annotations = Some([(names::ANNOTATION_HOLDS.to_owned(), holds.to_owned())].into());
    pod.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        Timestamp::now() + jiff::SignedDuration::from_secs(1),
    ));
    pod.spec = Some(read(json!({"containers": [
        {"name": "work", "resources": {"requests": {"memory": "128Mi"}}},
        {"name": "proxy", "resources": {"requests": {"cpu": cpu}}},
    ]})));
    pod
}

#[test]
fn a_pod_that_came_out_larger_is_counted_for_its_task_and_for_later_ones() {
    let (cache, mut show) = shown();
    let quota = json!({"metadata": {"name": "default", "namespace": "docs"}, "spec": {"capacity": {"resources": {"cpu": "600m"}}}});
    let queue: TaskQueue = read(json!({"apiVersion": "taskmanager.dev/v1alpha1", "kind": "TaskQueue",
        "metadata": quota["metadata"], "spec": quota["spec"]}));
    cache.queue_changed(key(&queue.metadata), Some(&Arc::new(queue)));
    let answer = DryRun::of(&json!({"spec": {"containers": [{"name": "work"}]}}), false);
    cache.type_tried(&kind(), None, Some(answer.clone()));
    let status = json!({"state": "Processing", "admitted": {"queue": "default", "resources": {"memory": "128Mi"}}});
    show(&cache, &task("runs", "7", status));
    let waits = |name: &str| task(name, "9", json!({"state": "Queued"}));
    show(&cache, &waits("first"));
    let cpu = || cache.pending(&waits("first")).expect("it waits").requests.get("cpu").map(ToString::to_string);
    cache.pod_seen(&with_a_proxy("250m"));
    assert!(cache.pod_teaches(&with_a_proxy("250m")).is_empty() && cpu().is_none(), "its Job is none of the task's");
    cache.job_seen(&job());
    assert!(!cache.job_teaches(&job()).is_empty(), "it is news once its Job is shown");
    assert_eq!(cpu().as_deref(), Some("250m"), "later tasks count for it");
    assert!(cache.pod_teaches(&with_a_proxy("250m")).is_empty(), "it is news once");
    show(&cache, &waits("second"));
    assert_eq!(admitted(&cache), 1, "600m hold the one that runs and one more");
    cache.type_tried(&kind(), None, Some(answer));
    assert_eq!(cache.parsed_type(&kind()).surplus["cpu"].to_string(), "250m", "the same answer takes nothing back");
    let told = json!({"spec": {"containers": [{"name": "work"}, {"name": "proxy", "resources": {"requests": {"cpu": "250m"}}}]}});
    cache.type_tried(&kind(), None, Some(DryRun::of(&told, false)));
    assert!(cache.parsed_type(&kind()).surplus.is_empty(), "now the dry run tells");
    cache.pod_teaches(&with_a_proxy("250m"));
    assert!(cache.parsed_type(&kind()).surplus.is_empty(), "and the pod is as large as that");
}

#[test]
fn whoever_stands_in_front_is_woken_once_it_has_waited_for_a_while_and_knows_what_for() {
    let (tasks, mut writer) = reflector::store();
    let cache = Cache::new(tasks, Settings { default_queue_tasks: 1, ..Settings::default() });
    cache.type_changed(key(&kind().metadata), Some(&Arc::new(kind())));
    for number in 0..30u32 {
        let waits = task(&format!("w-{number:02}"), &(100 + number).to_string(), json!({"state": "Queued"}));
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(waits.clone()));
        cache.task_seen(&waits);
    }
    cache.type_tried(&kind(), None, None);
    let second = |second| Timestamp::from_second(second).expect("a time");
    assert_eq!(cache.admit(second(0)).admitted.len(), 1);
    let woken = |at| cache.notice_waits(second(at)).iter().map(|task| task.name.clone()).collect::<HashSet<_>>();
    assert_eq!((woken(0).len(), woken(5).len()), (0, 0));
    assert_eq!(woken(10), (1..=10).map(|number| format!("w-{number:02}")).collect());
    assert!(woken(600).is_empty());
    let waits_for = |name: &str| {
        let task = cache.tasks().into_iter().find(|task| task.name_any() == name).expect("it is there");
        cache.gather(&task).expect("it is known").waits_for
    };
    assert_eq!(waits_for("w-03"), Some(Why::new(Reason::QueueFull, "tasks: 1 of 1 used")));
    assert_eq!(waits_for("w-11"), None);
}
