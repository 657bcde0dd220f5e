//! The task's id in the path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::serving::problem::{Problem, ProblemType};

pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|_| unknown_task())
    }
}

pub fn unknown_task() -> Problem {
    ProblemType::UnknownTask.because("no task has this id; use the task_id that the submission was answered with")
}
