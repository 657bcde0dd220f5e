//! The CEL rule on the fields of a task that may change only together with its runId. It is one rule and not one for
//! each field: the API server evaluates each rule at every write of a task, status writes included, and limits their
//! cost.

use kube::core::cel::{Message, Rule};

const FIELDS: [&str; 5] = ["type", "queue", "kbId", "payload", BATCH];
/// The fields among them that a task may leave out.
const OPTIONAL: [&str; 2] = ["kbId", "payload"];
/// Of it only the number of items stays; a rule does not see a list of any values.
const BATCH: &str = "batch";

const UN_CANCELLED: &str =
    "a cancelled task cannot be un-cancelled: to run it again, set cancel to false and runId to a new value";
const CHANGED: &str = "can change only together with runId: set runId to a new value to run the task again";

/// The rule on a task's spec: these fields, and a cancellation, stay as they are while runId does.
pub fn rule() -> Rule {
    let same: Vec<String> = FIELDS.iter().map(|field| is_same(field)).collect();
    let same = same.join(" && ");
    Rule::new(format!("self.runId != oldSelf.runId || ({same} && (self.cancel || !oldSelf.cancel))"))
        .message(Message::Expression(said()))
}

fn is_same(field: &str) -> String {
    if field == BATCH {
        return "has(self.batch) == has(oldSelf.batch) && self.?batch.?count == oldSelf.?batch.?count".to_owned();
    }
    let same = format!("self.{field} == oldSelf.{field}");
    match OPTIONAL.contains(&field) {
        true => format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"),
        false => same,
    }
}

/// An expression that names the first field that changed. Naming all of them exceeds the API server's cost limit.
fn said() -> String {
    let changed = FIELDS.iter().rev().fold(String::new(), |rest, field| match rest.is_empty() {
        true => format!("'{field}'"),
        false => format!("!({}) ? '{field}' : {rest}", is_same(field)),
    });
    format!("oldSelf.cancel && !self.cancel ? '{UN_CANCELLED}' : ({changed}) + ' {CHANGED}'")
}
