use serde_json::json;

use super::*;
use crate::http::{Client, ClientError};

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let readiness = Readiness::new();
    let database = readiness.condition("database");
    let trust = readiness.condition("trust_reachable");
    let admin = Admin::bind(&AdminConfig::default(), readiness)
        .await
        .unwrap();
    let client = Client::plain(&format!("http://{}", admin.local_addr())).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(admin.serve(stop.clone()));
    let ask = async |path: &str| {
        let answer = client.get(path).send_json::<serde_json::Value>(1000).await;
        answer.map(|answer| answer.to_string())
    };

    assert_eq!(ask("/-/healthy").await.unwrap(), r#"{"healthy":true}"#);
    let starting = ask("/-/ready").await.unwrap_err();
    assert!(matches!(
        starting,
        ClientError::Refused { status, .. } if status == StatusCode::SERVICE_UNAVAILABLE
    ));
    database.holds();
    trust.fails("no answer");
    let body = raw(&client, "/-/ready").await;
    assert!(body.starts_with("HTTP/1.1 503"), "{body}");
    // The order of keys depends on what else is built with the JSON library.
    let (_, told) = body.split_once("\r\n\r\n").unwrap();
    let expected = json!({"ready": false, "not_ready": {"trust_reachable": "no answer"}});
    assert_eq!(json(told), expected);
    trust.holds();
    let ready = ask("/-/ready").await.unwrap();
    assert_eq!(json(&ready), json!({"not_ready": {}, "ready": true}));
    database.fails("gone");
    assert!(ask("/-/ready").await.is_err());

    stop.cancel();
    assert_eq!(running.await.unwrap().cut, 0);
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// The whole answer: the client shows nothing of refusals in another shape than the usual.
async fn raw(client: &Client, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let addr = client.base().strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
