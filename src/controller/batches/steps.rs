//! Carries out the steps of a batch. Each may be repeated without harm, and a stop between any two lines costs a repetition:
//! a chunk that was made is taken over, and an end that is stored is not stored again.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::time::timeout;

use crate::api::Task;
use crate::archive::{BatchKey, CHUNKS_READ_AT_ONCE, ChunkEnd, Error};
use crate::cluster::calls::CallError;
use crate::cluster::create::{Run, create};
use crate::cluster::rights::Right;
use crate::controller::Context;
use crate::controller::batches::Made;
use crate::controller::reconcile::apply::{Again, TRACE_EXPECTED_WITHIN};
use crate::controller::reconcile::delete::{Removal, only, remove};
use crate::core::Policy;
use crate::core::attempt::facts::no_pod;
use crate::core::attempt::id::run_began;
use crate::core::batch::{Cut, End, Ending, Ledger, Outcome, ReadBack};
use crate::core::launch::{chunk, names};
use crate::core::task::BatchStep;
use crate::core::time::after;

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);
const SOON: Option<Duration> = Some(Duration::from_secs(1));
/// When to look again where the store refuses what it is not to refuse.
const LATER: Option<Duration> = Some(Duration::from_secs(10));
/// How long no chunk is made after the API server refused one.
const AFTER_A_REFUSAL: SignedDuration = SignedDuration::from_secs(10);

pub async fn carry_out(batch: &Task, step: BatchStep, context: &Context) -> Again {
    match step {
        BatchStep::ReadLedger => Ok(read_ledger(batch, context).await),
        BatchStep::TakeOver { number, cut, chunk } => {
            begun(batch, number, &cut, &chunk, context);
            Ok(AT_ONCE)
        }
        BatchStep::Begin { number, cut } => begin(batch, number, &cut, context).await,
        BatchStep::Fold { number, chunk, with_its_batch } => fold(batch, number, &chunk, with_its_batch, context).await,
        BatchStep::Remove(chunk) => {
            delete(batch, &chunk, only(&chunk.uid().unwrap_or_default()), context).await.map(soon)
        }
        BatchStep::Withdraw { number, chunk } => withdraw(batch, number, &chunk, context).await,
        BatchStep::Cancel(chunk) => cancel(batch, &chunk, context).await,
        BatchStep::LookFor { number } => look_for(batch, number, context).await,
    }
}

fn key(batch: &Task) -> BatchKey {
    BatchKey {
        uid: batch.uid().unwrap_or_default(),
        run_id: chunk::run_of(batch),
        began: run_began(batch, batch.status_or_default()),
    }
}

/// Reads the ends of all chunks, the last one first, a part at a time.
async fn read_ledger(batch: &Task, context: &Context) -> Option<Duration> {
    context.batches.forget(|uid| context.cache.reference(uid).is_some());
    match ends_of(batch, context).await {
        Ok(ledger) => {
            context.batches.set_ledger(batch, Some(ledger));
            AT_ONCE
        }
        Err(error) => not_now(batch, &error),
    }
}

async fn ends_of(batch: &Task, context: &Context) -> Result<Ledger, Error> {
    // The spec may ask for another run by now.
    let total = batch.status_or_default().batch.as_ref().map_or(0, |counts| counts.total);
    let mut read = ReadBack::new(u32::try_from(total).unwrap_or_default());
    let (key, mut before) = (key(batch), i64::MAX);
    loop {
        let ends = context.records.chunks(&key, before).await?;
        for end in &ends {
            let outcome: Outcome = serde_json::from_str(&end.outcome)
                .map_err(|error| Error::Corrupt(format!("the end of a chunk: {error}")))?;
            read.read(end.place, u32::try_from(end.number).unwrap_or_default(), &outcome);
            before = end.place;
        }
        if ends.len() < CHUNKS_READ_AT_ONCE {
            return Ok(read.ledger());
        }
    }
}

fn not_now(batch: &Task, error: &Error) -> Option<Duration> {
    if error.is_temporary() {
        return SOON;
    }
    tracing::error!(namespace = batch.namespace(), task = batch.name_any(), %error, "the batch waits for its store");
    LATER
}

/// Makes a chunk. It has its items once it is there.
async fn begin(batch: &Task, number: u32, cut: &Cut, context: &Context) -> Again {
    // The cache has neither the payload nor the items.
    let Some(whole) = whole(batch, context).await? else { return Ok(Some(TRACE_EXPECTED_WITHIN)) };
    let Some(manifest) = chunk::chunk(&whole, number, cut) else { return Ok(LATER) };
    let client = context.calls.reads.client();
    let made = |left| create::<Task, Task>(&client, &manifest, Run::Real(left));
    let answer = context.calls.write_within("create_chunk", made).await;
    context.calls.reads.rights.note(Right::CreateTasks, &batch.namespace().unwrap_or_default(), &answer);
    match answer {
        Ok(made) => {
            begun(batch, number, cut, &made, context);
            Ok(AT_ONCE)
        }
        Err(CallError::AlreadyExists) => already_there(batch, number, context).await,
        Err(CallError::Refused(status)) => {
            let until = after(Timestamp::now(), AFTER_A_REFUSAL);
            context.batches.change(batch, |known| known.refused = Some((no_pod(&status.message), until)));
            Ok(AT_ONCE)
        }
        // The namespace takes its tasks along.
        Err(CallError::Terminating | CallError::NotFound) => Ok(LATER),
        Err(error) => Err(error),
    }
}

fn begun(batch: &Task, number: u32, cut: &Cut, made: &Task, context: &Context) {
    let made = Made { at: Timestamp::now(), uid: made.uid().unwrap_or_default().into(), was_shown: false };
    context.batches.change(batch, |known| {
        if known.ledger.as_mut().is_some_and(|ledger| Arc::make_mut(ledger).begin(number, cut)) {
            known.made.insert(number, made);
        }
    });
}

/// The batch as it was decided on, with all that it has.
async fn whole(batch: &Task, context: &Context) -> Result<Option<Task>, CallError> {
    let tasks = context.calls.namespaced::<Task>(&batch.namespace().unwrap_or_default());
    let found = context.calls.read(tasks.get_opt(&batch.name_any())).await?;
    Ok(found.filter(|whole| {
        let same = (&whole.metadata.uid, whole.metadata.generation) == (&batch.metadata.uid, batch.metadata.generation);
        same && whole.metadata.deletion_timestamp.is_none()
    }))
}

/// A chunk of this number is there: from a try that was not answered. A stranger's task of that name is left alone.
async fn already_there(batch: &Task, number: u32, context: &Context) -> Again {
    let tasks = context.calls.namespaced::<Task>(&batch.namespace().unwrap_or_default());
    let Some(found) = context.calls.read(tasks.get_opt(&names::chunk(batch, number))).await? else { return Ok(SOON) };
    match chunk::read(&found, batch).filter(|(its, _)| *its == number && found.metadata.deletion_timestamp.is_none()) {
        Some((_, cut)) => begun(batch, number, &cut, &found, context),
        None => drop(context.batches.change_ledger(batch, |ledger| ledger.pass_over(number))),
    }
    Ok(AT_ONCE)
}

/// Stores what became of the items of a chunk that ended, and only then takes it in.
async fn fold(batch: &Task, number: u32, chunk: &Task, with_its_batch: bool, context: &Context) -> Again {
    let Some(ledger) = context.batches.ledger(batch) else { return Ok(AT_ONCE) };
    let Some(running) = ledger.running().get(&number) else { return Ok(AT_ONCE) };
    let stored = match stored_result(chunk, context).await {
        Ok(stored) => stored,
        Err(error) => return Ok(not_now(batch, &error)),
    };
    let status = chunk.status_or_default();
    let end = End::of(status, &running.items, stored.as_ref().map(|content| content.as_slice()), with_its_batch);
    let kind = context.cache.type_of(batch);
    let retry = Policy::of(&batch.spec, kind.as_deref().map(|kind| &kind.spec)).retry;
    let (uid, now) = (batch.uid().unwrap_or_default(), Timestamp::now());
    let ending = Ending { retry: &retry, uid: &uid, number, in_a_row: ledger.in_a_row(), now };
    let outcome = Outcome::of(running, &end, ending);
    let place = ledger.next_end();
    drop(ledger);
    let Ok(text) = serde_json::to_string(&outcome) else { return Ok(LATER) };
    let end = ChunkEnd { place, number: number.into(), outcome: text };
    // One who no longer leads may have decided on the past.
    let left = context.calls.remaining().ok_or(CallError::NotLeader)?;
    let put = timeout(left, context.records.put_chunk(&key(batch), &end)).await.map_err(|_| CallError::NotLeader)?;
    Ok(match put {
        Ok(true) => {
            context.batches.change(batch, |known| drop(known.made.remove(&number)));
            context.batches.change_ledger(batch, |ledger| ledger.fold(number, &outcome));
            AT_ONCE
        }
        // Somebody else has written, or this is a repetition: the store has the word.
        Ok(false) => {
            context.batches.set_ledger(batch, None);
            SOON
        }
        Err(error) => {
            // It may be stored all the same.
            context.batches.set_ledger(batch, None);
            not_now(batch, &error)
        }
    })
}

/// The result of a chunk that is kept beside its record.
async fn stored_result(chunk: &Task, context: &Context) -> Result<Option<Arc<Vec<u8>>>, Error> {
    let status = chunk.status_or_default();
    let Some(left) = &status.result_ref else { return Ok(None) };
    let (uid, run) =
        (left.uid.clone().or(chunk.uid()).unwrap_or_default(), status.run_id.as_ref().unwrap_or(&chunk.spec.run_id));
    Ok(context.records.result(&uid, run).await?.map(|result| result.content))
}

async fn delete(batch: &Task, chunk: &Task, only_this: Preconditions, context: &Context) -> Result<Removal, CallError> {
    let namespace = batch.namespace().unwrap_or_default();
    let removal = remove::<Task>(&namespace, &chunk.name_any(), only_this, &context.calls).await?;
    context.batches.asked(batch, chunk, Timestamp::now());
    Ok(removal)
}

fn soon(removal: Removal) -> Option<Duration> {
    if removal == Removal::Refused { SOON } else { AT_ONCE }
}

/// Only in the version that was seen: it may just be given its slot.
async fn withdraw(batch: &Task, number: u32, chunk: &Task, context: &Context) -> Again {
    let as_seen = Preconditions { uid: chunk.uid(), resource_version: chunk.resource_version() };
    let removal = delete(batch, chunk, as_seen, context).await?;
    if removal != Removal::Refused {
        give_back(batch, number, context);
    }
    Ok(soon(removal))
}

fn give_back(batch: &Task, number: u32, context: &Context) {
    context.batches.change(batch, |known| drop(known.made.remove(&number)));
    context.batches.change_ledger(batch, |ledger| ledger.give_back(number));
}

async fn cancel(batch: &Task, chunk: &Task, context: &Context) -> Again {
    let tasks = context.calls.namespaced::<Task>(&batch.namespace().unwrap_or_default());
    let change = Patch::Merge(json!({"metadata": {"uid": chunk.uid()}, "spec": {"cancel": true}}));
    let (name, how) = (chunk.name_any(), PatchParams::default());
    match context.calls.write("cancel_chunk", tasks.patch_metadata(&name, &how, &change)).await {
        Ok(_) | Err(CallError::NotFound) => {
            context.batches.asked(batch, chunk, Timestamp::now());
            Ok(AT_ONCE)
        }
        Err(CallError::Conflict) => Ok(SOON),
        Err(error) => Err(error),
    }
}

/// A chunk that is gone without our doing gives its items back, once nothing of it runs any longer.
async fn look_for(batch: &Task, number: u32, context: &Context) -> Again {
    let tasks = context.calls.namespaced::<Task>(&batch.namespace().unwrap_or_default());
    let found = context.calls.read(tasks.get_metadata_opt(&names::chunk(batch, number))).await?;
    let made = context.batches.change(batch, |known| {
        known.made.get_mut(&number).map(|made| {
            let is_it = found.as_ref().and_then(|found| found.metadata.uid.as_deref()) == Some(&*made.uid);
            if is_it {
                (made.at, made.was_shown) = (Timestamp::now(), false);
            }
            (made.uid.clone(), is_it)
        })
    });
    match made {
        Some((_, true)) => Ok(AT_ONCE),
        Some((uid, false)) if context.cache.holds_a_slot(&uid) => Ok(SOON),
        _ => {
            give_back(batch, number, context);
            Ok(AT_ONCE)
        }
    }
}
