//! A hostile cloud: it has the real cloud's TLS identity and stands before it. What the real one answers, this one
//! alters.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use harpo_service::http::{Limits, Server};
use harpo_service::tls::{ClientAuth, server_config};
use http::{StatusCode, header};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::rogue::{Rogue, identity};

const LIMIT: usize = 256 << 20;
/// Bytes before the symbols of an answer (docs/oblivious-encoding.md).
const HEADER: usize = 40;

/// What it does to the answers of retrievals, to streams, or to hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Nothing.
    Honest,
    /// One byte in the middle of each answer.
    FlipAnswer,
    /// The bit that says for which stack the first answer is.
    FlipHeader,
    /// Every answer stands in the place of the one before it.
    Swap,
    /// The answers of the retrieval before this one.
    Old,
    /// Random bytes of the right length, header kept.
    Noise,
    /// One byte less.
    Truncate,
    /// One byte more.
    Extend,
    /// No answer at all.
    Fail,
    /// One bit of a hint.
    FlipHint,
    /// Half a hint.
    TruncateHint,
}

/// The server. Ends when dropped.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// Last, so that the server is told to stop first.
    _runtime: Runtime,
}

struct Shared {
    attack: Mutex<Attack>,
    /// How many retrievals the attack was played on.
    played: Mutex<u32>,
    last: Mutex<Option<Bytes>>,
    helper: Rogue,
}

impl Proxy {
    /// Listens at `port` with the identity in the cloud's folder. `helper` asks the real cloud.
    pub(crate) fn start(port: u16, cloud: &Path, helper: Rogue) -> Result<Self> {
        let shared = Arc::new(Shared {
            attack: Mutex::new(Attack::Honest),
            played: Mutex::new(0),
            last: Mutex::new(None),
            helper,
        });
        let router = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&shared));
        let tls = server_config(&identity(cloud)?, ClientAuth::Required)?;
        let runtime = Runtime::new()?;
        let stop = CancellationToken::new();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = runtime
            .block_on(Server::bind(addr, Limits::default()))?
            .with_tls(tls);
        runtime.spawn(server.serve(router, stop.clone()));
        Ok(Self {
            shared,
            stop,
            _runtime: runtime,
        })
    }

    /// From now on.
    pub(crate) fn play(&self, attack: Attack) {
        *lock(&self.shared.attack) = attack;
        *lock(&self.shared.played) = 0;
    }

    /// How many requests the present attack was played on.
    pub(crate) fn played(&self) -> u32 {
        *lock(&self.shared.played)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match answer(&shared, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

async fn answer(shared: &Shared, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LIMIT).await?;
    let cloud = shared.helper.cloud().await?;
    let path = parts.uri.path_and_query().context("no path")?.as_str();
    let mut onward = cloud.request(parts.method, path);
    if let Some(range) = parts.headers.get(header::RANGE) {
        onward = onward.header(header::RANGE, range.clone());
    }
    if !body.is_empty() {
        onward = onward.bytes(body);
    }
    let answer = onward.send().await?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    let honest = answer.bytes(LIMIT).await?;
    let attack = *lock(&shared.attack);
    let altered = if path.starts_with("/v1/retrievals") || path.starts_with("/v1/streams") {
        let old = lock(&shared.last).replace(honest.clone());
        alter_answers(attack, &honest, old)
    } else if path.ends_with("/hint") {
        alter_hint(attack, &honest)
    } else {
        Some(honest.clone())
    };
    if altered.as_ref() != Some(&honest) {
        *lock(&shared.played) += 1;
    }
    let Some(altered) = altered else {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    headers.insert(header::CONTENT_LENGTH, altered.len().into());
    headers.remove(header::TRANSFER_ENCODING);
    Ok((status, headers, Body::from(altered)).into_response())
}

/// The answers of a retrieval of four queries, or the quarters of a stream.
fn answers(bytes: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    bytes.chunks_exact_mut(bytes.len() / 4)
}

/// None: no answer.
fn alter_answers(attack: Attack, honest: &Bytes, old: Option<Bytes>) -> Option<Bytes> {
    let mut bytes = honest.to_vec();
    let quarter = bytes.len() / 4;
    match attack {
        Attack::FlipAnswer => answers(&mut bytes).for_each(|answer| answer[quarter / 2] ^= 0xff),
        Attack::FlipHeader => bytes[10] ^= 1,
        Attack::Swap => bytes.rotate_left(quarter),
        Attack::Old => return old.or(Some(honest.clone())),
        Attack::Noise => {
            let mut choices = harpo_e2e::seed::Choices::new(bytes.len() as u64);
            for answer in answers(&mut bytes) {
                answer[HEADER..].fill_with(|| choices.below(256).to_le_bytes()[0]);
            }
        }
        Attack::Truncate => bytes.truncate(bytes.len() - 1),
        Attack::Extend => bytes.push(0),
        Attack::Fail => return None,
        Attack::Honest | Attack::FlipHint | Attack::TruncateHint => {}
    }
    Some(bytes.into())
}

fn alter_hint(attack: Attack, honest: &Bytes) -> Option<Bytes> {
    let mut bytes = honest.to_vec();
    let half = bytes.len() / 2;
    match attack {
        Attack::FlipHint => bytes[half] ^= 1,
        Attack::TruncateHint => bytes.truncate(half),
        _ => {}
    }
    Some(bytes.into())
}
