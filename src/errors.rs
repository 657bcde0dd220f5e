//! Errors as people read them: plain sentences, without the names of types and without what `Debug` prints.

use std::error::Error;

use kube::runtime::watcher;

/// An error with its causes: "failed to connect: connection refused". A cause that is told already is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut told = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let (sentence, cause) = match of_the_api_server(error) {
            Some(sentence) => (sentence, None),
            None if is_a_wrapper(error) => (String::new(), error.source()),
            None => (error.to_string(), error.source()),
        };
        if told.is_empty() {
            told = sentence;
        } else if !told.contains(&sentence) {
            told = format!("{told}: {sentence}");
        }
        next = cause;
    }
    told
}

/// The innermost cause alone: the API server's own sentence, or "Connection refused (os error 111)".
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    loop {
        match (of_the_api_server(cause), cause.source()) {
            (Some(sentence), _) => return sentence,
            (None, Some(inner)) => cause = inner,
            (None, None) => return cause.to_string(),
        }
    }
}

/// The sentence in which the API server refused something. The client's own text repeats it as a Rust struct.
fn of_the_api_server(error: &(dyn Error + 'static)) -> Option<String> {
    let status = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(kube::Error::Api(status)), _) | (_, Some(watcher::Error::WatchError(status))) => status,
        _ => return None,
    };
    let told = [&status.message, &status.reason].into_iter().find(|told| !told.is_empty());
    Some(told.map_or_else(|| format!("the API server answered {}", status.code), |told| told.trim().to_owned()))
}

/// Errors that only wrap another one, and whose text is that one's behind the name of a variant.
fn is_a_wrapper(error: &(dyn Error + 'static)) -> bool {
    (error.is::<kube::Error>() || error.is::<watcher::Error>()) && error.source().is_some()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to connect")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to list")]
    struct Listing(#[source] watcher::Error);

    fn refused(message: &str, reason: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(message, reason).with_code(400)))
    }

    #[test]
    fn causes_follow_what_they_caused() {
        assert_eq!(chain(&Outer(Inner)), "failed to connect: connection refused");
        assert_eq!(innermost(&Outer(Inner)), "connection refused");
    }

    #[test]
    fn what_the_api_server_says_is_a_sentence_and_no_rust_struct() {
        let listing = || watcher::Error::InitialListFailed(refused("unable to parse requirement", "BadRequest"));
        assert_eq!(chain(&Listing(listing())), "failed to list: unable to parse requirement");
        assert_eq!(innermost(&listing()), "unable to parse requirement");
        let watching = watcher::Error::WatchError(Box::new(Status::failure("too old", "Expired").with_code(410)));
        assert_eq!(chain(&watching), "too old");
    }

    #[test]
    fn a_refusal_without_a_sentence_has_its_reason_or_code() {
        assert_eq!(chain(&refused("", "Forbidden")), "Forbidden");
        assert_eq!(chain(&refused("", "")), "the API server answered 400");
    }

    #[test]
    fn the_client_s_own_errors_lose_the_name_of_their_variant() {
        let error = kube::Error::ReadEvents(std::io::Error::other("the connection was reset"));
        assert_eq!(chain(&error), "the connection was reset");
        assert_eq!(chain(&kube::Error::LinesCodecMaxLineLengthExceeded), "Error finding newline character");
    }
}
