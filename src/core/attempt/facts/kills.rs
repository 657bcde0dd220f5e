//! Reads in a pod's events for what its kubelet has ended the work: a probe that failed, or a hook. The pod itself tells
//! the exit code alone. Never says whether it was the kubelet: somebody else may have ended the pod.

use super::{PodEvent, PodFacts};
use crate::telling::{runtime_words, text};

/// Characters of a probe's own words.
const WORDS: usize = 200;
/// The kubelet's words for a hook, which tell nothing.
const HOOK_FAILED: &str = "PostStartHook failed";

/// The cause, as part of a sentence. A kubelet says of each container that it ends that it does; for what it ends it is
/// said by the warning before.
pub fn killed_for(pod: &PodFacts, events: &[PodEvent]) -> Option<String> {
    let of_the_work = || events.iter().filter(|event| event.container.is_some() && event.container == pod.container);
    if let Some(hook) = of_the_work().find(|event| event.reason == "FailedPostStartHook") {
        return Some(match words(&hook.message) {
            said if said == HOOK_FAILED => "its postStart hook failed".into(),
            said => format!("its postStart hook failed: {said}"),
        });
    }
    of_the_work().find(|event| event.reason == "Killing")?;
    let unhealthy = of_the_work().filter(|event| event.reason == "Unhealthy");
    let last = unhealthy.filter_map(|event| Some((event.last_seen, probe_failed(&event.message)?)));
    last.max_by_key(|(seen, _)| *seen).map(|(_, cause)| cause)
}

/// `Liveness probe failed: …` and its like. A readiness probe ends nothing.
fn probe_failed(said: &str) -> Option<String> {
    let of =
        |probe: &str, word: &str| said.strip_prefix(&format!("{word} probe ")).map(|rest| (probe.to_owned(), rest));
    let (probe, rest) = of("liveness", "Liveness").or_else(|| of("startup", "Startup"))?;
    let said = rest.split_once(':').map_or(rest, |(_, said)| said);
    Some(format!("its {probe} probe failed: {}", words(said)))
}

fn words(said: &str) -> String {
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    text::cut(&runtime_words::cause(&line), WORDS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::attempt::facts::fixtures::{at, pod};

    fn event(reason: &str, container: &str, message: &str, minute: i8) -> PodEvent {
        PodEvent {
            reason: reason.into(),
            container: Some(container.into()),
            message: message.into(),
            last_seen: Some(at(&format!("2026-03-01T10:0{minute}:00Z"))),
            ..PodEvent::default()
        }
    }

    #[test]
    fn the_events_of_a_pod_tell_the_probe_or_hook_for_which_its_work_was_ended() {
        let killing = || event("Killing", "work", "Stopping container work", 5);
        let failed = |message: &str, minute| event("Unhealthy", "work", message, minute);
        let liveness = || failed("Liveness probe failed: no heartbeat\n", 4);
        for (events, expected) in [
            (vec![], None),
            (vec![killing()], None),
            (vec![liveness()], None),
            (vec![liveness(), killing()], Some("its liveness probe failed: no heartbeat")),
            (
                vec![liveness(), event("Killing", "work", "Container work failed liveness probe", 5)],
                Some("its liveness probe failed: no heartbeat"),
            ),
            (
                vec![failed("Startup probe failed: not up\n", 1), liveness(), killing()],
                Some("its liveness probe failed: no heartbeat"),
            ),
            (
                vec![failed("Startup probe failed: HTTP probe failed with statuscode: 500", 1), killing()],
                Some("its startup probe failed: HTTP probe failed with statuscode: 500"),
            ),
            (
                vec![failed("Liveness probe errored: rpc error: code = Unknown desc = gone", 1), killing()],
                Some("its liveness probe failed: gone"),
            ),
            (vec![failed("Readiness probe failed: busy", 4), killing()], None),
            (vec![event("Unhealthy", "beside", "Liveness probe failed: its own", 4), killing()], None),
            (vec![liveness(), event("Killing", "beside", "Stopping container beside", 5)], None),
            (
                vec![event("FailedPostStartHook", "work", "PostStartHook failed", 1), killing()],
                Some("its postStart hook failed"),
            ),
            (
                vec![event("FailedPostStartHook", "work", "Exec lifecycle hook failed: no", 1)],
                Some("its postStart hook failed: Exec lifecycle hook failed: no"),
            ),
        ] {
            assert_eq!(killed_for(&pod(json!({})), &events).as_deref(), expected, "{events:?}");
        }
    }
}
