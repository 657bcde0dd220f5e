//! A whole worker that is heard while it works, with reqwest, serde_json and tokio. Put your own work in the place of `work`.

use std::time::Duration;
use std::{env, error::Error, fs};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

async fn work(payload: &Value) -> Result<Value, String> {
    sleep(Duration::from_secs_f64(payload["seconds"].as_f64().unwrap_or_default())).await;
    match payload["fail"].as_str() {
        Some(why) => Err(why.to_owned()),
        None => Ok(payload["answer"].clone()),
    }
}

/// An answer: its status, the pause that it asks for, and its content.
struct Answer {
    status: u16,
    pause: Duration,
    content: Value,
}

async fn say(client: &Client, path: &str, lease: Option<&str>, said: &Value) -> Result<Answer, Box<dyn Error>> {
    let token = fs::read_to_string(env::var("TASK_TOKEN_FILE")?)?;
    let mut request = client.post(format!("{}/worker/v1/{path}", env::var("TASK_API_URL")?)).json(said);
    request = request.header("Task-Process", std::process::id().to_string());
    if let Some(lease) = lease {
        request = request.header("Task-Lease", lease);
    }
    let response = request.bearer_auth(token.trim()).timeout(Duration::from_secs(90)).send().await?;
    let status = response.status().as_u16();
    let pause = response.headers().get("Retry-After").and_then(|pause| pause.to_str().ok()?.parse().ok());
    let content = if status == 200 { response.json().await? } else { Value::Null };
    Ok(Answer { status, pause: Duration::from_secs(pause.unwrap_or(1)), content })
}

/// Is heard until the lease is to end. Nothing is handed in of one that is over.
async fn beat(client: &Client, lease: &str, interval: Duration) -> Option<Value> {
    loop {
        sleep(interval).await;
        match say(client, "progress", Some(lease), &json!({})).await {
            Ok(Answer { status: 409, .. }) => return None,
            Ok(Answer { content, .. }) if content["cancel"].is_object() => {
                return Some(
                    json!({"lease": lease, "error": {"type": "Stopped", "message": content["cancel"]["reason"]}}),
                );
            }
            // It is said again with the next beat.
            _ => {}
        }
    }
}

/// Does one task. The work ends where it is dropped.
async fn run(client: &Client, task: &Value) -> Option<Value> {
    let lease = task["lease"].as_str()?;
    let interval = Duration::from_secs(task["heartbeat_seconds"].as_u64()?);
    tokio::select! {
        done = work(&task["payload"]) => Some(match done {
            Ok(result) => json!({"lease": lease, "result": result}),
            Err(why) => json!({"lease": lease, "error": {"type": "WorkFailed", "message": why}}),
        }),
        ended = beat(client, lease, interval) => ended,
    }
}

#[tokio::main]
async fn main() {
    let client = Client::new();
    let mut done = None;
    loop {
        let said = say(&client, "next", None, &json!({"done": done, "beats": true})).await;
        let is_refused = said.as_ref().is_ok_and(|answer| matches!(answer.status, 400 | 413 | 422));
        match (said, &done) {
            (Ok(Answer { status: 200, content, .. }), _) if done.is_none() || !content["kept"].is_null() => {
                if content["stop"] == true {
                    return;
                }
                done = run(&client, &content["task"]).await;
                continue;
            }
            (said, Some(kept)) => {
                if is_refused {
                    done = Some(json!({"lease": kept["lease"], "error": {"type": "ResultRefused"}}));
                }
                sleep(said.map_or(Duration::from_secs(1), |answer| answer.pause)).await;
            }
            (said, None) => sleep(said.map_or(Duration::from_secs(1), |answer| answer.pause)).await,
        }
    }
}
