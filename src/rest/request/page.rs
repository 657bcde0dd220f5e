//! Pages of a long list: how long, and after which cursor.

use crate::serving::problem::{Problem, ProblemType};

/// The longest page.
const MOST: u32 = 1000;

/// The length of a page.
pub fn limit(asked: Option<u32>, otherwise: u32, kind: ProblemType) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(otherwise);
    let fits = (1..=MOST).contains(&limit);
    if fits { Ok(limit) } else { Err(kind.because(format!("limit is 1 to {MOST}")).at("limit")) }
}

pub fn unknown_cursor(kind: ProblemType) -> Problem {
    kind.because("this cursor was not given out here; begin without one").at("cursor")
}

/// A filter that means everything changes nothing by mistake.
pub fn everything() -> Problem {
    let detail = "without a filter it would be done to every task: name a filter, or send \"all\": true";
    ProblemType::Invalid.because(detail).at("all")
}
