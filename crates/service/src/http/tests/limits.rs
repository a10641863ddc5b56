//! What strangers and slow peers cannot do, and how a server stops.

use super::*;

#[tokio::test]
async fn slow_heads_stalled_bodies_and_silent_handshakes_are_cut() {
    let limits = Limits {
        header_timeout: Duration::from_millis(200),
        body_idle_timeout: Duration::from_millis(200),
        handshake_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Running::start(limits.clone(), routes()).await;
    let until_cut = async |addr, sent: &'static [u8]| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(5), read).await;
        // A reset is as good an end as any.
        let _ = read.expect("the server did not give up");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let slow_head = until_cut(server.addr, b"GET /who HTTP/1.1\r\nHost: x\r\nX-").await;
    assert!(!slow_head.contains("200 OK"), "{slow_head}");
    until_cut(server.addr, b"").await;
    let stalled = b"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this";
    let stalled = until_cut(server.addr, stalled).await;
    assert!(
        stalled.contains("408") && stalled.contains("timeout"),
        "{stalled}"
    );

    let pki = Pki::new();
    let config = server_config(&pki.party(Role::Trust, 1), ClientAuth::Optional).unwrap();
    let server = Running::with(limits, routes(), |server| server.with_tls(config)).await;
    until_cut(server.addr, b"").await;
    until_cut(server.addr, b"GET / HTTP/1.1\r\n\r\n").await;
}

/// Never idle for long, and still cut; a handler that takes its time costs the peer nothing.
#[tokio::test]
async fn bodies_that_trickle_are_cut_and_slow_handlers_are_not_the_peers_fault() {
    let limits = Limits {
        body_idle_timeout: Duration::from_secs(5),
        body_grace: Duration::from_millis(300),
        body_bytes_per_second: 100_000,
        ..Limits::default()
    };
    let dawdle = post(async |request: axum::extract::Request| {
        tokio::time::sleep(Duration::from_millis(800)).await;
        let body = axum::body::to_bytes(request.into_body(), 1000).await;
        body.map(|bytes| bytes.len().to_string())
            .map_err(|_| StatusCode::BAD_REQUEST)
    });
    let server = Running::start(limits, routes().route("/dawdle", dawdle)).await;
    let trickle = |bytes: usize, every: u64| {
        stream::unfold(0, move |sent| async move {
            (sent < 40).then_some(())?;
            tokio::time::sleep(Duration::from_millis(every)).await;
            Some((
                Ok::<_, std::io::Error>(Bytes::from(vec![7; bytes])),
                sent + 1,
            ))
        })
    };
    let began = tokio::time::Instant::now();
    let slow = server.client().post("/raw").stream(trickle(1, 50));
    let refused = slow.send().await.unwrap_err();
    assert_eq!(refused.code(), Some("timeout"), "{refused:?}");
    assert!(began.elapsed() < Duration::from_millis(1500));
    // Fast enough by its rate, although it takes longer than the grace.
    let steady = server.client().post("/raw").stream(trickle(10_000, 20));
    assert_eq!(text(steady.send_bytes(100).await.unwrap()), "400000");
    let waited = server.client().post("/dawdle").bytes("hello");
    assert_eq!(text(waited.send_bytes(100).await.unwrap()), "5");
}

#[tokio::test]
async fn strangers_have_few_connections_and_parties_are_served_beside_them() {
    let pki = Pki::new();
    let config = server_config(&pki.party(Role::Trust, 1), ClientAuth::Optional).unwrap();
    let limits = Limits {
        max_anonymous: 8,
        ..Limits::default()
    };
    let server = Running::with(limits, routes(), |server| server.with_tls(config)).await;
    let anonymous = || {
        let root = pki.authority.root();
        let tls = anonymous_client_config(root, &pki.clock, Expect::role(Role::Trust)).unwrap();
        Client::new(&server.https(), tls).unwrap()
    };
    // All from one address: a quarter of eight. Their connections stay open.
    let held = [anonymous(), anonymous()];
    for client in &held {
        client.get("/who").send_bytes(1000).await.unwrap();
    }
    let refused = anonymous().get("/who").send().await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    let gateway = client_config(&pki.party(Role::Gateway, 2), Expect::role(Role::Trust)).unwrap();
    who(&server, gateway).await.unwrap();
    drop(held);
    let mut tries = 0;
    while anonymous().get("/who").send().await.is_err() {
        tries += 1;
        assert!(tries < 100, "places are not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn what_others_chose_is_cut_and_cleaned() {
    assert_eq!(bounded("short"), "short");
    assert_eq!(bounded("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
    assert_eq!(bounded(&"x".repeat(200)), "x".repeat(200));
    for long in [
        "x".repeat(201),
        "é".repeat(150),
        "😀".repeat(60),
        "\0".repeat(500),
    ] {
        let cut = bounded(&long);
        assert!(
            cut.len() <= 200 && cut.len() > 190 && cut.ends_with('…'),
            "{cut}"
        );
    }
}

#[tokio::test]
async fn a_parsers_message_is_cut() {
    let server = Running::start(Limits::default(), routes()).await;
    let body = format!("{{\"{}\":1}}", "x".repeat(100_000));
    let request = server.client().post("/json").bytes(body);
    let request = request.header(header::CONTENT_TYPE, "application/json".parse().unwrap());
    let Err(ClientError::Refused { code, message, .. }) = request.send().await else {
        panic!("not refused");
    };
    assert_eq!(code, "malformed");
    assert!(message.len() < 300, "{} bytes", message.len());
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut() {
    let ended = Arc::new(Notify::new());
    struct Tell(Arc<Notify>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let tell = Arc::clone(&ended);
    let endless = get(async move || {
        let guard = Tell(tell);
        Body::from_stream(stream::repeat_with(move || {
            let _held = &guard;
            Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1 << 16]))
        }))
    });
    let limits = Limits {
        write_idle_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Running::start(limits, Router::new().route("/endless", endless)).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream
        .write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(10), ended.notified())
        .await
        .expect("the server still waits for a peer that does not read");
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_served_at_a_time() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let server = Running::start(limits, routes()).await;
    let holder = TcpStream::connect(server.addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let client = server.client();
    let waiting = tokio::spawn(async move { client.get("/who").send_bytes(100).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    drop(holder);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_finishes_requests_in_flight_and_cuts_what_takes_too_long() {
    let started = Arc::new(Notify::new());
    let release = Arc::new(Notify::new());
    let slow = get({
        let (started, release) = (Arc::clone(&started), Arc::clone(&release));
        async move || {
            started.notify_one();
            release.notified().await;
            "done"
        }
    });
    let router = Router::new().route("/slow", slow);
    let limits = Limits {
        drain_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    for finishes in [true, false] {
        let server = Running::start(limits.clone(), router.clone()).await;
        let client = server.client();
        let request = tokio::spawn(async move { client.get("/slow").send_bytes(100).await });
        // An idle connection must not hold the drain up.
        let _idle = TcpStream::connect(server.addr).await.unwrap();
        started.notified().await;
        server.stop.cancel();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(TcpStream::connect(server.addr).await.is_err());
        if finishes {
            release.notify_one();
            assert_eq!(text(request.await.unwrap().unwrap()), "done");
        } else {
            assert!(request.await.unwrap().is_err());
        }
        let mut server = server;
        let drained = (&mut server.task).await.unwrap();
        assert_eq!(drained.cut, usize::from(!finishes));
    }
}
