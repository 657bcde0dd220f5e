//! The resources that a pod spec names, and the sum that the pod counts for: computed as the Kubernetes scheduler does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use serde::{Deserialize, Deserializer};

use super::resources::{Amounts, FREE, amount};
use task_manager_api::{Amount, Quantity, Resources};

#[cfg(test)]
mod tests;

/// Prefix of the resource names of huge pages of any size.
const HUGE_PAGES: &str = "hugepages-";

/// Quantities by resource, as text or numbers.
pub type Quantities = BTreeMap<String, Quantity>;

/// The resources of a pod spec, read out of its JSON. Every other field is left alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResources {
    #[serde(deserialize_with = "null_or")]
    pub containers: Vec<ContainerResources>,
    #[serde(deserialize_with = "null_or")]
    pub init_containers: Vec<ContainerResources>,
    /// Requests and limits of the pod as a whole.
    #[serde(deserialize_with = "null_or")]
    pub resources: Requirements,
    #[serde(deserialize_with = "null_or")]
    pub overhead: Quantities,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerResources {
    #[serde(deserialize_with = "null_or")]
    pub name: String,
    pub restart_policy: Option<String>,
    #[serde(deserialize_with = "null_or")]
    pub resources: Requirements,
}

/// Requests and limits in a pod spec, where each of them may be null.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Requirements {
    #[serde(deserialize_with = "null_or")]
    pub requests: Quantities,
    #[serde(deserialize_with = "null_or")]
    pub limits: Quantities,
}

/// Reads null as the field's default, as the API server does.
pub fn null_or<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Requirements {
    pub fn names(&self, resource: &str) -> bool {
        self.requests.contains_key(resource) || self.limits.contains_key(resource)
    }

    /// A container that names a limit but no request requests its limit.
    fn requested(&self) -> Amounts {
        let mut requests = amounts(&self.limits);
        requests.extend(amounts(&self.requests));
        requests
    }
}

impl From<Requirements> for Resources {
    fn from(Requirements { requests, limits }: Requirements) -> Self {
        Self { requests, limits }
    }
}

impl From<Resources> for Requirements {
    fn from(Resources { requests, limits }: Resources) -> Self {
        Self { requests, limits }
    }
}

impl From<&PodSpec> for PodResources {
    fn from(spec: &PodSpec) -> Self {
        let quantities =
            |written: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
                let written = written.into_iter().flatten();
                written.map(|(name, quantity)| (name.clone(), Quantity(quantity.0.clone()))).collect::<Quantities>()
            };
        let requirements = |written: Option<&ResourceRequirements>| Requirements {
            requests: quantities(written.and_then(|written| written.requests.as_ref())),
            limits: quantities(written.and_then(|written| written.limits.as_ref())),
        };
        let container = |container: &Container| ContainerResources {
            name: container.name.clone(),
            restart_policy: container.restart_policy.clone(),
            resources: requirements(container.resources.as_ref()),
        };
        Self {
            containers: spec.containers.iter().map(container).collect(),
            init_containers: spec.init_containers.iter().flatten().map(container).collect(),
            resources: requirements(spec.resources.as_ref()),
            overhead: quantities(spec.overhead.as_ref()),
        }
    }
}

impl PodResources {
    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&ContainerResources> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The same pod with other resources of the container of this name. What that container has, and `work` does not
    /// name, stays: somebody else gave it.
    pub fn with_work(mut self, name: &str, work: &Resources) -> Self {
        if let Some(container) = self.containers.iter_mut().find(|container| container.name == name) {
            let given = &mut container.resources;
            // The API server makes a limit the request, where no request is named.
            let requests = work.limits.iter().chain(&work.requests);
            given.requests.extend(requests.map(|(name, quantity)| (name.clone(), quantity.clone())));
            given.limits.extend(work.limits.clone());
        }
        self
    }

    /// The same pod, whose container of this name asks for nothing of one resource.
    pub fn without(mut self, resource: &str, container: &str) -> Self {
        for container in self.containers.iter_mut().filter(|seen| seen.name == container) {
            container.resources.requests.remove(resource);
            container.resources.limits.remove(resource);
        }
        self
    }

    /// The requests of the whole pod as the scheduler counts them: the containers' sum, or the largest step of the init
    /// containers where that is more. Sidecars count in both. Pod-level resources replace that sum, and overhead is
    /// added. The rule is Kubernetes' `PodRequests` in `k8s.io/component-helpers/resource`.
    pub fn counted(&self) -> Amounts {
        let mut beside = sum(self.containers.iter().map(|container| container.resources.requested()));
        let mut starting = Amounts::new();
        let mut sidecars = Amounts::new();
        for container in &self.init_containers {
            let requests = container.resources.requested();
            if container.restart_policy.as_deref() == Some("Always") {
                sidecars = sum([sidecars, requests]);
                starting = largest(starting, sidecars.clone());
            } else {
                starting = largest(starting, sum([sidecars.clone(), requests]));
            }
        }
        beside = sum([beside, sidecars]);
        let mut together = largest(beside, starting);
        together.extend(self.of_the_whole(&together));
        sum([together, amounts(&self.overhead)])
    }

    /// The pod-level requests. A pod-level limit counts as the request where neither pod nor container sets one, and for
    /// huge pages always.
    fn of_the_whole(&self, of_containers: &Amounts) -> Amounts {
        let mut whole = amounts(&self.resources.limits);
        whole.retain(|name, _| name.starts_with(HUGE_PAGES) || !of_containers.contains_key(name));
        whole.extend(amounts(&self.resources.requests));
        whole.retain(|name, _| FREE.contains(&name.as_str()) || name.starts_with(HUGE_PAGES));
        whole
    }
}

fn amounts(quantities: &Quantities) -> Amounts {
    quantities.iter().map(|(name, quantity)| (name.clone(), amount(quantity))).collect()
}

/// By how much `one` exceeds `other`, where it does.
pub fn surplus(one: &Amounts, other: &Amounts) -> Amounts {
    let beyond = |(name, amount): (&String, &Amount)| {
        let other = other.get(name).copied().unwrap_or_default();
        (*amount > other).then(|| (name.clone(), *amount - other))
    };
    one.iter().filter_map(beyond).collect()
}

pub fn sum(parts: impl IntoIterator<Item = Amounts>) -> Amounts {
    parts.into_iter().flatten().fold(Amounts::new(), |mut total, (name, amount)| {
        let entry = total.entry(name).or_default();
        *entry = *entry + amount;
        total
    })
}

pub fn largest(mut one: Amounts, other: Amounts) -> Amounts {
    for (name, amount) in other {
        let entry = one.entry(name).or_default();
        *entry = (*entry).max(amount);
    }
    one
}
