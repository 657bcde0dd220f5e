//! Tells a story once for each place at which a fault can strike, and each fault; several at once.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use harness::faults::{EventFault, Fault, Passed, Plan, Wire};
use tokio::sync::Semaphore;

/// The most stories at once, over all tests.
const AT_ONCE: usize = 8;
static BUSY: Semaphore = Semaphore::const_new(AT_ONCE);
/// The most further stories that mostly wait for time-outs.
const WAITING_AT_ONCE: usize = 24;
static WAITING: Semaphore = Semaphore::const_new(WAITING_AT_ONCE);
/// Not everything comes each time: now and then one answer is faster than another.
const TRIES: usize = 6;

/// Tells `story` without a fault, then once for each plan that `plans` makes of what passed. Fails when any of
/// them fails, and names all that did.
pub async fn sweep(name: &str, story: impl AsyncFn(&Arc<Wire>) -> Vec<Passed>, plans: impl Fn(&Passed) -> Vec<Plan>) {
    let planned: Vec<Plan> = always_passes(name, &story).await.iter().flat_map(plans).collect();
    assert!(!planned.is_empty(), "{name}: no fault can strike");
    let results: Vec<_> = stream::iter(&planned)
        .map(|plan| until_struck(name, &story, plan))
        .buffer_unordered(AT_ONCE + WAITING_AT_ONCE)
        .collect()
        .await;
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(failed.is_empty(), "{name}: {} of {} failed: {failed:#?}", failed.len(), planned.len());
    let missed: Vec<_> = results.iter().flatten().flatten().collect();
    assert!(missed.is_empty(), "{name}: of {} faults these never struck: {missed:#?}", planned.len());
    println!("{name}: {} faults, and each struck", planned.len());
}

/// The points that pass in every first life without a fault.
async fn always_passes(name: &str, story: &impl AsyncFn(&Arc<Wire>) -> Vec<Passed>) -> Vec<Passed> {
    let (once, again) = futures::join!(told(name, story, &Plan::Faultless), told(name, story, &Plan::Faultless));
    let [once, again] = [once, again].map(|told| told.expect("it goes well without a fault").passed);
    let passes_again = |passed: &Passed| again.iter().any(|other| other.point == passed.point);
    once.into_iter().filter(|passed| passed.life == 0 && passes_again(passed)).collect()
}

struct Told {
    struck: bool,
    passed: Vec<Passed>,
}

/// Tells the story until the fault has struck, a few times at most; returns the plan when it never did.
async fn until_struck<'a>(
    name: &str,
    story: &impl AsyncFn(&Arc<Wire>) -> Vec<Passed>,
    plan: &'a Plan,
) -> Result<Option<&'a Plan>, String> {
    for _ in 0..TRIES {
        if told(name, story, plan).await?.struck {
            return Ok(None);
        }
    }
    Ok(Some(plan))
}

/// Tells the story once. When it fails, the whole of it is printed, and the end of it returned.
async fn told(name: &str, story: &impl AsyncFn(&Arc<Wire>) -> Vec<Passed>, plan: &Plan) -> Result<Told, String> {
    let _room = room(plan).acquire().await.expect("it is never closed");
    let wire = Wire::new(plan.clone());
    match AssertUnwindSafe(story(&wire)).catch_unwind().await {
        Ok(passed) => Ok(Told { struck: wire.has_struck(), passed }),
        Err(panic) => {
            let failure = format!("{plan:?}: {}", words(panic.as_ref()));
            eprintln!("===== {name}: {failure}\n{wire}");
            Err(failure)
        }
    }
}

fn room(plan: &Plan) -> &'static Semaphore {
    match plan {
        Plan::At(_, Fault::AnswerHeld | Fault::NeverSent) | Plan::AtEvent(_, EventFault::Late(_)) => &WAITING,
        _ => &BUSY,
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let string = panic.downcast_ref::<String>().cloned();
    string.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}
