//! Resources of the work's container, and the sum that a pod counts for: computed as the Kubernetes scheduler does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as PodQuantity;

use crate::Policy;
use crate::{ParsedType, Settings};
use task_manager_api::{Amount, MOST, Quantity, Resources, Task, TaskSpec, TaskTypeSpec};

const MEMORY: &str = "memory";
/// Resources that a task may set though its type's maximum does not name them.
const FREE: [&str; 2] = ["cpu", MEMORY];
/// Prefix of the resource names of huge pages of any size.
const HUGE_PAGES: &str = "hugepages-";

/// The largest quantity that Kubernetes knows.
const LARGEST: Amount = Amount::whole(i64::MAX);

/// Amounts by resource name. Sorted, so that equal sums print equally.
pub type Amounts = BTreeMap<String, Amount>;

/// Requests and limits of the work's container: by resource, the task's, else the type's, else the template's. Memory grows
/// after attempts that ran out of it, and a request above its limit is lowered to the limit.
pub fn of_work(task: &Task, task_type: &ParsedType, template: &Container, settings: &Settings) -> Resources {
    let mut work = from_template(template.resources.as_ref());
    for layer in [task_type.spec.defaults.resources.as_ref(), task.spec.resources.as_ref()].into_iter().flatten() {
        work.requests.extend(layer.requests.clone());
        work.limits.extend(layer.limits.clone());
    }
    work.limits.entry(MEMORY.into()).or_insert_with(|| settings.default_memory_limit.clone());
    grow_memory(&mut work, task, &task_type.spec);
    keep_within(&mut work, &task_type.spec);
    for (resource, limit) in &work.limits {
        let request = work.requests.entry(resource.clone()).or_insert_with(|| limit.clone());
        if amount(request) > amount(limit) {
            *request = limit.clone();
        }
    }
    work
}

fn from_template(resources: Option<&ResourceRequirements>) -> Resources {
    let read = |quantities: Option<&BTreeMap<String, PodQuantity>>| {
        quantities.into_iter().flatten().map(|(name, quantity)| (name.clone(), Quantity(quantity.0.clone()))).collect()
    };
    Resources {
        requests: read(resources.and_then(|resources| resources.requests.as_ref())),
        limits: read(resources.and_then(|resources| resources.limits.as_ref())),
    }
}

/// The type's maximum also bounds values from defaults and template.
fn keep_within(work: &mut Resources, task_type: &TaskTypeSpec) {
    for (name, most) in &task_type.maximum.resources {
        for quantities in [&mut work.requests, &mut work.limits] {
            if let Some(quantity) = quantities.get_mut(name).filter(|quantity| amount(quantity) > amount(most)) {
                *quantity = most.clone();
            }
        }
    }
}

/// Multiplies memory request and limit by `oomMemoryFactor` for each attempt that ran out of memory, up to the maximum.
fn grow_memory(work: &mut Resources, task: &Task, task_type: &TaskTypeSpec) {
    let times = task.status.as_ref().map(|status| status.oom_kills).unwrap_or_default();
    let factor = Policy::of(&task.spec, Some(task_type)).retry.oom_memory_factor.powi(times);
    if factor <= 1.0 {
        return;
    }
    let most = task_type.maximum.resources.get(MEMORY).map_or(LARGEST, amount);
    for quantities in [&mut work.requests, &mut work.limits] {
        if let Some(quantity) = quantities.get_mut(MEMORY) {
            let plain = amount(quantity);
            // A template above the type's own maximum is not shrunk by growing.
            *quantity = plain.scaled(factor).min(most.max(plain)).whole_units().into();
        }
    }
}

/// The requests of a whole pod as the scheduler counts them: the containers' sum, or the largest step of the init
/// containers where that is more. Sidecars count in both. Pod-level resources replace that sum, and overhead is added.
/// The rule is Kubernetes' `PodRequests` in `k8s.io/component-helpers/resource`.
///
/// `work` replaces the resources of the first container.
pub fn of_pod(spec: &PodSpec, work: Option<&Resources>) -> Amounts {
    let of_work =
        work.map(|work| work.requests.iter().map(|(name, quantity)| (name.clone(), amount(quantity))).collect());
    let others = spec.containers.iter().skip(usize::from(work.is_some())).map(requests);
    let mut beside = sum(of_work.into_iter().chain(others));
    let mut starting = Amounts::new();
    let mut sidecars = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = sum([sidecars, requests(container)]);
            starting = largest(starting, sidecars.clone());
        } else {
            starting = largest(starting, sum([sidecars.clone(), requests(container)]));
        }
    }
    beside = sum([beside, sidecars]);
    let mut together = largest(beside, starting);
    together.extend(of_the_whole(spec, &together));
    sum([together, amounts(spec.overhead.as_ref())])
}

/// The pod-level requests. A pod-level limit counts as the request where neither pod nor container sets one, and for huge
/// pages always.
fn of_the_whole(spec: &PodSpec, of_containers: &Amounts) -> Amounts {
    let Some(resources) = &spec.resources else { return Amounts::new() };
    let mut limits = amounts(resources.limits.as_ref());
    limits.retain(|name, _| name.starts_with(HUGE_PAGES) || !of_containers.contains_key(name));
    let mut whole = limits;
    whole.extend(amounts(resources.requests.as_ref()));
    whole.retain(|name, _| FREE.contains(&name.as_str()) || name.starts_with(HUGE_PAGES));
    whole
}

/// A container that names a limit but no request requests its limit.
fn requests(container: &Container) -> Amounts {
    let Some(resources) = &container.resources else { return Amounts::new() };
    let mut requests = amounts(resources.limits.as_ref());
    requests.extend(amounts(resources.requests.as_ref()));
    requests
}

fn amounts(quantities: Option<&BTreeMap<String, PodQuantity>>) -> Amounts {
    quantities.into_iter().flatten().map(|(name, quantity)| (name.clone(), pod_amount(quantity))).collect()
}

pub fn sum(parts: impl IntoIterator<Item = Amounts>) -> Amounts {
    parts.into_iter().flatten().fold(Amounts::new(), |mut total, (name, amount)| {
        let entry = total.entry(name).or_default();
        *entry = *entry + amount;
        total
    })
}

fn largest(mut one: Amounts, other: Amounts) -> Amounts {
    for (name, amount) in other {
        let entry = one.entry(name).or_default();
        *entry = (*entry).max(amount);
    }
    one
}

/// The amount of a quantity. An unreadable one counts as more than any bound, so that it never passes for being unreadable.
pub fn amount(quantity: &Quantity) -> Amount {
    quantity.amount().unwrap_or(MOST)
}

fn pod_amount(quantity: &PodQuantity) -> Amount {
    amount(&Quantity(quantity.0.clone()))
}

/// Why a task's resources exceed its type's maximum, in a sentence.
pub fn exceeding(task: &TaskSpec, task_type: &TaskTypeSpec) -> Option<String> {
    let resources = task.resources.as_ref()?;
    let asked = [("requests", &resources.requests), ("limits", &resources.limits)];
    asked.into_iter().flat_map(|(field, map)| map.iter().map(move |entry| (field, entry))).find_map(
        |(field, (name, quantity))| match task_type.maximum.resources.get(name) {
            Some(most) if amount(quantity) > amount(most) => Some(format!(
                "spec.resources.{field}.{name} is {}, above {}, the most that type {} allows",
                quantity.0, most.0, task.type_
            )),
            None if !FREE.contains(&name.as_str()) => Some(format!(
                "spec.resources.{field}.{name}: a task of type {} may set cpu and memory only, and what the type's maximum names",
                task.type_
            )),
            _ => None,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use task_manager_api::{Defaults, Maximum, Retry, TaskStatus};

    fn quantities(entries: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
        entries.iter().map(|(name, text)| ((*name).to_owned(), Quantity((*text).to_owned()))).collect()
    }

    fn task_type(spec: TaskTypeSpec) -> ParsedType {
        let template = json!({"spec": {"containers": [{"name": "work", "image": "busybox",
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}}]}});
        ParsedType::read(&TaskTypeSpec { template, ..spec })
    }

    fn work(task: &Task, task_type: &ParsedType) -> Resources {
        let template = task_type.template.as_ref().expect("a template").spec.as_ref().expect("a spec");
        of_work(task, task_type, &template.containers[0], &Settings::default())
    }

    #[test]
    fn task_goes_over_type_over_template_key_by_key() {
        let task_type = task_type(TaskTypeSpec {
            defaults: Defaults {
                resources: Some(Resources {
                    requests: quantities(&[("cpu", "200m")]),
                    limits: quantities(&[("cpu", "2")]),
                }),
                ..Defaults::default()
            },
            ..TaskTypeSpec::default()
        });
        let resources = Some(Resources { requests: quantities(&[("memory", "32Mi")]), ..Resources::default() });
        let task = Task::new("t", TaskSpec { resources, ..TaskSpec::default() });
        let work = work(&task, &task_type);
        assert_eq!(work.requests, quantities(&[("cpu", "200m"), ("memory", "32Mi")]));
        assert_eq!(work.limits, quantities(&[("cpu", "2"), ("memory", "64Mi")]));
    }

    #[test]
    fn a_request_above_its_limit_is_lowered_to_it() {
        let resources = Some(Resources { requests: quantities(&[("memory", "1Gi")]), ..Resources::default() });
        let task = Task::new("t", TaskSpec { resources, ..TaskSpec::default() });
        assert_eq!(work(&task, &task_type(TaskTypeSpec::default())).requests["memory"].0, "64Mi");
    }

    #[test]
    fn memory_grows_with_each_time_out_of_memory_up_to_the_maximum() {
        let task_type = task_type(TaskTypeSpec {
            maximum: Maximum { resources: quantities(&[("memory", "200Mi")]), ..Maximum::default() },
            ..TaskTypeSpec::default()
        });
        let after = |times: i32| {
            let retry = Some(Retry { oom_memory_factor: Some(2.0), ..Retry::default() });
            let mut task = Task::new("t", TaskSpec { retry, ..TaskSpec::default() });
            task.status = Some(TaskStatus { oom_kills: times, ..TaskStatus::default() });
            let mib = 1024 * 1024 * 1000;
            amount(&work(&task, &task_type).limits["memory"]).0 / mib
        };
        assert_eq!([after(0), after(1), after(2)], [64, 128, 200]);
    }

    #[test]
    fn memory_without_a_maximum_grows_to_what_kubernetes_can_write_and_no_further() {
        let retry = Some(Retry { oom_memory_factor: Some(4.0), ..Retry::default() });
        let mut task = Task::new("t", TaskSpec { retry, ..TaskSpec::default() });
        task.status = Some(TaskStatus { oom_kills: i32::MAX, ..TaskStatus::default() });
        assert_eq!(work(&task, &task_type(TaskTypeSpec::default())).limits["memory"].0, i64::MAX.to_string());
    }

    #[test]
    fn a_pod_counts_as_the_scheduler_counts_it() {
        let spec: PodSpec = serde_json::from_value(json!({
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
        let amounts = of_pod(&spec, None);
        assert_eq!(amounts["cpu"], Amount(3260), "prepare beside the sidecar is the largest moment");
        assert_eq!(amounts["memory"].to_string(), "1Gi");
    }

    #[test]
    fn what_a_pod_asks_for_as_a_whole_goes_before_what_its_containers_ask_for() {
        let counted = |resources: serde_json::Value| {
            let spec: PodSpec = serde_json::from_value(json!({
                "containers": [{"name": "work", "resources": {"requests": {"cpu": "1", "example.com/gpu": "2"}}}],
                "resources": resources,
                "overhead": {"cpu": "10m"},
            }))
            .expect("a pod spec");
            let shown = |(name, amount): (String, Amount)| (name, amount.to_string());
            of_pod(&spec, None).into_iter().map(shown).collect::<Vec<_>>()
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
            (
                json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
                &[("cpu", "1010m"), ("memory", "1Gi")],
            ),
            (json!({"limits": {"hugepages-2Mi": "4Mi"}}), &[("cpu", "1010m"), ("hugepages-2Mi", "4Mi")]),
            (json!({"requests": {"example.com/gpu": "5"}}), &[("cpu", "1010m")]),
        ] {
            assert_eq!(counted(resources.clone()), expected(amounts), "{resources}");
        }
    }
}
