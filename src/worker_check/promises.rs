//! What a worker promises, one story each.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::board::Pulse;
use super::play::{Play, Stuck};
use crate::api::worker_protocol::{Cancel, Done, RESULT_BYTES};

/// How a promise was kept.
#[derive(Debug)]
pub enum Verdict {
    Kept,
    /// It was not made, and need not be.
    NotMade(&'static str),
    Broken(String),
}

type Story = for<'a> fn(&'a mut Play) -> BoxFuture<'a, Result<Verdict, Stuck>>;

/// A promise in a sentence, and the story that tries it.
pub struct Promise {
    pub sentence: &'static str,
    pub story: Story,
}

macro_rules! promises {
    ($($story:ident: $sentence:literal,)*) => {
        &[$(Promise { sentence: $sentence, story: |play| $story(play).boxed() }),*]
    };
}

/// In this order: the last one ends the worker.
pub const PROMISES: &[Promise] = promises![
    asks: "It asks for work, with its token and in JSON.",
    asks_again: "It asks again when there is nothing to do.",
    hands_in_results: "It hands in the result of its work.",
    hands_in_errors: "It hands in an error when its work fails, and goes on.",
    says_again_after_503: "It hands in the same again after 503, not before Retry-After is over.",
    says_again_after_a_break: "It hands in the same again when the connection breaks before the answer.",
    says_again_what_is_not_kept: "It hands in the same again when the answer does not say whether it is kept.",
    takes_a_task_again: "It does a task whose first answer was lost when it is given it again.",
    forgets_what_is_too_late: "It goes on when what it hands in is too late.",
    survives_a_refusal: "It hands in a large result by PUT, or an error in its place.",
    reads_its_token: "It reads its token anew for each call.",
    beats: "It is heard while it works.",
    stops_on_cancel: "It stops when it is cancelled, and hands in.",
    stops_when_over: "It stops at once when its lease is over, and asks for the next task.",
    speaks_as_the_page_says: "It says nothing that the protocol does not know, in one open call a slot.",
    ends_on_stop: "It ends with 0 when it is told to stop.",
];

/// What a worker does that promises heartbeats.
const NO_BEATS: Verdict = Verdict::NotMade("it does not say \"beats\": true");
/// A broken connection may not be known to be broken at once.
const SOON: Duration = Duration::from_secs(10);

fn kept_if(is_kept: bool, why: impl FnOnce() -> String) -> Result<Verdict, Stuck> {
    Ok(if is_kept { Verdict::Kept } else { Verdict::Broken(why()) })
}

fn result_of(done: &Done) -> Value {
    done.result.as_ref().and_then(|result| serde_json::from_str(result.get()).ok()).unwrap_or_default()
}

fn in_words(done: &Done) -> String {
    serde_json::to_string(done).unwrap_or_default()
}

async fn asks(play: &mut Play) -> Result<Verdict, Stuck> {
    let call = play.call().await?;
    play.leave_open(call);
    Ok(Verdict::Kept)
}

async fn asks_again(play: &mut Play) -> Result<Verdict, Stuck> {
    while !play.open_call().await?.keep() {}
    let call = play.call().await?;
    let has_done = call.done().is_some();
    play.leave_open(call);
    kept_if(!has_done, || "it handed in something though it was given nothing".into())
}

async fn hands_in_results(play: &mut Play) -> Result<Verdict, Stuck> {
    let answer = json!({"pages": 3, "text": "„straße“ \\ \" \n"});
    let task = play.task(&json!({"answer": answer}));
    play.give(&task).await?;
    let done = play.done(&task).await?;
    kept_if(!done.has_failed() && result_of(&done) == answer, || {
        format!("the payload asked for the answer {answer}, and it handed in {}", in_words(&done))
    })
}

async fn hands_in_errors(play: &mut Play) -> Result<Verdict, Stuck> {
    let task = play.task(&json!({"fail": "the page is missing"}));
    play.give(&task).await?;
    let done = play.done(&task).await?;
    kept_if(done.has_failed(), || format!("the payload asked for a failure, and it handed in {}", in_words(&done)))
}

/// Whether two calls hand in the same.
fn same(one: &Done, other: &Done) -> bool {
    one.lease == other.lease && one.has_failed() == other.has_failed() && result_of(one) == result_of(other)
}

async fn says_again_after_503(play: &mut Play) -> Result<Verdict, Stuck> {
    let task = play.task(&json!({"answer": 503}));
    play.give(&task).await?;
    let (call, first) = play.call_with(&task).await?;
    call.unavailable(1);
    let refused = Instant::now();
    let (call, again) = play.call_with(&task).await?;
    let after = refused.elapsed();
    play.leave_open(call);
    if after < Duration::from_millis(900) {
        return Ok(Verdict::Broken(format!("it said it again after {} ms: Retry-After was 1 s", after.as_millis())));
    }
    kept_if(same(&first, &again), || format!("first {}, then {}", in_words(&first), in_words(&again)))
}

async fn says_again_after_a_break(play: &mut Play) -> Result<Verdict, Stuck> {
    let task = play.task(&json!({"answer": "broken off"}));
    play.give(&task).await?;
    let (call, first) = play.call_with(&task).await?;
    call.hang_up();
    let again = play.done(&task).await?;
    kept_if(same(&first, &again), || format!("first {}, then {}", in_words(&first), in_words(&again)))
}

async fn says_again_what_is_not_kept(play: &mut Play) -> Result<Verdict, Stuck> {
    let task = play.task(&json!({"answer": "let go"}));
    play.give(&task).await?;
    let (call, first) = play.call_with(&task).await?;
    call.let_go();
    let again = play.done(&task).await?;
    kept_if(same(&first, &again), || format!("first {}, then {}", in_words(&first), in_words(&again)))
}

async fn takes_a_task_again(play: &mut Play) -> Result<Verdict, Stuck> {
    let task = play.task(&json!({"answer": "given twice"}));
    // The answer with the task is lost on its way.
    while !play.open_call().await?.hang_up() {}
    play.give(&task).await?;
    let done = play.done(&task).await?;
    kept_if(result_of(&done) == json!("given twice"), || format!("it handed in {}", in_words(&done)))
}

async fn forgets_what_is_too_late(play: &mut Play) -> Result<Verdict, Stuck> {
    let task = play.task(&json!({"answer": "late"}));
    play.give(&task).await?;
    let (call, _) = play.call_with(&task).await?;
    call.do_not_keep("Unknown");
    let call = play.call().await?;
    let again = call.done().map(|done| done.lease.clone());
    play.leave_open(call);
    kept_if(again.is_none(), || format!("it handed in {again:?} again"))
}

async fn survives_a_refusal(play: &mut Play) -> Result<Verdict, Stuck> {
    let answer = "x".repeat(2 * RESULT_BYTES);
    let task = play.task(&json!({"answer": answer}));
    play.give(&task).await?;
    let done = play.done(&task).await?;
    let put = play.large_result(&task).map(|(_, content)| content);
    let is_whole = put.as_ref().is_some_and(|content| {
        content[..] == *answer.as_bytes() || serde_json::from_slice::<Value>(content).ok() == Some(json!(answer))
    });
    match (done.has_failed(), is_whole) {
        (true, _) => Ok(Verdict::Kept),
        (false, true) => kept_if(done.result.is_none(), || "it was PUT and handed in as well".into()),
        (false, false) => Ok(Verdict::Broken(match put {
            Some(content) => format!("it PUT {} bytes that are not its result", content.len()),
            None => format!("it neither PUT the result nor told an error: {:.200}", in_words(&done)),
        })),
    }
}

async fn reads_its_token(play: &mut Play) -> Result<Verdict, Stuck> {
    let call = play.open_call().await?;
    play.renew_token().map_err(|error| Stuck::Other(error.to_string()))?;
    let refused = *play.board().refused.lock();
    call.keep();
    let call = play.call().await?;
    play.leave_open(call);
    let refused = *play.board().refused.lock() - refused;
    kept_if(refused == 0, || format!("it came {refused} times with the token that was in the file before"))
}

/// Whether the worker promised heartbeats.
async fn promised(play: &mut Play) -> Result<bool, Stuck> {
    let call = play.open_call().await?;
    let beats = call.request.beats;
    play.leave_open(call);
    Ok(beats)
}

async fn beats(play: &mut Play) -> Result<Verdict, Stuck> {
    if !promised(play).await? {
        return Ok(NO_BEATS);
    }
    let task = play.task(&json!({"seconds": 3.5, "answer": "slept"}));
    play.give(&task).await?;
    let done = play.done(&task).await?;
    let beats = play.heard(&task).beats.len();
    let is_kept = beats >= 2 && result_of(&done) == json!("slept");
    kept_if(is_kept, || format!("in 3.5 s, with heartbeat_seconds 1, it was heard {beats} times; {}", in_words(&done)))
}

async fn stops_on_cancel(play: &mut Play) -> Result<Verdict, Stuck> {
    if !promised(play).await? {
        return Ok(NO_BEATS);
    }
    let task = play.task(&json!({"seconds": 60, "answer": "not cancelled"}));
    play.give(&task).await?;
    play.answer_beats(&task, Pulse::Cancel(Cancel { reason: "Cancelled".into(), grace_seconds: 5 }));
    let cancelled = play.beat(&task, |_| true).await?;
    play.done(&task).await?;
    let took = cancelled.elapsed();
    kept_if(took < SOON, || format!("it handed in {} s after it was cancelled with a grace of 5 s", took.as_secs()))
}

async fn stops_when_over(play: &mut Play) -> Result<Verdict, Stuck> {
    if !promised(play).await? {
        return Ok(NO_BEATS);
    }
    let task = play.task(&json!({"seconds": 60, "answer": "not over"}));
    play.give(&task).await?;
    play.answer_beats(&task, Pulse::Over);
    let over = play.beat(&task, |_| true).await?;
    let call = play.call().await?;
    let took = over.elapsed();
    // What is handed in all the same changes nothing.
    if call.done().is_some() {
        call.do_not_keep("Superseded");
    } else {
        play.leave_open(call);
    }
    kept_if(took < SOON, || format!("it asked for the next task {} s after its lease was over", took.as_secs()))
}

async fn speaks_as_the_page_says(play: &mut Play) -> Result<Verdict, Stuck> {
    let faults = play.board().faults.lock().join("; ");
    kept_if(faults.is_empty(), || faults)
}

async fn ends_on_stop(play: &mut Play) -> Result<Verdict, Stuck> {
    while !play.open_call().await?.stop() {}
    if play.worker().is_none() {
        play.patience = Duration::from_secs(3);
        return kept_if(play.call().await.is_err(), || "it asked for more".into());
    }
    match play.end(SOON).await {
        Ok(ended) => kept_if(ended.success(), || format!("it ended: {ended}")),
        Err(stuck) => Ok(Verdict::Broken(stuck.to_string())),
    }
}
