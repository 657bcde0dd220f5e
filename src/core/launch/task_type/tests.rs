use super::*;
use serde_json::json;

fn checked(seen: i64, ready: &str) -> TaskType {
    let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox"}]}});
    let mut task_type = TaskType::new("work", TaskTypeSpec { template, ..TaskTypeSpec::default() });
    task_type.metadata.generation = Some(2);
    let conditions =
        conditions::ready(ready, Reason::TypeNotReady, "no such image pull policy", &[], Timestamp::UNIX_EPOCH);
    task_type.status = Some(TaskTypeStatus { observed_generation: seen, conditions, ..TaskTypeStatus::default() });
    task_type
}

fn status(task_type: &TaskType, usable: &Usable, now: Timestamp) -> TaskTypeStatus {
    super::status(task_type, usable, &ParsedType::of(task_type), now)
}

#[test]
fn what_the_dry_run_refused_is_no_template_as_long_as_it_speaks_of_this_generation() {
    let refused = Err(TemplateError::Refused("no such image pull policy".into()));
    assert_eq!(ParsedType::of(&checked(2, "False")).template.map(drop), refused);
    assert!(ParsedType::of(&checked(2, "True")).template.is_ok());
    assert!(ParsedType::of(&checked(2, "Unknown")).template.is_ok());
    assert!(ParsedType::of(&checked(1, "False")).template.is_ok(), "it speaks of another generation");
    assert!(ParsedType::of(&TaskType { status: None, ..checked(2, "False") }).template.is_ok());
}

#[test]
fn a_type_whose_tasks_a_pool_runs_is_as_good_as_its_pool() {
    let by_pool = |ready: &str| {
        let mut kind = checked(2, ready);
        kind.spec = TaskTypeSpec { executor: Executor::Pool, worker_pool: Some("warm".into()), ..Default::default() };
        kind
    };
    let kind = by_pool("True");
    assert_eq!(usable_by_pool(&kind.spec, true), Usable::Yes);
    assert_eq!(usable_by_pool(&kind.spec, false), Usable::No("there is no WorkerPool warm in this namespace".into()));
    assert_eq!(ParsedType::of(&kind).runs(), Ok(()), "it needs no template");
    let missing = TemplateError::NoPool("no such image pull policy".into());
    assert_eq!(ParsedType::of(&by_pool("False")).runs(), Err(&missing));
    let ready = status(&by_pool("False"), &Usable::Yes, Timestamp::MAX);
    assert_eq!(ready.conditions[0].status, "True");
}

#[test]
fn a_dry_run_without_an_answer_takes_nothing_back() {
    let status_after = |task_type: &TaskType| status(task_type, &Usable::NotKnown("no answer".into()), Timestamp::MAX);
    let ready = |status: &TaskTypeStatus| status.conditions[0].status.clone();
    assert_eq!(Some(status_after(&checked(2, "False"))), checked(2, "False").status);
    assert_eq!(ready(&status_after(&checked(1, "False"))), "Unknown", "that No spoke of another generation");
    assert_eq!(ready(&status_after(&checked(2, "Unknown"))), "Unknown");
    assert_eq!(ready(&status_after(&checked(2, "True"))), "True", "it worked before, and nobody says otherwise");
    let taken_back = status(&checked(2, "False"), &Usable::Yes, Timestamp::MAX);
    assert_eq!(ready(&taken_back), "True", "a Yes is an answer");
}

#[test]
fn a_type_is_checked_when_the_dry_run_said_yes_to_this_generation() {
    assert!(is_checked(&checked(2, "True")));
    assert!(!is_checked(&checked(1, "True")) && !is_checked(&checked(2, "False")));
    assert!(!is_checked(&checked(2, "Unknown")) && !is_checked(&TaskType { status: None, ..checked(2, "True") }));
}

#[test]
fn what_hinders_a_pod_makes_ready_unknown_and_takes_no_refusal_back() {
    let hindered = |task_type: &TaskType, why: &str| status(task_type, &Usable::Hindered(why.into()), Timestamp::MAX);
    let after = hindered(&checked(2, "True"), "exceeded quota: q, used: pods=7");
    assert_eq!(
        (after.conditions[0].status.as_str(), after.conditions[0].reason.as_str()),
        ("Unknown", "QuotaExceeded")
    );
    for (why, reason) in [
        (
            "pods \"w\" is forbidden: error looking up service account docs/none: serviceaccount \"none\" not found",
            "LaunchRefused",
        ),
        ("pods \"w\" is forbidden: maximum memory usage per Container is 128Mi, but limit is 1Gi", "LaunchRefused"),
        ("pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\"", "NotChecked"),
    ] {
        assert_eq!(hindered(&checked(2, "True"), why).conditions[0].reason, reason, "{why}");
    }
    assert_eq!(Some(hindered(&checked(2, "False"), "exceeded quota")), checked(2, "False").status);
    let again = TaskType { status: Some(after.clone()), ..checked(2, "Unknown") };
    assert_eq!(hindered(&again, "exceeded quota: q, used: pods=8"), after, "numbers alone are no news");
    assert_ne!(hindered(&again, "denied by policy"), after);
}

#[test]
fn without_an_answer_it_is_told_by_what_queues_count() {
    let kind = checked(2, "Unknown");
    let hindered = Usable::Hindered("exceeded quota: q".into());
    let told =
        |parsed: &ParsedType| super::status(&kind, &hindered, parsed, Timestamp::MAX).conditions[0].message.clone();
    let by_template = told(&ParsedType::of(&kind));
    assert!(by_template.contains("exceeded quota: q") && by_template.contains("by the template"), "{by_template}");
    let answer = DryRun::of(&serde_json::json!({"spec": {"containers": [{"name": "work"}]}}), false);
    let by_answer = told(&ParsedType::of(&kind).with_dry_run(Some(Arc::new(answer))));
    assert!(by_answer.contains("exceeded quota: q") && by_answer.contains("by the last answer"), "{by_answer}");
}

#[test]
fn a_surplus_is_kept_in_the_status_for_its_generation() {
    let surplus: Amounts = [("cpu".to_owned(), task_manager_api::Amount(250))].into();
    let kind = checked(2, "True");
    let parsed = ParsedType::of(&kind).with_surplus(surplus.clone());
    let status = super::status(&kind, &Usable::Yes, &parsed, Timestamp::MAX);
    assert_eq!(surplus_told(&TaskType { status: Some(status.clone()), ..kind.clone() }), surplus);
    let older = TaskTypeStatus { observed_generation: 1, ..status };
    assert!(surplus_told(&TaskType { status: Some(older), ..kind }).is_empty());
}
