//! What of a task may change only together with its runId. One rule and not one for each field: the API server
//! evaluates it at every write of a task, status writes among them, and each rule has its price.

use kube::core::cel::{Message, Rule};

const FIELDS: [&str; 4] = ["type", "queue", "kbId", "payload"];
/// Of these, those that need not be there.
const OPTIONAL: [&str; 2] = ["kbId", "payload"];

const UN_CANCELLED: &str =
    "a cancelled task cannot be un-cancelled: to run it again, set cancel to false and runId to a new value";
const CHANGED: &str = "can change only together with runId: set runId to a new value to run the task again";

/// The rule on a task's spec.
pub fn rule() -> Rule {
    let same: Vec<String> = FIELDS.iter().map(|field| is_same(field)).collect();
    let same = same.join(" && ");
    Rule::new(format!("self.runId != oldSelf.runId || ({same} && (self.cancel || !oldSelf.cancel))"))
        .message(Message::Expression(said()))
}

fn is_same(field: &str) -> String {
    let same = format!("self.{field} == oldSelf.{field}");
    match OPTIONAL.contains(&field) {
        true => format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"),
        false => same,
    }
}

/// Names the first field that changed: to name all of them costs more than the API server allows.
fn said() -> String {
    let changed = FIELDS.iter().rev().fold(String::new(), |rest, field| match rest.is_empty() {
        true => format!("'{field}'"),
        false => format!("!({}) ? '{field}' : {rest}", is_same(field)),
    });
    format!("oldSelf.cancel && !self.cancel ? '{UN_CANCELLED}' : ({changed}) + ' {CHANGED}'")
}
