//! The names under which a queue's capacity may be given: those that pods are counted by.

/// Resources without a domain that a pod may request.
const PLAIN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";
/// A ResourceQuota names the resources of pods with these in front.
const OF_QUOTAS: [&str; 2] = ["requests.", "limits."];
/// A ResourceQuota counts objects with this in front.
const COUNTS: &str = "count/";

/// Why a capacity under these names cannot be kept, with the name that is meant; `None` where pods are counted by all of
/// them.
pub fn fault<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    names.filter(|name| !is_counted(name)).map(|name| fault_of(name)).next()
}

/// One of the few resources that every node has.
pub fn is_plain(name: &str) -> bool {
    PLAIN.contains(&name)
}

fn is_counted(name: &str) -> bool {
    let is_of_quotas = OF_QUOTAS.iter().any(|prefix| name.starts_with(prefix)) || name.starts_with(COUNTS);
    is_plain(name) || name.starts_with(HUGE_PAGES) || (name.contains('/') && !is_of_quotas)
}

fn fault_of(name: &str) -> String {
    let field = format!("spec.capacity.resources.{name}: no pod is counted by this name");
    match meant(name) {
        Meant::Resource(meant) => format!("{field}; write {meant}"),
        Meant::Tasks => format!("{field}; for a number of tasks write spec.capacity.tasks"),
        Meant::Unknown => format!(
            "{field}; write cpu, memory, ephemeral-storage, hugepages-… or a device as nodes name it, such as nvidia.com/{name}"
        ),
    }
}

enum Meant {
    Resource(String),
    Tasks,
    Unknown,
}

fn meant(name: &str) -> Meant {
    let bare = OF_QUOTAS.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    if bare.contains('/') {
        return if name.starts_with(COUNTS) { Meant::Tasks } else { Meant::Resource(bare.into()) };
    }
    let plain = bare.to_lowercase();
    match plain.as_str() {
        "pods" | "jobs" | "tasks" => Meant::Tasks,
        "cpus" | "cores" | "core" => Meant::Resource("cpu".into()),
        "mem" | "ram" => Meant::Resource("memory".into()),
        "disk" | "storage" => Meant::Resource("ephemeral-storage".into()),
        plain if is_counted(plain) => Meant::Resource(plain.into()),
        _ => Meant::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_pods_are_counted_by_are_no_fault() {
        for name in ["cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu", "example.com/fpga"] {
            assert_eq!(fault([name.to_owned()].iter()), None, "{name}");
        }
        assert_eq!(fault([].iter()), None);
    }

    #[test]
    fn any_other_name_is_a_fault_that_tells_the_one_that_is_meant() {
        for (name, meant) in [
            ("requests.cpu", "write cpu"),
            ("limits.memory", "write memory"),
            ("requests.nvidia.com/gpu", "write nvidia.com/gpu"),
            ("Memory", "write memory"),
            ("mem", "write memory"),
            ("cpus", "write cpu"),
            ("requests.storage", "write ephemeral-storage"),
            ("pods", "spec.capacity.tasks"),
            ("count/jobs.batch", "spec.capacity.tasks"),
            ("gpu", "such as nvidia.com/gpu"),
        ] {
            let told = fault(["cpu".to_owned(), name.to_owned()].iter()).unwrap_or_default();
            assert!(told.contains(name) && told.contains(meant), "{name}: {told}");
        }
    }
}
