//! Errors as people read them.

use std::error::Error;

/// An error with its causes: "failed to connect: connection refused". A cause that the error's own text contains
/// already is not repeated.
pub fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_told = cause.to_string();
        if !told.contains(&cause_told) {
            told = format!("{told}: {cause_told}");
        }
        next = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to connect")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[test]
    fn causes_follow_what_they_caused() {
        assert_eq!(chain(&Outer(Inner)), "failed to connect: connection refused");
    }
}
