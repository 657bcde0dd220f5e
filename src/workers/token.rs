//! The pod that a token belongs to: the API server reviews the token, and its answer is remembered for a minute. What is
//! no pod's token for us by its own word is refused before that costs anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use crate::bounded::Bounded;
use crate::cluster::calls::CallError;
use crate::cluster::rights::{Right, Rights};
use crate::core::launch::work_inputs::AUDIENCE;
use crate::live::Reporter;
use crate::metrics::Metrics;
use crate::serving::listener::PeerAddress;
use crate::serving::per_peer::PerPeer;
use crate::serving::problem::{Problem, ProblemType};

/// So long it is remembered whose a token is. A pod's end shows in other ways, sooner: who may speak for a task is asked anew for
/// each call.
const REMEMBERED: Duration = Duration::from_secs(60);
/// So long it is remembered that a token is nobody's.
const REFUSAL_REMEMBERED: Duration = Duration::from_secs(5);
/// So many are remembered.
const MOST: usize = 4096;
/// Reviews at once, and of these so many for one address: a word can be made up.
const AT_ONCE: usize = 16;
const OF_ONE_ADDRESS: usize = 4;
/// For one review, waiting for its turn included.
const DEADLINE: Duration = Duration::from_secs(5);

const ACCOUNT: &str = "system:serviceaccount:";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

type Verdict = Result<Reporter, Problem>;

pub struct Reviews {
    reviews: Api<TokenReview>,
    rights: Rights,
    turns: Semaphore,
    peers: PerPeer,
    /// By the digest of the token: tokens themselves are not kept.
    known: Mutex<Bounded<Digest32, (Instant, Verdict), MOST>>,
    /// The reviews that are under way: whoever else asks about the same token waits for the same answer.
    under_way: Mutex<HashMap<Digest32, Arc<OnceCell<Verdict>>>>,
    metrics: Arc<Metrics>,
}

type Digest32 = [u8; 32];

/// A part in a review that is under way.
struct UnderWay<'a> {
    reviews: &'a Reviews,
    digest: Digest32,
    review: Arc<OnceCell<Verdict>>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.reviews.under_way.lock();
        // One is the map's.
        if Arc::strong_count(&self.review) <= 2 {
            under_way.remove(&self.digest);
        }
    }
}

impl Reviews {
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            reviews: Api::all(client),
            rights: Rights::default(),
            turns: Semaphore::new(AT_ONCE),
            peers: PerPeer::new(OF_ONE_ADDRESS),
            known: Mutex::default(),
            under_way: Mutex::default(),
            metrics,
        }
    }

    pub async fn reporter(&self, token: &str, peer: Option<&PeerAddress>) -> Verdict {
        by_its_own_word(token)?;
        let digest: Digest32 = Sha256::digest(token).into();
        if let Some(known) = self.known(&digest) {
            return known;
        }
        let part = self.part_in_review(digest);
        part.review.get_or_try_init(|| self.ask(token, digest, peer)).await?.clone()
    }

    fn part_in_review(&self, digest: Digest32) -> UnderWay<'_> {
        let review = self.under_way.lock().entry(digest).or_default().clone();
        UnderWay { reviews: self, digest, review }
    }

    /// Asks the API server, unless somebody has had the answer a moment ago. An error says that there is none.
    async fn ask(&self, token: &str, digest: Digest32, peer: Option<&PeerAddress>) -> Result<Verdict, Problem> {
        if let Some(known) = self.known(&digest) {
            return Ok(known);
        }
        let Some(_turn) = self.peers.turn(peer) else {
            return Err(ProblemType::Busy
                .because("too many tokens of this address are being reviewed; send it again in a moment"));
        };
        let status = timeout(DEADLINE, self.review(token)).await.unwrap_or_else(|_| Err(not_reviewed()));
        let verdict = status.map(verdict);
        let results = verdict.as_ref().map(|verdict| if verdict.is_ok() { "ok" } else { "refused" });
        self.metrics.token_reviewed(results.unwrap_or("failed"));
        let verdict = verdict?;
        self.remember(digest, verdict.clone());
        Ok(verdict)
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, Problem> {
        let _turn = self.turns.acquire().await.map_err(|_| not_reviewed())?;
        let spec = TokenReviewSpec { token: Some(token.into()), audiences: Some(vec![AUDIENCE.into()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.reviews.create(&PostParams::default(), &review).await.map_err(CallError::from);
        self.rights.note(Right::ReviewTokens, "", &answer);
        match answer {
            Ok(review) => review.status.ok_or_else(not_reviewed),
            Err(error) if error.is_of_rights() => Err(ProblemType::ApiServer.because(
                "no token can be reviewed: the operator lacks the right to create tokenreviews.authentication.k8s.io",
            )),
            Err(error) => {
                tracing::warn!(%error, "failed to have a token reviewed");
                Err(not_reviewed())
            }
        }
    }

    fn known(&self, digest: &Digest32) -> Option<Verdict> {
        let known = self.known.lock();
        let (at, verdict) = known.get(digest)?;
        let lasts = if verdict.is_ok() { REMEMBERED } else { REFUSAL_REMEMBERED };
        (at.elapsed() < lasts).then(|| verdict.clone())
    }

    fn remember(&self, digest: Digest32, verdict: Verdict) {
        self.known.lock().insert(digest, (Instant::now(), verdict));
    }
}

fn not_reviewed() -> Problem {
    ProblemType::ApiServer.because("the token could not be reviewed; send it again in a moment")
}

fn not_for_us() -> Problem {
    ProblemType::NoToken.because(format!(
        "the API server does not take the token for one of audience {AUDIENCE}; read TASK_TOKEN_FILE anew for each call"
    ))
}

fn no_pods_own() -> Problem {
    ProblemType::NotYourTask.because("the token is not a pod's own; send what TASK_TOKEN_FILE holds")
}

/// What a token says of itself, of which nothing is proved yet.
#[derive(Deserialize)]
struct Claims {
    aud: Audience,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<OfKubernetes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct OfKubernetes {
    pod: Option<IgnoredAny>,
}

/// Refuses what would be no pod's token for us even if it were true.
fn by_its_own_word(token: &str) -> Result<(), Problem> {
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Claims = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).ok_or_else(not_for_us)?;
    let is_for_us = match &claims.aud {
        Audience::One(audience) => audience == AUDIENCE,
        Audience::Many(audiences) => audiences.iter().any(|audience| audience == AUDIENCE),
    };
    match claims.kubernetes.and_then(|kubernetes| kubernetes.pod) {
        _ if !is_for_us => Err(not_for_us()),
        Some(_) => Ok(()),
        None => Err(no_pods_own()),
    }
}

/// The pod that a reviewed token belongs to, or why it belongs to none.
fn verdict(status: TokenReviewStatus) -> Verdict {
    // An API server that knows nothing of audiences names none.
    let for_us = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
    if status.authenticated != Some(true) || !for_us {
        return Err(not_for_us());
    }
    let pod = status.user.as_ref().and_then(reporter);
    pod.ok_or_else(no_pods_own)
}

fn reporter(user: &UserInfo) -> Option<Reporter> {
    let (namespace, _) = user.username.as_deref()?.strip_prefix(ACCOUNT)?.split_once(':')?;
    let extra = |key: &str| user.extra.as_ref()?.get(key)?.first().cloned();
    Some(Reporter {
        namespace: namespace.into(),
        pod: extra(POD_NAME)?,
        uid: extra(POD_UID)?,
        attempt: None,
        lease: None,
        process: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn reviewed(status: Value) -> Verdict {
        verdict(serde_json::from_value(status).expect("a status"))
    }

    fn user(extra: &Value) -> Value {
        json!({"username": "system:serviceaccount:docs:default", "extra": extra})
    }

    #[test]
    fn a_token_that_is_not_for_us_by_its_own_word_is_not_reviewed() {
        let token = |claims: &Value| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let pod = json!({"namespace": "docs", "pod": {"name": "report-x", "uid": "u-1"}});
        for audience in [json!(AUDIENCE), json!(["other", AUDIENCE])] {
            assert_eq!(by_its_own_word(&token(&json!({"aud": audience, "kubernetes.io": pod}))), Ok(()));
        }
        let for_others = json!({"aud": ["https://kubernetes.default.svc"], "kubernetes.io": pod});
        for strange in [token(&for_others), token(&json!([])), "x".into(), "a.b.c".into(), String::new()] {
            assert!(by_its_own_word(&strange).is_err_and(|problem| problem.is(ProblemType::NoToken)), "{strange}");
        }
        for of_no_pod in [json!({"aud": [AUDIENCE], "kubernetes.io": {}}), json!({"aud": AUDIENCE})] {
            let refused = by_its_own_word(&token(&of_no_pod));
            assert!(refused.is_err_and(|problem| problem.is(ProblemType::NotYourTask)), "{of_no_pod}");
        }
    }

    #[test]
    fn a_pods_own_token_for_us_says_which_pod_it_is() {
        let extra = json!({POD_NAME: ["report-x"], POD_UID: ["u-1"]});
        let reporter = reviewed(json!({"authenticated": true, "audiences": [AUDIENCE], "user": user(&extra)}));
        assert_eq!(
            reporter,
            Ok(Reporter {
                namespace: "docs".into(),
                pod: "report-x".into(),
                uid: "u-1".into(),
                attempt: None,
                lease: None,
                process: None,
            })
        );
    }

    #[test]
    fn a_token_that_is_no_pods_or_not_for_us_says_nothing() {
        let extra = json!({POD_NAME: ["report-x"], POD_UID: ["u-1"]});
        for (status, kind) in [
            (json!({"authenticated": false, "error": "expired"}), ProblemType::NoToken),
            (json!({}), ProblemType::NoToken),
            (json!({"authenticated": true, "user": user(&extra)}), ProblemType::NoToken),
            (json!({"authenticated": true, "audiences": ["other"], "user": user(&extra)}), ProblemType::NoToken),
            (
                json!({"authenticated": true, "audiences": [AUDIENCE], "user": user(&json!({}))}),
                ProblemType::NotYourTask,
            ),
            (
                json!({"authenticated": true, "audiences": [AUDIENCE], "user": {"username": "eve", "extra": extra}}),
                ProblemType::NotYourTask,
            ),
        ] {
            assert!(reviewed(status.clone()).is_err_and(|problem| problem.is(kind)), "{status}");
        }
    }
}
