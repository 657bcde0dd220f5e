//! Waiting: always for something, and never for ever.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// For a task of one short attempt to become final, on a node that others use too.
pub const A_TASK: Duration = Duration::from_secs(60);
/// For a task of several attempts.
pub const SEVERAL_ATTEMPTS: Duration = Duration::from_secs(120);
/// For a change that needs no container to start.
pub const A_CHANGE: Duration = Duration::from_secs(30);
/// How long something is watched that must not happen.
pub const A_WHILE: Duration = Duration::from_secs(3);

const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Looks again and again until `look` finds something. An API server that does not answer is asked again.
pub async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> kube::Result<Option<T>>) -> T {
    let until = Instant::now() + within;
    loop {
        let looked = look().await;
        match looked {
            Ok(Some(found)) => return found,
            Err(error) if Instant::now() > until => panic!("not within {} s: {what}; {error}", within.as_secs()),
            _ if Instant::now() > until => panic!("not within {} s: {what}", within.as_secs()),
            _ => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    }
}

/// Watches for a while that `look` always gives the same.
pub async fn stays<T: PartialEq + Debug>(what: &str, same: T, mut look: impl AsyncFnMut() -> kube::Result<T>) {
    let until = Instant::now() + A_WHILE;
    while Instant::now() < until {
        let found = look().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(found, same, "changed within {} s: {what}", A_WHILE.as_secs());
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
