//! The containers of a pod, by name: which is the work, which comes before it, and which stands beside it.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};
use kube_core::ResourceExt;

use super::Why;
use super::container::{self, Awaited, Beside, FailedInit, OutOfMemory, is_sidecar, not_startable, work_state};
use super::pod::Work;
use crate::launch::names;

/// The container statuses of a pod, sorted by the part that each container plays.
pub(super) struct Containers<'a> {
    spec: Option<&'a PodSpec>,
    pub(super) work_name: Option<&'a str>,
    ordinary: &'a [ContainerStatus],
    init: &'a [ContainerStatus],
    sidecars: HashSet<&'a str>,
}

impl<'a> Containers<'a> {
    /// The work is the container of the name that we wrote down; of a pod of an older operator, the first.
    pub(super) fn of(pod: &'a Pod, status: &'a PodStatus) -> Self {
        let spec = pod.spec.as_ref();
        let names = || spec.into_iter().flat_map(|spec| spec.containers.iter().map(|one| one.name.as_str()));
        let named = pod.annotations().get(names::ANNOTATION_CONTAINER).map(String::as_str);
        let is_there = |name: &&str| names().any(|other| other == *name);
        let init = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
        Self {
            spec,
            work_name: named.filter(is_there).or_else(|| names().next()),
            ordinary: status.container_statuses.as_deref().unwrap_or_default(),
            init: status.init_container_statuses.as_deref().unwrap_or_default(),
            sidecars: init.filter(|one| is_sidecar(one)).map(|one| one.name.as_str()).collect(),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'a ContainerStatus> {
        self.init.iter().chain(self.ordinary)
    }

    fn is_work(&self, status: &ContainerStatus) -> bool {
        Some(status.name.as_str()) == self.work_name
    }

    fn of_the_work(&self) -> Option<&'a ContainerStatus> {
        self.ordinary.iter().find(|status| self.is_work(status))
    }

    pub(super) fn work(&self) -> Work {
        self.of_the_work().map(work_state).unwrap_or_default()
    }

    /// Init containers that have to end before the work begins.
    fn first_ones(&self) -> impl Iterator<Item = &'a ContainerStatus> {
        self.init.iter().filter(|status| !self.sidecars.contains(status.name.as_str()))
    }

    pub(super) fn awaited(&self) -> Option<Awaited> {
        let is_awaited = self.work() == Work::NotStarted;
        self.spec.filter(|_| is_awaited).and_then(|spec| container::awaited(spec, self.init, self.work_name))
    }

    /// Why the one waits that is waited for: what others wait for holds up nothing.
    pub(super) fn waiting(&self) -> Option<Why> {
        let awaited = self.awaited()?.container;
        self.all().find(|status| status.name == awaited).and_then(container::waiting)
    }

    pub(super) fn not_startable(&self) -> Option<String> {
        self.first_ones().chain(self.of_the_work()).find_map(not_startable)
    }

    pub(super) fn beside(&self) -> Vec<Beside> {
        self.ordinary.iter().filter(|status| !self.is_work(status)).filter_map(container::beside).collect()
    }

    pub(super) fn out_of_memory(&self) -> Option<OutOfMemory> {
        let killed = |status: &ContainerStatus| container::out_of_memory(status, self.spec);
        let ended_well = matches!(self.work(), Work::Ended { exit_code: 0, .. });
        let others = || self.all().filter(|status| !ended_well && !self.is_work(status)).find_map(killed);
        self.of_the_work().and_then(killed).or_else(others)
    }

    /// The one that ended first: the others mostly ended because of that.
    pub(super) fn failed_init(&self) -> Option<FailedInit> {
        self.first_ones().filter_map(container::failed_init).min_by_key(|failed| failed.at)
    }
}
