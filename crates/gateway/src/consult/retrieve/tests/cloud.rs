//! A cloud that breaks off where it is told to: real sockets, real queries and answers, HTTP written by
//! hand so that every byte's place is known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harpo_oblivious::{
    Encoded, GenerationInfo, ParamSetId, Query, Seed, Shape, Stack, StackHint, answer,
};
use harpo_protocol::id::{GenerationId, Nonce};
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::{Signed, SigningKey};
use harpo_protocol::time::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::super::lock;
use crate::hints::HeldStack;

pub(in crate::consult) const SLOTS: u32 = 8;
const SLOT_BYTES: u32 = 40_000;
pub(in crate::consult) const GENERATION: GenerationId = GenerationId([7; 16]);

/// How the cloud treats one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::consult) enum Cut {
    /// Reads so many bytes of the body, spends nothing, and breaks off.
    InBody(usize),
    /// Spends the ticket, and breaks off.
    BeforeStatus,
    /// Breaks off within the head of the answer.
    InHead,
    /// Breaks off after so many bytes of the answers.
    After(usize),
    /// Says nothing more after so many bytes of the answers.
    Silent(usize),
    /// After so many bytes of the answers, one every tenth of a second.
    Trickle(usize),
    /// Refuses with this status and code.
    Refuse(u16, &'static str),
    /// Answers, without saying beforehand how long, so many bytes too few and ends in order.
    Short(usize),
    /// Answers in full.
    Nothing,
}

/// One request as it came.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::consult) struct Seen {
    pub(in crate::consult) connection: usize,
    pub(in crate::consult) path: String,
    /// As much of it as was read.
    pub(in crate::consult) body: Vec<u8>,
}

pub(in crate::consult) struct TestCloud {
    pub(in crate::consult) url: String,
    pub(in crate::consult) held: Arc<HeldStack>,
    pub(in crate::consult) slots: Vec<Vec<u8>>,
    inner: Arc<Inner>,
}

struct Inner {
    stack: Stack,
    encoded: Encoded,
    slots: Vec<Vec<u8>>,
    cuts: Vec<Cut>,
    /// Changes answers before they are sent.
    spoil: fn(&mut Vec<u8>),
    seen: Mutex<Vec<Seen>>,
    /// The queries of each spent ticket.
    spent: Mutex<HashMap<Nonce, Vec<u8>>>,
}

pub(in crate::consult) fn signer() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

pub(in crate::consult) fn ticket(number: u8, queries: u32) -> (Signed<Ticket>, u32) {
    let ticket = Ticket {
        nonce: Nonce([number; 16]),
        generations: vec![GENERATION],
        queries,
        expires: Timestamp(1),
    };
    (signer().sign(&ticket), queries)
}

impl TestCloud {
    /// Treats the first request as the first of `cuts` says, and so on; all further ones in full.
    pub(in crate::consult) async fn start(cuts: &[Cut], spoil: fn(&mut Vec<u8>)) -> Self {
        let info = GenerationInfo {
            params: ParamSetId(1),
            shape: Shape::new(SLOTS, SLOT_BYTES, 2).unwrap(),
            seed: Seed([9; 32]),
        };
        let slots: Vec<Vec<u8>> = (0..SLOTS)
            .map(|slot| {
                (0..SLOT_BYTES)
                    .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(slot * 97) >> 11) as u8)
                    .collect()
            })
            .collect();
        let encoded = Encoded::of_slots(&info, &slots).unwrap();
        let stack = Stack::new(vec![info]).unwrap();
        let hint = StackHint::sum(&stack, &[encoded.hint()]).unwrap();
        let held = HeldStack::new(stack.clone(), hint, vec![GENERATION]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            stack,
            encoded,
            slots: slots.clone(),
            cuts: cuts.to_vec(),
            spoil,
            seen: Mutex::default(),
            spent: Mutex::default(),
        });
        let serving = inner.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let inner = serving.clone();
                tokio::spawn(async move { inner.connection(connection, stream).await });
            }
        });
        Self {
            url,
            held: Arc::new(held),
            slots,
            inner,
        }
    }

    pub(in crate::consult) fn seen(&self) -> Vec<Seen> {
        lock(&self.inner.seen).clone()
    }
}

impl Inner {
    /// Serves requests until one is cut or the client goes.
    async fn connection(&self, number: usize, mut stream: TcpStream) {
        while let Some((path, length)) = head(&mut stream).await {
            let at = {
                let mut seen = lock(&self.seen);
                seen.push(Seen {
                    connection: number,
                    path: path.clone(),
                    body: Vec::new(),
                });
                seen.len() - 1
            };
            let cut = self.cuts.get(at).copied().unwrap_or(Cut::Nothing);
            let mut body = vec![
                0;
                match cut {
                    Cut::InBody(bytes) => bytes,
                    _ => length,
                }
            ];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            lock(&self.seen)[at].body.clone_from(&body);
            if matches!(cut, Cut::InBody(_)) {
                return;
            }
            if let Cut::Refuse(status, code) = cut {
                refuse(&mut stream, status, code).await;
                continue;
            }
            let mut answers = match self.spend(&path, &body) {
                Ok(answers) => answers,
                Err((status, code)) => {
                    refuse(&mut stream, status, code).await;
                    continue;
                }
            };
            (self.spoil)(&mut answers);
            if !send(&mut stream, cut, &answers).await {
                return;
            }
        }
    }

    /// The rules of 9.2, 9.5 and 9.6; what is sent.
    fn spend(&self, path: &str, body: &[u8]) -> Result<Vec<u8>, (u16, &'static str)> {
        let (ticket, queries) = retrieval::split(body).unwrap();
        let ticket = ticket.verify(&signer().verifying_key()).unwrap();
        let size = self.stack.query_bytes() as usize;
        let mut spent = lock(&self.spent);
        if let Some(query) = path.strip_prefix("/v1/streams") {
            assert!(queries.is_empty());
            let from = query.strip_prefix("?from=");
            let known = spent.contains_key(&ticket.nonce);
            if known && from.is_none() {
                return Err((409, "spent"));
            }
            spent.insert(ticket.nonce, Vec::new());
            let from: usize = from.map_or(0, |from| from.parse().unwrap());
            return Ok(self.slots[from..].concat());
        }
        match path.strip_prefix("/v1/retrievals") {
            Some("") => {
                assert_eq!(queries.len(), ticket.queries as usize * size);
                if spent.contains_key(&ticket.nonce) {
                    return Err((409, "spent"));
                }
                spent.insert(ticket.nonce, queries.to_vec());
            }
            Some(query) => {
                let from: usize = query.strip_prefix("?from=").unwrap().parse().unwrap();
                match spent.get(&ticket.nonce) {
                    Some(known) if known.get(from * size..) == Some(queries) => {}
                    None if from == 0 => {
                        spent.insert(ticket.nonce, queries.to_vec());
                    }
                    None => return Err((400, "malformed")),
                    Some(_) => return Err((409, "spent")),
                }
            }
            None => return Err((404, "not_found")),
        }
        Ok(self.answer(queries))
    }

    fn answer(&self, queries: &[u8]) -> Vec<u8> {
        let queries: Vec<Query> = queries
            .chunks(self.stack.query_bytes() as usize)
            .map(|bytes| Query::from_bytes(&self.stack, bytes).unwrap())
            .collect();
        let answers = answer(&self.stack, &[&self.encoded], &queries).unwrap();
        answers.iter().flat_map(|a| a.to_bytes()).collect()
    }
}

/// Sends as much as the cut allows; whether the connection goes on.
async fn send(stream: &mut TcpStream, cut: Cut, answers: &[u8]) -> bool {
    let whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        answers.len()
    );
    let (head, bytes) = match cut {
        Cut::BeforeStatus => ("", 0),
        Cut::InHead => (&whole[..24], 0),
        Cut::After(bytes) | Cut::Silent(bytes) | Cut::Trickle(bytes) => (whole.as_str(), bytes),
        Cut::Short(bytes) => (
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
            answers.len() - bytes,
        ),
        _ => (whole.as_str(), answers.len()),
    };
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream
            .write_all(&answers[..bytes.min(answers.len())])
            .await?;
        stream.flush().await
    };
    let sent = sent.await;
    if matches!(cut, Cut::Silent(_)) {
        // Until the client gives up.
        let _ = stream.read(&mut [0]).await;
    }
    if let Cut::Trickle(bytes) = cut {
        for byte in &answers[bytes..] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // Until the client gives up.
            if stream.write_all(&[*byte]).await.is_err() {
                return false;
            }
        }
    }
    sent.is_ok() && cut == Cut::Nothing
}

async fn refuse(stream: &mut TcpStream, status: u16, code: &str) {
    let body = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"as the test wants\"}}}}");
    let again = if code == "busy" {
        "retry-after: 0\r\n"
    } else {
        ""
    };
    let text = format!(
        "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\n{again}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Path and length of the body of the next request.
async fn head(stream: &mut TcpStream) -> Option<(String, usize)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or_else(|| panic!("no length announced: {head}"));
    Some((path, length))
}
