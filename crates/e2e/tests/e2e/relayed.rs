//! A network with a relay (docs/protocol.md 9.8): hospitals ask the cloud through it, and the cloud's log has nothing of
//! them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use harpo_e2e::events;
use harpo_e2e::images::{pydicom, variant};
use harpo_e2e::process::{free_port, harpo};
use harpo_e2e::system::{Changes, System, USER, configure, text};
use harpo_protocol::identity::Role;
use harpo_service::clock::Clock;
use harpo_service::http::{Client, Limits, Server};
use harpo_service::tls::{ClientAuth, Expect, client_config, server_config};
use http::{StatusCode, header};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::interrupted::{Cut, Line, fetches};
use crate::rogue::identity;
use crate::sent::Sent;

const SEVERAL: &str = "[layout]\nslots_per_generation = 64\n[retrieval]\nschedule = \"at-once\"\n";

fn network(trust: &'static str) -> System {
    let changes = Changes {
        trust,
        relay: true,
        ..Changes::default()
    };
    System::start_with(&["St Anne", "Mercy Vale"], &changes).unwrap()
}

/// What the cloud wrote of everything that gateways asked for.
fn asked(system: &System) -> Vec<Value> {
    let mut log = events::read(&system.event_log().unwrap()).unwrap();
    assert!(events::beyond_the_table(&log).is_empty());
    log.retain(|event| event.get("peer").is_some());
    log
}

#[test]
fn a_study_comes_through_the_relay_and_the_cloud_sees_nobody() {
    let mut system = network("[retrieval]\nschedule = \"at-once\"\n");
    let out = tempfile::tempdir().unwrap();
    let names = [
        "CT_small.dcm",
        "MR_small.dcm",
        "rtplan.dcm",
        "liver_1frame.dcm",
    ];
    let files: Vec<PathBuf> = names.iter().map(|name| pydicom(name).unwrap()).collect();
    let mut sent = Sent::default();
    assert_eq!(system.hospitals[0].stow(&files).unwrap()["status"], 200);
    sent.by_stow(&files).unwrap();
    sent.found_by(&system.hospitals[1]).unwrap();
    system.seal().unwrap();
    sent.comes_back_at(&system.hospitals[1], out.path())
        .unwrap();

    let asked = asked(&system);
    let of = |kind: &str| asked.iter().filter(|event| event["event"] == kind).count();
    assert!(of("hint") >= 2, "both hospitals' hints");
    assert!(of("retrieval") + of("stream") >= 1);
    let mut peers = BTreeSet::new();
    for event in &asked {
        assert_eq!(event["pass"], Value::Null, "{event}");
        let peer: SocketAddr = event["peer"].as_str().unwrap().parse().unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST);
        assert!(
            peers.insert(peer),
            "two requests over one connection: {event}"
        );
    }
    // Whichever hospital asked, the hint's events are the same but for time and port.
    let alike: BTreeSet<String> = asked
        .iter()
        .filter(|event| event["event"] == "hint")
        .map(|event| {
            let mut event = event.clone();
            for field in ["time", "peer"] {
                event.as_object_mut().unwrap().remove(field);
            }
            event.to_string()
        })
        .collect();
    assert_eq!(alike.len(), 1, "{alike:?}");
    nothing_tells(&system, &sent);
}

/// Neither the relay's folder nor its log have anything of patients, users or hospitals.
fn nothing_tells(system: &System, sent: &Sent) {
    let mut telling = sent.telling.clone();
    telling.extend(["St Anne", "Mercy Vale", USER].map(str::to_owned));
    let trust = system.dir("trust");
    let parties = harpo(&["trust", "parties", "--dir", text(&trust).unwrap()]).unwrap();
    for line in parties.lines().filter(|line| line.contains("gateway")) {
        telling.extend(line.split_whitespace().take(1).map(str::to_owned));
    }
    let mut texts = vec![system.relay.as_ref().unwrap().log()];
    for entry in walkdir::WalkDir::new(system.dir("relay"))
        .into_iter()
        .flatten()
    {
        if entry.file_type().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    assert!(texts.len() > 3);
    for word in telling.iter().filter(|word| word.len() > 5) {
        assert!(texts.iter().all(|text| !text.contains(word)), "{word}");
    }
}

/// A study in three slots of 64 KiB, a retrieval of four queries, sealed.
fn sealed(folder: &Path) -> (System, Sent) {
    let mut system = network(SEVERAL);
    let file = folder.join("study.dcm");
    variant("J2K_pixelrep_mismatch.dcm", &[], &file).unwrap();
    let mut sent = Sent::default();
    sent.by_stow(std::slice::from_ref(&file)).unwrap();
    assert_eq!(system.hospitals[0].stow(&[file]).unwrap()["status"], 200);
    sent.found_by(&system.hospitals[1]).unwrap();
    system.seal().unwrap();
    (system, sent)
}

/// Trust says that the relay is at this port.
fn put_before_the_relay(system: &mut System, port: u16) {
    system.trust.stop().unwrap();
    let change = format!("[relay]\nurl = 'https://127.0.0.1:{port}'\n");
    configure(&system.dir("trust").join("trust.toml"), &[&change]).unwrap();
    system.trust.start().unwrap();
    system.trust.ready().unwrap();
    for hospital in &mut system.hospitals {
        hospital.process.stop().unwrap();
        hospital.process.start().unwrap();
        hospital.process.healthy().unwrap();
    }
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

fn forget(system: &System) {
    let dir = text(&system.hospitals[1].dir).unwrap();
    harpo(&["gateway", "cache", "clear", "--dir", dir]).unwrap();
}

#[test]
fn a_relay_that_breaks_or_is_killed_costs_no_ticket_and_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (mut system, sent) = sealed(folder.path());
    let relay = port_of(system.relay_url.as_ref().unwrap());
    // Connections that break between hospital and relay.
    let line = Line::start(relay);
    put_before_the_relay(&mut system, line.port);
    line.cut(&[Cut::Down(100_000), Cut::Down(150_000)]);
    let back = sent.comes_back_at(&system.hospitals[1], &folder.path().join("cut"));
    back.unwrap();
    assert_eq!(system.events("retrieval").unwrap().len(), 1);
    let resumed = system.events("resumption").unwrap().len();
    assert!((1..=2).contains(&resumed), "{resumed}");
    forget(&system);

    // The relay itself, killed while an answer is on its way, and started again.
    let held = Held::start(relay, 100_000);
    put_before_the_relay(&mut system, held.port);
    let killed = std::thread::scope(|scope| {
        let consumer = &system.hospitals[1];
        let out = folder.path().join("killed");
        let fetching = scope.spawn(move || sent.comes_back_at(consumer, &out));
        held.reached.recv_timeout(Duration::from_secs(60)).unwrap();
        let relay = system.relay.as_mut().unwrap();
        relay.kill();
        held.release.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        relay.start().unwrap();
        fetching.join().unwrap()
    });
    killed.unwrap();
    assert_eq!(system.events("retrieval").unwrap().len(), 2);
    assert!(system.events("resumption").unwrap().len() > resumed);
    let last = &fetches(system.hospitals[1].web, &system.hospitals[1].token)[0];
    assert_eq!(last["outcome"], "opened", "{last}");
    assert!(last["resumed"].as_u64().unwrap() >= 1, "{last}");
}

/// A line that passes on so many bytes of its first connection's answer, says so, waits, and breaks.
struct Held {
    port: u16,
    reached: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

impl Held {
    fn start(relay: u16, bytes: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (reach, reached) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut hold = Some((reach, released));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(relay) = TcpStream::connect((Ipv4Addr::LOCALHOST, relay)) else {
                    continue;
                };
                let (mut from, mut to) = (client.try_clone().unwrap(), relay.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
                let hold = hold.take();
                std::thread::spawn(move || pass_back(relay, client, hold, bytes));
            }
        });
        Self {
            port,
            reached,
            release,
        }
    }
}

fn pass_back(
    mut relay: TcpStream,
    mut client: TcpStream,
    mut hold: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
    bytes: usize,
) {
    let mut passed = 0;
    let mut buffer = [0; 4096];
    while let Ok(read) = relay.read(&mut buffer) {
        if read == 0 || client.write_all(&buffer[..read]).is_err() {
            break;
        }
        passed += read;
        if passed >= bytes
            && let Some((reach, released)) = hold.take()
        {
            reach.send(()).unwrap();
            let _ = released.recv();
            // What the system still has of it would come from nobody.
            break;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
}

/// A relay with the real one's certificate, which alters a byte of the first answers of retrievals.
struct Liar {
    cloud: Client,
    /// Answers that are still altered.
    left: AtomicU32,
    altered: AtomicU32,
}

async fn lie(State(liar): State<Arc<Liar>>, request: Request) -> Response {
    let kind = request.headers()[header::CONTENT_TYPE].clone();
    let onward = liar.cloud.fresh().unwrap().post("/v1/ohttp");
    let onward = onward.header(header::CONTENT_TYPE, kind);
    let body = request.into_body().into_data_stream();
    let Ok(answer) = onward.stream(body).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let headers = [(
        header::CONTENT_TYPE,
        answer.headers()[header::CONTENT_TYPE].clone(),
    )];
    let mut bytes = answer.bytes(64 << 20).await.unwrap().to_vec();
    let alters = |left: u32| left.checked_sub(1);
    // Not the small answers, which are refusals or rests.
    if bytes.len() > 100_000
        && liar
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, alters)
            .is_ok()
    {
        let half = bytes.len() / 2;
        bytes[half] ^= 1;
        liar.altered.fetch_add(1, Ordering::Relaxed);
    }
    (headers, Body::from(bytes)).into_response()
}

#[test]
fn a_relay_that_alters_an_answer_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let (mut system, sent) = sealed(folder.path());
    let own = identity(&system.dir("relay")).unwrap();
    let cloud = client_config(&own, Expect::role(Role::Cloud)).unwrap();
    let liar = Arc::new(Liar {
        cloud: Client::new(&system.cloud_url, cloud).unwrap(),
        left: AtomicU32::new(0),
        altered: AtomicU32::new(0),
    });
    let port = free_port().unwrap();
    let (runtime, stop) = (Runtime::new().unwrap(), CancellationToken::new());
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = runtime
        .block_on(Server::bind(addr, Limits::default()))
        .unwrap();
    let server = server
        .with_tls(server_config(&own, ClientAuth::Required).unwrap())
        .with_clock(Clock::system());
    let router = Router::new()
        .route("/v1/relay", post(lie))
        .with_state(Arc::clone(&liar));
    runtime.spawn(server.serve(router, stop.clone()));
    put_before_the_relay(&mut system, port);

    // Twice: found, and asked for again until it is right.
    liar.left.store(2, Ordering::Relaxed);
    let back = sent.comes_back_at(&system.hospitals[1], &folder.path().join("twice"));
    back.unwrap();
    assert_eq!(liar.altered.load(Ordering::Relaxed), 2);
    let last = &fetches(system.hospitals[1].web, &system.hospitals[1].token)[0];
    assert_eq!(last["resumed"], 2, "{last}");
    stop.cancel();
}
