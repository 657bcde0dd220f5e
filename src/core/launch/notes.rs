//! The notes on a type that can be used all the same: how queues count its pods, and what in it is probably a slip.

use super::holds;
use super::pod_resources::{ContainerResources, PodResources, Requirements};
use super::resources::{Amounts, MEMORY, add, amount};
use crate::ParsedType;
use task_manager_api::{Amount, Quantity, Resources};

/// Less memory is no container's: `m` is a thousandth of a byte.
const LEAST_MEMORY: Amount = Amount::whole(1 << 20);
/// More cores has no node.
const MOST_CPU: Amount = Amount::whole(1000);
/// How many notes are told.
const TOLD: usize = 5;

/// `message`, and all that is to be told beside it.
pub fn with_notes(message: &str, parsed: &ParsedType) -> String {
    let mut notes = notes(parsed);
    let more = notes.len().saturating_sub(TOLD);
    notes.truncate(TOLD);
    let more = (more > 0).then(|| format!("and {more} more"));
    let parts: Vec<_> = notes.into_iter().chain(more).collect();
    match parts.is_empty() {
        true => message.to_owned(),
        false => format!("{} Note: {}", ended(message), parts.join("; ")),
    }
}

fn ended(message: &str) -> String {
    if message.ends_with('.') { message.to_owned() } else { format!("{message}.") }
}

/// Why nothing is known of a type now, and by what queues count its pods meanwhile.
pub fn of_unanswered(why: &str, parsed: &ParsedType) -> String {
    with_notes(&format!("{why}; {}", counted_by(parsed)), parsed)
}

fn counted_by(parsed: &ParsedType) -> &'static str {
    match parsed.dry_run.as_ref().is_some_and(|dry_run| dry_run.pod.is_some()) {
        true => "queues count its pods by the last answer that held one",
        false => "queues count its pods by the template",
    }
}

fn notes(parsed: &ParsedType) -> Vec<String> {
    let Ok(template) = &parsed.template else { return vec![] };
    let defaults = parsed.spec.defaults.resources.as_ref();
    let mut work: Resources = template.work.resources.clone().into();
    if let Some(defaults) = defaults {
        add(&mut work, defaults);
    }
    let mut notes: Vec<_> = larger(&parsed.surplus).into_iter().collect();
    notes.extend(lowered(&work));
    notes.extend(slips_of_pod(&template.pod));
    notes.extend(
        defaults.iter().flat_map(|defaults| slips_of(&Requirements::from((*defaults).clone()), "spec.defaults")),
    );
    let maximum = parsed.spec.maximum.resources.iter();
    notes.extend(maximum.filter_map(|(name, quantity)| slip(name, quantity, "spec.maximum.resources")));
    notes
}

fn larger(surplus: &Amounts) -> Option<String> {
    let by: Vec<_> = holds::to_quantities(surplus).iter().map(|(name, by)| format!("{name} {}", by.0)).collect();
    (!by.is_empty()).then(|| {
        format!(
            "pods of this type came out larger than the dry run said, by {}, as where a webhook skips dry runs: queues count that too",
            by.join(", ")
        )
    })
}

/// The requests of the work that are above their limits, which no task of this type has asked for.
fn lowered(work: &Resources) -> impl Iterator<Item = String> {
    let both = work.requests.iter().filter_map(|(name, request)| Some((name, request, work.limits.get(name)?)));
    both.filter(|(_, request, limit)| amount(request) > amount(limit)).map(|(name, request, limit)| {
        format!("the work requests {name} {}, above its limit {}, and gets the limit", request.0, limit.0)
    })
}

fn slips_of_pod(pod: &PodResources) -> Vec<String> {
    let at = |list: &str, index: usize| format!("spec.template.spec.{list}[{index}]");
    let of_list = |list: &'static str, containers: &[ContainerResources]| {
        let all = containers.iter().enumerate();
        all.flat_map(|(index, container)| slips_of(&container.resources, &at(list, index))).collect::<Vec<_>>()
    };
    let mut slips = of_list("containers", &pod.containers);
    slips.extend(of_list("initContainers", &pod.init_containers));
    slips.extend(slips_of(&pod.resources, "spec.template.spec"));
    slips
}

fn slips_of(resources: &Requirements, of: &str) -> Vec<String> {
    let both = [("requests", &resources.requests), ("limits", &resources.limits)];
    let all = both.into_iter().flat_map(|(field, quantities)| quantities.iter().map(move |named| (field, named)));
    all.filter_map(|(field, (name, quantity))| slip(name, quantity, &format!("{of}.resources.{field}"))).collect()
}

/// A quantity that nobody can have meant.
fn slip(name: &str, quantity: &Quantity, at: &str) -> Option<String> {
    let written = &quantity.0;
    let Ok(asked) = quantity.amount() else {
        return Some(format!("{at}.{name} is {written}, which is no quantity: write one such as 500m, 2 or 100Mi"));
    };
    match name {
        MEMORY if asked > Amount::default() && asked < LEAST_MEMORY => {
            Some(format!("{at}.memory is {written}, which is less than 1Mi: memory is in bytes, such as 100Mi"))
        }
        "cpu" if asked > MOST_CPU => {
            Some(format!("{at}.cpu is {written}, which is more than 1000 cores: cpu is in cores, such as 500m or 2"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use task_manager_api::TaskTypeSpec;

    fn told(work: Value, fields: Value) -> String {
        let mut spec = json!({"template": {"spec": {"containers": [{"name": "work", "resources": work}]}}});
        spec.as_object_mut().expect("fields").extend(fields.as_object().cloned().unwrap_or_default());
        let spec: TaskTypeSpec = serde_json::from_value(spec).expect("a type's spec");
        with_notes("It can be used.", &ParsedType::read(&spec))
    }

    #[test]
    fn a_request_above_its_limit_is_told_wherever_the_type_names_the_two() {
        let both = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}});
        let said = told(both, json!({}));
        assert!(said.contains("requests cpu 2, above its limit 1"), "{said}");
        let limits = json!({"limits": {"memory": "1Gi"}});
        let said = told(limits, json!({"defaults": {"resources": {"requests": {"memory": "2Gi"}}}}));
        assert!(said.contains("requests memory 2Gi, above its limit 1Gi"), "{said}");
        assert_eq!(told(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}), json!({})), "It can be used.");
    }

    #[test]
    fn quantities_that_can_only_be_a_slip_are_told_with_their_place() {
        let said = told(json!({"limits": {"memory": "100m"}}), json!({"maximum": {"resources": {"cpu": "2000"}}}));
        for words in
            ["spec.template.spec.containers[0].resources.limits.memory is 100m", "spec.maximum.resources.cpu is 2000"]
        {
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(
            told(json!({"limits": {"memory": "1Mi", "cpu": "1000"}, "requests": {"memory": 0}}), json!({})),
            "It can be used."
        );
    }

    #[test]
    fn pods_that_came_out_larger_are_told_with_the_difference() {
        let spec = json!({"template": {"spec": {"containers": [{"name": "work"}]}}});
        let spec: TaskTypeSpec = serde_json::from_value(spec).expect("a type's spec");
        let parsed = ParsedType::read(&spec).with_surplus([("cpu".to_owned(), Amount(250))].into());
        let said = with_notes("It can be used.", &parsed);
        assert!(said.contains("larger than the dry run said, by cpu 250m"), "{said}");
    }
}
