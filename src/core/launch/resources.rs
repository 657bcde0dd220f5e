//! Resources of the work's container: the task's, else the type's, else the template's, else the operator's defaults.

use std::collections::BTreeMap;

use super::template::Template;
use crate::Policy;
use crate::{ParsedType, Settings};
use task_manager_api::{Amount, MOST, Quantity, Resources, Task, TaskSpec, TaskTypeSpec};

#[cfg(test)]
mod tests;

pub const MEMORY: &str = "memory";
/// Resources that a task may set though its type's maximum does not name them.
pub const FREE: [&str; 2] = ["cpu", MEMORY];

/// The largest quantity that Kubernetes knows.
const LARGEST: Amount = Amount::whole(i64::MAX);

/// Amounts by resource name. Sorted, so that equal sums print equally.
pub type Amounts = BTreeMap<String, Amount>;

/// Requests and limits of the work's container: by resource, the task's, else the type's, else the template's, and for
/// memory that nobody names the operator's defaults. Memory grows after attempts that ran out of it, and a request above
/// its limit is lowered to the limit.
pub fn of_work(task: &Task, task_type: &ParsedType, template: &Template, settings: &Settings) -> Resources {
    let mut work = template.work.resources.clone().into();
    for layer in [task_type.spec.defaults.resources.as_ref(), task.spec.resources.as_ref()].into_iter().flatten() {
        add(&mut work, layer);
    }
    if !names(&work, MEMORY) && !template.pod.resources.names(MEMORY) {
        give_memory(&mut work, task, task_type, template, settings);
    }
    grow_memory(&mut work, task, &task_type.spec);
    keep_within(&mut work, &task_type.spec);
    lower_requests(&mut work, &given(task_type, template));
    work
}

/// The resources that a task on a warm worker counts for: those that task or type name, and where they name a limit alone,
/// that.
pub fn of_pool_task(task: &Task, task_type: &ParsedType) -> Resources {
    let mut work = Resources::default();
    for layer in [task_type.spec.defaults.resources.as_ref(), task.spec.resources.as_ref()].into_iter().flatten() {
        add(&mut work, layer);
    }
    keep_within(&mut work, &task_type.spec);
    lower_requests(&mut work, &Resources::default());
    for (name, limit) in &work.limits {
        work.requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
    work
}

pub fn add(work: &mut Resources, layer: &Resources) {
    work.requests.extend(layer.requests.clone());
    work.limits.extend(layer.limits.clone());
}

fn names(work: &Resources, resource: &str) -> bool {
    work.requests.contains_key(resource) || work.limits.contains_key(resource)
}

/// Whether the type, by its defaults or its template, says anything of the work's memory.
pub fn names_memory(task_type: &ParsedType, template: &Template) -> bool {
    let defaults = task_type.spec.defaults.resources.as_ref();
    defaults.is_some_and(|defaults| names(defaults, MEMORY))
        || template.work.resources.names(MEMORY)
        || template.pod.resources.names(MEMORY)
}

/// The resources of the work's container in the pod of the last dry run. The namespace's LimitRange may have given some;
/// memory that it did not give is the operator's default, which may not apply to this task.
fn given(task_type: &ParsedType, template: &Template) -> Resources {
    let Some(dry_run) = &task_type.dry_run else { return Resources::default() };
    let work = dry_run.pod.as_ref().and_then(|pod| pod.container(&template.work.name));
    let mut given: Resources = work.map(|work| work.resources.clone().into()).unwrap_or_default();
    if !dry_run.memory_is_set {
        given.requests.remove(MEMORY);
        given.limits.remove(MEMORY);
    }
    given
}

/// Memory of work for which nobody in task and type names any: the operator's defaults, unless the namespace has its own.
/// The namespace's is written only where it is to grow.
fn give_memory(work: &mut Resources, task: &Task, task_type: &ParsedType, template: &Template, settings: &Settings) {
    let set_by_namespace = task_type.dry_run.as_ref().is_some_and(|dry_run| dry_run.memory_is_set);
    if !set_by_namespace {
        work.requests.insert(MEMORY.into(), settings.default_memory_request.clone());
        work.limits.insert(MEMORY.into(), settings.default_memory_limit.clone());
    } else if growth(task, &task_type.spec) > 1.0 {
        let given = given(task_type, template);
        work.requests.extend(given.requests.into_iter().filter(|(name, _)| name == MEMORY));
        work.limits.extend(given.limits.into_iter().filter(|(name, _)| name == MEMORY));
    }
}

/// Lowers each request that is above its limit. A limit that the namespace gives bounds it too.
fn lower_requests(work: &mut Resources, given: &Resources) {
    for (name, request) in &mut work.requests {
        let limit = work.limits.get(name).or_else(|| given.limits.get(name));
        if let Some(limit) = limit.filter(|limit| amount(request) > amount(limit)) {
            *request = limit.clone();
        }
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
    let factor = growth(task, task_type);
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

/// By how much the attempts that ran out of memory let it grow.
fn growth(task: &Task, task_type: &TaskTypeSpec) -> f64 {
    let times = task.status.as_ref().map(|status| status.oom_kills).unwrap_or_default();
    Policy::of(&task.spec, Some(task_type)).retry.oom_memory_factor.powi(times)
}

/// The amount of a quantity. An unreadable one counts as more than any bound, so that it never passes for being unreadable.
pub fn amount(quantity: &Quantity) -> Amount {
    quantity.amount().unwrap_or(MOST)
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
