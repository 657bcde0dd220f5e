//! The containers of a pod, by name: which is the work, which comes before it, and which stands beside it.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};
use kube_core::ResourceExt;

use super::Why;
use super::container::{
    self, Awaited, Beside, EndBeside, FailedInit, OutOfMemory, is_sidecar, not_startable, work_state,
};
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

    /// Ends of ordinary containers other than the work, and of sidecars.
    pub(super) fn ends_beside(&self) -> Vec<EndBeside> {
        let sidecars = self.init.iter().filter(|status| self.sidecars.contains(status.name.as_str()));
        let beside = self.ordinary.iter().filter(|status| !self.is_work(status)).map(|status| (status, false));
        let all = beside.chain(sidecars.map(|status| (status, true)));
        all.flat_map(|(status, is_sidecar)| container::ends_beside(status, self.spec, is_sidecar)).collect()
    }

    /// When the kubelet may end the work for a probe or a hook, in seconds after its start.
    pub(super) fn work_may_be_killed_after(&self) -> Option<i64> {
        let work = self.spec?.containers.iter().find(|one| Some(one.name.as_str()) == self.work_name)?;
        container::may_be_killed_after(work)
    }

    /// The work, or another that was killed before the work failed.
    pub(super) fn out_of_memory(&self) -> Option<OutOfMemory> {
        let killed = |status: &ContainerStatus| container::out_of_memory(status, self.spec);
        let work = self.work();
        let harmed = |status: &&ContainerStatus| match &work {
            Work::Ended { exit_code: 0, .. } => false,
            Work::Ended { at: Some(at), .. } => container::ended_at(status).is_none_or(|ended| ended <= *at),
            _ => true,
        };
        let others = || self.all().filter(|status| !self.is_work(status)).filter(harmed).find_map(killed);
        self.of_the_work().and_then(killed).or_else(others)
    }

    /// The one that ended first: the others mostly ended because of that.
    pub(super) fn failed_init(&self) -> Option<FailedInit> {
        self.first_ones().filter_map(container::failed_init).min_by_key(|failed| failed.at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::attempt::facts::PodFacts;
    use crate::attempt::facts::fixtures::{changed, running, status_of, terminated};

    /// (container, exit code, limit that it hit)
    fn ends(pod: &PodFacts) -> Vec<(&str, Option<i32>, Option<String>)> {
        let told = |limit: &crate::attempt::facts::container::OutOfMemory| limit.told();
        let ends = pod.ends_beside.iter();
        ends.map(|end| (end.container.as_str(), end.exit_code, end.out_of_memory.as_ref().map(told))).collect()
    }

    #[test]
    fn ends_beside_the_work_are_read_also_those_of_a_sidecar_that_was_started_again() {
        let pod = |beside: Value, proxy: Value, last: Value| {
            changed(|pod| {
                let sidecar = json!({"name": "proxy", "image": "mesh", "restartPolicy": "Always"});
                pod["spec"]["initContainers"].as_array_mut().expect("a list").push(sidecar);
                let mut proxy = status_of("proxy", proxy);
                proxy["lastState"] = last;
                pod["status"]["initContainerStatuses"] = json!([status_of("fetch", terminated(4, "Error")), proxy]);
                pod["status"]["containerStatuses"] =
                    json!([status_of("beside", beside), status_of("work", terminated(3, "Error"))]);
            })
        };
        assert_eq!(ends(&pod(running(), running(), json!({}))), []);
        let both = pod(terminated(7, "Error"), running(), terminated(137, "OOMKilled"));
        let killed = Some("container proxy was killed for its use of memory, and has no limit of its own".to_owned());
        assert_eq!(ends(&both), [("beside", Some(7), None), ("proxy", Some(137), killed)]);
        assert_eq!(both.ends_beside.iter().map(|end| end.is_sidecar).collect::<Vec<_>>(), [false, true]);
        let never = pod(terminated(137, "ContainerStatusUnknown"), running(), json!({}));
        assert_eq!(ends(&never), [("beside", None, None)]);
    }

    #[test]
    fn a_helper_that_is_out_of_memory_after_the_work_has_failed_is_not_why() {
        let killed = |finished: &str| {
            let mut beside = terminated(137, "OOMKilled");
            beside["terminated"]["finishedAt"] = finished.into();
            let work = status_of("work", terminated(3, "Error"));
            let pod =
                changed(|pod| pod["status"]["containerStatuses"] = json!([status_of("beside", beside), work.clone()]));
            pod.out_of_memory.is_some()
        };
        assert!(killed("2026-03-01T10:05:00Z") && !killed("2026-03-01T10:05:01Z"));
    }

    #[test]
    fn the_limit_that_was_in_force_is_the_one_that_was_hit() {
        let pod = changed(|pod| {
            pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
            let mut work = status_of("work", terminated(137, "OOMKilled"));
            work["resources"] = json!({"limits": {"memory": "32Mi"}});
            pod["status"]["containerStatuses"] = json!([work]);
        });
        let told = pod.out_of_memory.map(|killed| killed.told());
        assert_eq!(told.as_deref(), Some("container work was killed at its memory limit of 32Mi"));
    }

    #[test]
    fn probes_and_hooks_of_the_work_tell_when_it_may_be_killed_for_them() {
        let probe = json!({"exec": {"command": ["true"]}});
        let slow = json!({"initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 4});
        let hook = json!({"postStart": {"exec": {"command": ["true"]}}});
        for (container, fields, expected) in [
            (0, json!({}), None),
            (0, json!({"readinessProbe": probe}), None),
            (0, json!({"livenessProbe": probe}), Some(20)),
            (0, json!({"startupProbe": slow}), Some(11)),
            (0, json!({"startupProbe": slow, "livenessProbe": probe}), Some(11)),
            (0, json!({"livenessProbe": probe, "lifecycle": hook}), Some(0)),
            (0, json!({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}), None),
            (1, json!({"livenessProbe": probe}), None),
        ] {
            let pod = changed(|pod| {
                let fields = fields.as_object().expect("fields").clone();
                pod["spec"]["containers"][container].as_object_mut().expect("a container").extend(fields);
            });
            assert_eq!(pod.may_be_killed_after, expected, "{fields} of container {container}");
        }
    }
}
