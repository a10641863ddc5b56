//! Connections to the cloud that break: a retrieval goes on over another (docs/protocol.md 9.5), to the byte, and
//! the ticket is spent once.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use harpo_e2e::images::variant;
use harpo_e2e::process::harpo;
use harpo_e2e::system::{Changes, Hospital, System, configure, text};
use harpo_service::http::Client;
use http::{HeaderValue, header};
use serde_json::Value;

use crate::sent::Sent;

/// Where a connection breaks: after so many bytes on the wire, TLS and all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// To the cloud.
    Up(u64),
    /// From the cloud.
    Down(u64),
}

/// Stands before the cloud and passes on what comes, as a router does, until it is to break off.
pub(crate) struct Line {
    pub(crate) port: u16,
    cuts: Arc<Mutex<VecDeque<Cut>>>,
}

impl Line {
    pub(crate) fn start(cloud: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(Mutex::new(VecDeque::new()));
        let next = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let cut = next
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let cloud = SocketAddr::from((Ipv4Addr::LOCALHOST, cloud));
                let Ok(cloud) = TcpStream::connect(cloud) else {
                    continue;
                };
                let (up, down) = match cut {
                    Some(Cut::Up(bytes)) => (bytes, u64::MAX),
                    Some(Cut::Down(bytes)) => (u64::MAX, bytes),
                    None => (u64::MAX, u64::MAX),
                };
                let back = (cloud.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass_on(client, cloud, up));
                std::thread::spawn(move || pass_on(back.0, back.1, down));
            }
        });
        Self { port, cuts }
    }

    /// The next connections, one after the other, break there.
    pub(crate) fn cut(&self, cuts: &[Cut]) {
        let mut next = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(next.is_empty(), "a connection was not made");
        next.extend(cuts);
    }
}

/// So many bytes, then both ways are closed.
fn pass_on(mut from: TcpStream, mut to: TcpStream, limit: u64) {
    let mut left = limit;
    let mut buffer = [0; 4096];
    while left > 0 {
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut buffer[..wanted]) {
            Ok(read) if read > 0 && to.write_all(&buffer[..read]).is_ok() => left -= read as u64,
            _ => break,
        }
    }
    // Whoever is gone already does not mind.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// `GET /api/fetches`, as the hospital's user reads it.
pub(crate) fn fetches(web: u16, token: &str) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::plain(&format!("http://127.0.0.1:{web}")).unwrap();
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let request = client
            .get("/api/fetches")
            .header(header::AUTHORIZATION, bearer);
        request.send_json(1 << 20).await.unwrap()
    })
}

/// How often a fetch was seen while it went on, with how many bytes it expected.
fn watch(
    hospital: &Hospital,
    stop: &Arc<AtomicBool>,
) -> (std::thread::JoinHandle<()>, Arc<AtomicU64>) {
    let (web, token, stop) = (hospital.web, hospital.token.clone(), Arc::clone(stop));
    let expected = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&expected);
    let watching = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            for row in fetches(web, &token) {
                if row["outcome"] == "running" {
                    let total = row["progress"]["bytes_total"].as_u64().unwrap();
                    assert!(row["progress"]["bytes"].as_u64().unwrap() <= total, "{row}");
                    seen.fetch_max(total, Ordering::Relaxed);
                }
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    });
    (watching, expected)
}

#[test]
fn a_broken_connection_costs_no_ticket_and_changes_no_byte() {
    let changes = Changes {
        trust: "[layout]\nslots_per_generation = 64\n",
        ..Changes::default()
    };
    let mut system = System::start_with(&["St Anne", "Mercy Vale"], &changes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Three slots of 64 KiB: a retrieval of four queries.
    let file = folder.path().join("study.dcm");
    variant("J2K_pixelrep_mismatch.dcm", &[], &file).unwrap();
    let mut sent = Sent::default();
    sent.by_stow(&[file]).unwrap();
    let files: Vec<PathBuf> = sent.files();
    assert_eq!(system.hospitals[0].stow(&files).unwrap()["status"], 200);
    sent.found_by(&system.hospitals[1]).unwrap();
    system.seal().unwrap();
    let line = Line::start(
        system
            .cloud_url
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap(),
    );
    put_before_the_cloud(&mut system, &line);

    // What breaks, and from which answers on the cloud is asked again.
    let cases: [(&[Cut], &[u64]); 5] = [
        (&[], &[]),
        // Before the ticket was spent: nothing is resumed.
        (&[Cut::Up(60_000)], &[]),
        (&[Cut::Down(30_000)], &[0]),
        (&[Cut::Down(200_000)], &[2]),
        (
            &[Cut::Down(100_000), Cut::Up(60_000), Cut::Down(100_000)],
            &[1, 2],
        ),
    ];
    for (number, (cuts, expected)) in cases.into_iter().enumerate() {
        let consumer = &mut system.hospitals[1];
        let dir = text(&consumer.dir).unwrap().to_owned();
        harpo(&["gateway", "cache", "clear", "--dir", &dir]).unwrap();
        let before = system.events("resumption").unwrap().len();
        line.cut(cuts);
        let consumer = &system.hospitals[1];
        let stop = Arc::new(AtomicBool::new(false));
        let (watching, total) = watch(consumer, &stop);
        let out = folder.path().join(format!("out{number}"));
        let back = sent.comes_back_at(consumer, &out);
        stop.store(true, Ordering::Relaxed);
        watching.join().unwrap();
        back.unwrap();

        assert_eq!(
            system.events("retrieval").unwrap().len(),
            number + 1,
            "{cuts:?}"
        );
        let resumed = system.events("resumption").unwrap().split_off(before);
        let from: Vec<u64> = resumed
            .iter()
            .map(|event| event["from"].as_u64().unwrap())
            .collect();
        assert_eq!(from, expected, "{cuts:?}");
        let last = &fetches(system.hospitals[1].web, &system.hospitals[1].token)[0];
        assert_eq!(last["outcome"], "opened", "{last}");
        assert_eq!(last["resumed"], cuts.len(), "{last}");
        // Waiting to connect anew takes a quarter of a second.
        if !cuts.is_empty() {
            assert!(
                total.load(Ordering::Relaxed) > 0,
                "it was not seen going on"
            );
        }
    }
    // No nonce was spent twice, and each resumption is of one that was.
    let nonces = |kind: &str| -> Vec<String> {
        let events = system.events(kind).unwrap();
        events
            .iter()
            .map(|event| event["nonce"].to_string())
            .collect()
    };
    let spent = nonces("retrieval");
    assert!(
        spent
            .iter()
            .all(|nonce| spent.iter().filter(|n| *n == nonce).count() == 1)
    );
    assert!(
        nonces("resumption")
            .iter()
            .all(|nonce| spent.contains(nonce))
    );
}

/// Trust says that the cloud is where the line begins.
pub(crate) fn put_before_the_cloud(system: &mut System, line: &Line) {
    system.trust.stop().unwrap();
    let change = format!("[cloud]\nurl = 'https://127.0.0.1:{}'\n", line.port);
    configure(&system.dir("trust").join("trust.toml"), &[&change]).unwrap();
    system.trust.start().unwrap();
    system.trust.healthy().unwrap();
    for hospital in &mut system.hospitals {
        hospital.process.stop().unwrap();
        hospital.process.start().unwrap();
        hospital.process.healthy().unwrap();
    }
}
