use serde_json::json;

use super::*;
use task_manager_api::Amount;

#[test]
fn a_pod_counts_as_the_scheduler_counts_it() {
    let spec: PodResources = serde_json::from_value(json!({
        "containers": [
            {"name": "work", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}},
            {"name": "beside", "resources": {"requests": {"cpu": "500m"}}},
        ],
        "initContainers": [
            {"name": "sidecar", "restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}},
            {"name": "prepare", "resources": {"requests": {"cpu": "3"}}},
        ],
        "overhead": {"cpu": "10m"},
    }))
    .expect("a pod spec");
    let amounts = spec.counted();
    assert_eq!(amounts["cpu"], Amount(3260), "prepare beside the sidecar is the largest moment");
    assert_eq!(amounts["memory"].to_string(), "1Gi");
}

#[test]
fn what_a_pod_asks_for_as_a_whole_goes_before_what_its_containers_ask_for() {
    let counted = |resources: serde_json::Value| {
        let spec: PodResources = serde_json::from_value(json!({
            "containers": [{"name": "work", "resources": {"requests": {"cpu": "1", "example.com/gpu": "2"}}}],
            "resources": resources,
            "overhead": {"cpu": "10m"},
        }))
        .expect("a pod spec");
        let shown = |(name, amount): (String, Amount)| (name, amount.to_string());
        spec.counted().into_iter().map(shown).collect::<Vec<_>>()
    };
    let expected = |amounts: &[(&str, &str)]| {
        let gpu = [("example.com/gpu", "2")];
        let all = amounts.iter().chain(&gpu).map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned()));
        all.collect::<BTreeMap<_, _>>().into_iter().collect::<Vec<_>>()
    };
    for (resources, amounts) in [
        (json!({}), &[("cpu", "1010m")][..]),
        (json!({"requests": {"cpu": "3"}}), &[("cpu", "3010m")]),
        (json!({"limits": {"cpu": "3", "memory": "2Gi"}}), &[("cpu", "1010m"), ("memory", "2Gi")]),
        (json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}), &[("cpu", "1010m"), ("memory", "1Gi")]),
        (json!({"limits": {"hugepages-2Mi": "4Mi"}}), &[("cpu", "1010m"), ("hugepages-2Mi", "4Mi")]),
        (json!({"requests": {"example.com/gpu": "5"}}), &[("cpu", "1010m")]),
    ] {
        assert_eq!(counted(resources.clone()), expected(amounts), "{resources}");
    }
}

#[test]
fn the_works_share_is_replaced_and_what_others_gave_it_stays() {
    let pod: PodResources = serde_json::from_value(json!({"containers": [
        {"name": "injected", "resources": {"requests": {"cpu": "50m"}}},
        {"name": "work", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}},
    ]}))
    .expect("a pod spec");
    let limits = [("memory".to_owned(), Quantity("1Gi".into()))].into();
    let counted = pod.with_work("work", &Resources { limits, ..Resources::default() }).counted();
    assert_eq!((counted["cpu"].to_string().as_str(), counted["memory"].to_string().as_str()), ("150m", "1Gi"));
}
