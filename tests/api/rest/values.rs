//! Values come back as they were written, or are refused in words.

use harness::*;
use hyper::Method;
use serde_json::json;
use task_manager::api::State;

use super::{body_with, served, served_and_held, status_when};
use crate::stage::manifest;

const TASKS: &str = "/api/v1/tasks";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn post(rest: &Rest, payload: &str) -> Answer {
    let text = format!(r#"{{"task_type": "work", "payload": {payload}}}"#);
    rest.send(Method::POST, TASKS, &JSON, Some(text)).await
}

#[tokio::test]
async fn a_number_comes_back_as_it_was_written_or_is_refused_with_what_it_would_be() {
    in_namespace("rest-numbers", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for kept in [
            "9223372036854775807",
            "-9223372036854775808",
            "9007199254740993",
            "0.1",
            "0.30000000000000004",
            "1e300",
            "1.7976931348623157e308",
            "5e-324",
            "10000000000000000000",
            "1.0",
            "1e2",
        ] {
            let id = post(&rest, &format!(r#"{{"x": {kept}}}"#)).await;
            assert_eq!(id.status, 202, "{kept}: {}", id.text);
            let whole = rest.get(&format!("{TASKS}/{}", id.task_id())).await.json();
            let same = whole["payload"]["x"].as_f64() == kept.parse().ok();
            let same_integer = kept.parse::<i64>().is_err() || whole["payload"]["x"].as_i64() == kept.parse().ok();
            assert!(same && same_integer, "{kept}: {whole}");
        }
        for (refused, words) in [
            ("9223372036854775808", "come back as 9223372036854776000: write it as a string"),
            ("18446744073709551615", "come back as 18446744073709552000"),
            ("12345678901234567890123", "come back as 1.2345678901234568e+22"),
            ("0.1234567890123456789", "come back as 0.12345678901234568"),
            ("9007199254740993.0", "come back as 9007199254740992"),
            ("1e400", "larger than the largest"),
            ("-0.0", "come back as 0"),
            ("1e-400", "come back as 0"),
        ] {
            let answer = post(&rest, &format!(r#"{{"a": {{"x": [1, {refused}]}}}}"#)).await;
            let told = answer.problem();
            assert_eq!(
                (answer.status, told.0.as_str(), told.1.as_deref()),
                (422, "number-too-long", Some("payload.a.x[1]"))
            );
            assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{}", answer.text);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_payload_cannot_hold_is_refused_and_odd_characters_are_kept() {
    in_namespace("rest-odd-payloads", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let deep = format!(r#"{{"a": {}{}}}"#, "[".repeat(300), "]".repeat(300));
        for (payload, field, words) in [
            (r#"{"a": 1, "b": {"c": 1, "c": 2}}"#, "payload.b.c", "duplicate field"),
            (r#"{"a": 1, "\u0061": 2}"#, "payload.a", "duplicate field"),
            (r#"{"a": "\ud800"}"#, "payload.a", "surrogate"),
            (deep.as_str(), "payload", "deeper than 120 levels"),
        ] {
            let answer = post(&rest, payload).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (422, ("invalid".into(), Some(field.into()))),
                "{}",
                answer.text
            );
            assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{}", answer.text);
        }
        let odd = json!({"nul": "\u{0}", "control": "\u{1b}[31m\u{7f}\u{85}", "": "🦀\u{fffd}\u{2028}", "a b": null});
        let id = post(&rest, &odd.to_string()).await.task_id();
        assert_eq!(rest.get(&format!("{TASKS}/{id}")).await.json()["payload"], odd);
    })
    .await;
}

#[tokio::test]
async fn a_result_is_answered_digit_for_digit_whatever_the_cluster_can_keep() {
    in_namespace("rest-exact-results", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let results = [
            r#"{"safe":9007199254740993,"unsigned":18446744073709551615,"long":12345678901234567890123}"#,
            r#"{"a": 0.12345678901234567890, "a":-0.0}"#,
            "[1e400]",
            r#""half \ud800""#,
        ];
        for (number, result) in results.into_iter().enumerate() {
            let name = format!("exact-{number}");
            node.script(&name, [Outcome::result(result)]);
            let id = rest.submit(&body_with(json!({"name": name}))).await;
            status_when(&rest, &id, "completed").await;
            let status = ns.task(&name).await.status.expect("a status");
            assert_eq!((status.result, status.result_as_text), (Some(json!(result)), true));
            let message = status.message.unwrap_or_default();
            assert!(message.contains("kept as text, as it was written"), "{message}");
            for path in ["/result", ""] {
                let answer = rest.get(&format!("{TASKS}/{id}{path}")).await;
                assert!(answer.text.contains(&format!(r#""result":{result}"#)), "{}", answer.text);
            }
            ns.task_when(&name, "is recorded", |_, status| status.is_archived()).await;
            ns.tasks().delete(&name, &kube::api::DeleteParams::default()).await.expect("deleted");
            eventually("it is answered from the archive", SOON, async || {
                ns.tasks().get_opt(&name).await.ok()?.is_none().then_some(())
            })
            .await;
            let answer = rest.get(&format!("{TASKS}/{id}/result")).await;
            assert!(answer.text.contains(&format!(r#""result":{result}"#)), "from the archive: {}", answer.text);
        }
    })
    .await;
}

#[tokio::test]
async fn an_odd_kb_id_is_kept_or_refused_the_same_over_rest_and_as_a_manifest() {
    in_namespace("rest-kb-ids", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        let cases = [
            ("", false),
            (" ", true),
            (" a b ", true),
            ("a\tb\n", true),
            ("\u{1b}[31m", true),
            ("a\u{0}b", false),
            ("ü🦀", true),
        ];
        for (number, (kb_id, taken)) in cases.into_iter().enumerate() {
            let spec = json!({"type": "work", "kbId": kb_id});
            let made = ns.create_raw(manifest("Task", &format!("kb-{number}"), spec)).await;
            assert_eq!(made.is_ok(), taken, "{kb_id:?}");
            let answer = rest.post(TASKS, &body_with(json!({"kb_id": kb_id}))).await;
            match taken {
                true => assert_eq!(rest.status(&answer.task_id()).await["kb_id"], kb_id),
                false => assert_eq!((answer.status, answer.problem()), (422, ("invalid".into(), Some("kb_id".into())))),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_start_time_is_waited_for_however_it_is_written_or_refused_with_an_example() {
    in_namespace("rest-start-times", async |ns| {
        let (_operator, rest) = served_and_held(&ns).await;
        for time in [
            "2099-01-01T00:00:00.123456789012Z",
            "2099-01-01t00:00:00z",
            "2099-01-01T00:00:00,5Z",
            "2099-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59-23:59",
        ] {
            let id = rest.submit(&body_with(json!({"start_after": time}))).await;
            let shown = rest.get(&format!("{TASKS}/{id}")).await.json()["start_after"].clone();
            let year = shown.as_str().unwrap_or_default().get(..4).map(str::to_owned);
            assert!(matches!(year.as_deref(), Some("2098" | "2099" | "9999")), "{time}: {shown}");
        }
        for time in [
            json!("tomorrow"),
            json!(""),
            json!("2099-01-01"),
            json!("2099-01-01T00:00Z"),
            json!("2099-01-01T00:00:00+99:00"),
            json!("2099-01-01T00:00:60Z"),
            json!("2099-01-01T00:00:00ZTx"),
            json!("2099-01-01 00:00:00Z"),
        ] {
            let answer = rest.post(TASKS, &body_with(json!({"start_after": time}))).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (422, ("invalid".into(), Some("start_after".into()))),
                "{time}"
            );
            assert!(answer.text.contains("write one such as 2026-01-01T00:00:00Z"), "{}", answer.text);
        }
        for query in ["failed_from=yesterday", "failed_before=2026-01-01", "failed_from=2026-01-01T00:00:00+02:00"] {
            let answer = rest.get(&format!("{TASKS}/dead-letters?{query}")).await;
            assert_eq!((answer.status, answer.problem().0.as_str()), (400, "query"), "{}", answer.text);
            assert!(answer.text.contains("write one such as 2026-01-01T00:00:00Z"), "{}", answer.text);
        }
        let fine =
            rest.get(&format!("{TASKS}/dead-letters?failed_from=2026-01-01t00:00:00.1234567890123%2B02:00")).await;
        assert_eq!(fine.status, 200, "{}", fine.text);
    })
    .await;
}

#[tokio::test]
async fn what_was_rounded_before_it_was_seen_is_told() {
    in_namespace("rounded", async |ns| {
        let (node, _operator, rest) = served(&ns).await;
        let create = async |name: &str, payload: &str| {
            // As kubectl sends it: the digits go over the wire, and the API server rounds.
            let body = format!(
                r#"{{"apiVersion": "taskmanager.dev/v1alpha1", "kind": "Task", "metadata": {{"name": "{name}"}},
                    "spec": {{"type": "work", "payload": {payload}}}}}"#
            );
            let uri = format!("/apis/taskmanager.dev/v1alpha1/namespaces/{}/tasks", ns.name);
            let request = hyper::Request::post(uri).header("content-type", "application/json").body(body.into_bytes());
            // Its answer is deeper than this client reads.
            ns.client.request_text(request.expect("a request")).await.expect("it is taken");
        };
        create("integer", r#"{"ids": [18446744073709551615]}"#).await;
        create("deep", &format!(r#"{{"a": {}{}}}"#, "[".repeat(500), "]".repeat(500))).await;
        create("honest", r#"{"x": [1e300, 6.02214076e23, 0.1, 9223372036854775807]}"#).await;
        create("maybe", r#"{"id": 12345678901234567890123}"#).await;
        for (name, words) in [("integer", "payload.ids[0] is 18446744073709552000"), ("deep", "deeper than 120 levels")]
        {
            let status = ns.task_in(name, State::Failed).await.status.expect("a status");
            assert_eq!(status.reason.to_string(), "InvalidPayload");
            assert!(status.message.as_deref().is_some_and(|message| message.contains(words)), "{:?}", status.message);
            assert_eq!(node.starts_of(name), 0);
        }
        let honest = ns.task_in("honest", State::Completed).await.status.expect("a status");
        assert_eq!(honest.message, None);
        let maybe = ns.task_in("maybe", State::Completed).await.status.expect("a status").message.unwrap_or_default();
        assert!(maybe.contains("payload.id was given to the work as 1.2345678901234568e+22"), "{maybe}");
        let id = ns.task("deep").await.metadata.uid.expect("a uid");
        assert_eq!(rest.status(&id).await["reason"], "InvalidPayload");
        assert_eq!(rest.get(&format!("{TASKS}/{id}")).await.status, 200, "what cannot be shown of it is left out");
    })
    .await;
}

#[tokio::test]
async fn a_result_of_bytes_that_are_no_text_is_said_to_be_damaged() {
    in_namespace("damaged", async |ns| {
        let (node, _operator, _rest) = served(&ns).await;
        node.script("one", [Outcome::result("caf\u{fffd}")]);
        ns.create(&task("one")).await;
        let status = ns.task_in("one", State::Completed).await.status.expect("a status");
        assert_eq!(status.result, Some(json!("caf\u{fffd}")));
        assert!(status.message.as_deref().is_some_and(|message| message.contains("damaged")), "{:?}", status.message);
    })
    .await;
}

#[tokio::test]
async fn a_start_time_that_the_api_server_lets_in_and_nobody_can_read_never_starts_in_silence() {
    in_namespace("odd-start", async |ns| {
        let (node, _operator, _rest) = served(&ns).await;
        ns.create_raw(manifest("Task", "odd", json!({"type": "work", "startAfter": [[7, null]]})))
            .await
            .expect("a list passes");
        ns.create_raw(manifest("Task", "late", json!({"type": "work", "startAfter": "9999-12-31T23:59:59Z"})))
            .await
            .expect("accepted");
        let told = |words: &'static str| {
            move |_: &_, status: &task_manager::api::TaskStatus| {
                status.message.as_deref().is_some_and(|message| message.contains(words))
            }
        };
        ns.task_when("odd", "says so", told("startAfter cannot be read as a time")).await;
        ns.task_when("late", "waits", told("not started before 9999-12-30")).await;
        ns.patch_task("odd", json!({"startAfter": "2020-01-01T00:00:00Z"})).await.expect("it may be corrected");
        ns.task_in("odd", State::Completed).await;
        assert_eq!(node.starts_of("late"), 0);
    })
    .await;
}
