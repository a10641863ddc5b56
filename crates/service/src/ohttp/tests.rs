use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::stream::Outlet;
use super::*;
use crate::http::{ApiError, Client, ClientError, Limits, Server};

fn keys() -> ServerKeys {
    let folder = tempfile::tempdir().unwrap();
    ServerKeys::load_or_make(&folder.path().join("keys"), &mut crate::random::system()).unwrap()
}

fn request(length: u64) -> RequestHead {
    RequestHead {
        method: Method::POST,
        path: "/v1/retrievals?from=3".into(),
        fields: HeaderMap::new(),
        length,
    }
}

fn response(length: u64) -> ResponseHead {
    let fields = [(header::RETRY_AFTER, HeaderValue::from_static("7"))];
    ResponseHead {
        status: StatusCode::SERVICE_UNAVAILABLE,
        fields: HeaderMap::from_iter(fields),
        length,
    }
}

fn noise(length: usize) -> Bytes {
    let mut state = 1_u64;
    let bytes = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    });
    bytes.take(length).collect()
}

fn pieces(bytes: Bytes, size: usize) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    stream::iter(pieces.into_iter().map(Ok))
}

#[test]
fn heads_are_read_as_they_were_written_at_every_cut() {
    for length in [0, 63, 64, 16383, 16384, 1 << 29, 1 << 30, (1 << 62) - 1] {
        let head = request(length);
        let bytes = head.to_bytes().unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(RequestHead::read(&bytes[..cut]).unwrap(), None, "{cut}");
        }
        let longer = [&*bytes, b"body"].concat();
        assert_eq!(
            RequestHead::read(&longer).unwrap(),
            Some((head, bytes.len()))
        );
        let head = response(length);
        let bytes = head.to_bytes().unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(ResponseHead::read(&bytes[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(
            ResponseHead::read(&bytes).unwrap(),
            Some((head, bytes.len()))
        );
        assert!(
            RequestHead::read(&bytes).is_err(),
            "a response is no request"
        );
    }
    assert!(request(1 << 62).to_bytes().is_err());
}

#[test]
fn a_request_says_no_more_than_it_may() {
    let mut head = request(0);
    head.fields
        .insert(header::RANGE, HeaderValue::from_static("bytes=1-"));
    let bytes = head.to_bytes().unwrap();
    assert_eq!(RequestHead::read(&bytes).unwrap().unwrap().0, head);
    head.fields
        .insert(header::COOKIE, HeaderValue::from_static("me=1"));
    assert!(head.to_bytes().is_err());
    // The same, written by somebody else.
    let hostile = |method: &str,
                   scheme: &str,
                   authority: &str,
                   path: &str,
                   fields: &[(&str, &str)]| {
        let mut message =
            bhttp::Message::request(method.into(), scheme.into(), authority.into(), path.into());
        for (name, value) in fields {
            message.put_header(*name, *value);
        }
        let mut bytes = Vec::new();
        message
            .write_bhttp(bhttp::Mode::KnownLength, &mut bytes)
            .unwrap();
        RequestHead::read(&bytes)
    };
    assert!(
        hostile("GET", "https", "", "/", &[("range", "bytes=0-")])
            .unwrap()
            .is_some()
    );
    for (what, read) in [
        ("scheme", hostile("GET", "http", "", "/", &[])),
        ("authority", hostile("GET", "https", "me.example", "/", &[])),
        ("method", hostile("G T", "https", "", "/", &[])),
        ("no path", hostile("GET", "https", "", "", &[])),
        ("path", hostile("GET", "https", "", "/a b", &[])),
        (
            "whole address",
            hostile("GET", "https", "", "http://elsewhere/", &[]),
        ),
        (
            "field",
            hostile("GET", "https", "", "/", &[("user-agent", "me")]),
        ),
        (
            "upper case",
            hostile("GET", "https", "", "/", &[("Range", "bytes=0-")]),
        ),
        (
            "twice",
            hostile("GET", "https", "", "/", &[("range", "a"), ("range", "b")]),
        ),
        (
            "value",
            hostile("GET", "https", "", "/", &[("range", "a\nb")]),
        ),
        (
            "long",
            hostile(
                "GET",
                "https",
                "",
                &format!("/{}", "a".repeat(HEAD_BYTES)),
                &[],
            ),
        ),
    ] {
        assert!(read.is_err(), "{what}");
    }
    // Without end.
    assert!(RequestHead::read(&[0; 3]).unwrap().is_none());
    assert!(
        RequestHead::read(&[&[0, 0x80, 0, 0xff, 0xff][..], &[b'a'; HEAD_BYTES]].concat()).is_err()
    );
    assert!(RequestHead::read(&[2]).is_err(), "of unknown length");
}

/// Seals a request as a gateway does.
async fn sealed(key: &PublicKey, head: &RequestHead, body: Bytes) -> Vec<Bytes> {
    let outlet = Outlet::default();
    let writer = key
        .request()
        .unwrap()
        .encapsulate_stream(outlet.clone())
        .unwrap();
    Sealer::new(writer, outlet)
        .seal(head.to_bytes().unwrap(), pieces(body, 100_000), head.length)
        .try_collect()
        .await
        .unwrap()
}

async fn body_of(opened: Opened) -> io::Result<Vec<u8>> {
    let pieces: Vec<Bytes> = opened.inner.unwrap().body.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn what_was_sealed_opens_and_nothing_else_does() {
    let keys = keys();
    let key = PublicKey::from_list(&keys.public().unwrap()).unwrap();
    let body = noise(300_000);
    let capsule = sealed(&key, &request(300_000), body.clone()).await;
    assert!(
        capsule.iter().all(|piece| piece.len() < 70_000),
        "piece by piece"
    );
    let capsule = capsule.concat();
    for size in [1, 1000, 1 << 20] {
        let opened = open(&keys, pieces(capsule.clone().into(), size))
            .await
            .unwrap();
        assert_eq!(opened.inner.as_ref().unwrap().head, request(300_000));
        assert_eq!(body_of(opened).await.unwrap(), body);
    }
    // Two encapsulations of the same have nothing in common but key and suite.
    let again = sealed(&key, &request(300_000), body.clone()).await.concat();
    let same = capsule[7..]
        .iter()
        .zip(&again[7..])
        .filter(|(a, b)| a == b)
        .count();
    assert!(same < capsule.len() / 200, "{same}");
    // Cut off: at the head, between chunks, before the last.
    for cut in [
        0,
        6,
        7,
        100,
        1200,
        20_000,
        capsule.len() - 17,
        capsule.len() - 1,
    ] {
        let cut = Bytes::copy_from_slice(&capsule[..cut]);
        let read = match open(&keys, pieces(cut, 9000)).await {
            Ok(opened) => body_of(opened).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(read.is_err());
    }
    // Altered, anywhere.
    for at in (0..capsule.len())
        .step_by(997)
        .chain([0, 1, 6, capsule.len() - 1])
    {
        let mut bad = capsule.clone();
        bad[at] ^= 1;
        let read = match open(&keys, pieces(bad.into(), 9000)).await {
            Ok(opened) => body_of(opened).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(read.is_err(), "altered at {at}");
    }
    // Of another cloud.
    assert!(
        open(&self::keys(), pieces(capsule.into(), 9000))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_body_is_as_long_as_it_said() {
    let keys = keys();
    let key = PublicKey::from_list(&keys.public().unwrap()).unwrap();
    for (said, sent) in [(10, 8), (10, 11), (0, 1)] {
        let outlet = Outlet::default();
        let writer = key
            .request()
            .unwrap()
            .encapsulate_stream(outlet.clone())
            .unwrap();
        let sealing = Sealer::new(writer, outlet).seal(
            request(said).to_bytes().unwrap(),
            pieces(noise(sent), 4),
            said,
        );
        assert!(
            sealing.try_collect::<Vec<_>>().await.is_err(),
            "{said} {sent}"
        );
        // Sealed all the same, by somebody hostile.
        let outlet = Outlet::default();
        let writer = key
            .request()
            .unwrap()
            .encapsulate_stream(outlet.clone())
            .unwrap();
        let message = [&request(said).to_bytes().unwrap(), &noise(sent)]
            .map(|b| b.to_vec())
            .concat();
        let length = message.len() as u64;
        let capsule: Vec<Bytes> = Sealer::new(writer, outlet)
            .seal(
                message.into(),
                stream::iter([] as [io::Result<Bytes>; 0]),
                0,
            )
            .try_collect()
            .await
            .unwrap();
        let opened = open(&keys, pieces(capsule.concat().into(), 7))
            .await
            .unwrap();
        assert!(body_of(opened).await.is_err(), "{said} {sent} {length}");
    }
}

#[test]
fn the_key_before_is_good_until_the_next_and_one_suite_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let mut rng = crate::random::system();
    let first = ServerKeys::load_or_make(&path, &mut rng).unwrap();
    let again = ServerKeys::load_or_make(&path, &mut rng).unwrap();
    assert_eq!(first.public().unwrap(), again.public().unwrap());
    assert_eq!(format!("{first:?}"), "ServerKeys([1], …)");
    ServerKeys::renew(&path, &mut rng).unwrap();
    let second = ServerKeys::load_or_make(&path, &mut rng).unwrap();
    assert_eq!(format!("{second:?}"), "ServerKeys([2, 1], …)");
    assert_ne!(first.public().unwrap(), second.public().unwrap());
    ServerKeys::renew(&path, &mut rng).unwrap();
    let third = ServerKeys::load_or_make(&path, &mut rng).unwrap();
    assert_eq!(format!("{third:?}"), "ServerKeys([3, 2], …)");
    for damaged in [&b""[..], b"seed", &[1; 99]] {
        std::fs::write(&path, damaged).unwrap();
        assert!(ServerKeys::load_or_make(&path, &mut rng).is_err());
    }

    let list = third.public().unwrap();
    let key = PublicKey::from_list(&list).unwrap();
    assert!(PublicKey::from_base64(&key.to_base64().unwrap()).is_ok());
    assert!(
        PublicKey::from_list(&[&*list, &list].concat()).is_err(),
        "two"
    );
    assert!(PublicKey::from_list(&[]).is_err(), "none");
    for at in [0, 1, 3, 4, list.len() - 1, list.len() - 3, list.len() - 5] {
        let mut bad = list.clone();
        bad[at] ^= 2;
        assert!(PublicKey::from_list(&bad).is_err(), "{at}");
    }
}

/// What a relay and a cloud would be, in one: opens, answers, and does to the answer what `harm` says.
#[derive(Clone)]
struct Far {
    keys: Arc<ServerKeys>,
    harm: fn(usize, Bytes) -> io::Result<Bytes>,
    asked: Arc<AtomicUsize>,
}

async fn answer(State(far): State<Far>, request: Request) -> Result<Response, ApiError> {
    far.asked.fetch_add(1, Ordering::Relaxed);
    if request.headers().get(header::CONTENT_TYPE).unwrap() != REQUEST_TYPE {
        return Err(ApiError::bad_request("malformed", "no capsule"));
    }
    let opened = open(&far.keys, request.into_body().into_data_stream()).await;
    let opened = opened.map_err(|e| ApiError::forbidden("rejected", e.to_string()))?;
    let inner = opened.inner.unwrap();
    if inner.head.path == "/v1/away" {
        let wait = Duration::from_secs(1);
        return Err(ApiError::unavailable(
            "unavailable",
            "the cloud is away",
            wait,
        ));
    }
    let (head, body) = match inner.head.path.as_str() {
        "/v1/busy" => {
            let refusal = br#"{"error":{"code":"busy","message":"later"}}"#;
            let body = pieces(Bytes::from_static(refusal), 10).boxed();
            (response(refusal.len() as u64), body)
        }
        _ => {
            let head = ResponseHead {
                status: StatusCode::OK,
                fields: HeaderMap::new(),
                length: inner.head.length,
            };
            (head, inner.body)
        }
    };
    let sealed = opened
        .sealer
        .seal(head.to_bytes().unwrap(), body, head.length);
    let harm = far.harm;
    let sealed = sealed
        .enumerate()
        .map(move |(number, piece)| harm(number, piece?));
    let mut response = Response::new(Body::from_stream(sealed));
    let kind = HeaderValue::from_static(RESPONSE_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn far(harm: fn(usize, Bytes) -> io::Result<Bytes>) -> (ObliviousClient, CancellationToken) {
    let keys = Arc::new(keys());
    let key = PublicKey::from_list(&keys.public().unwrap()).unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default())
        .await
        .unwrap();
    let client = Client::plain(&format!("http://{}", server.local_addr())).unwrap();
    let far = Far {
        keys,
        harm,
        asked: Arc::default(),
    };
    let router = Router::new()
        .route("/v1/relay", post(answer))
        .with_state(far);
    let stop = CancellationToken::new();
    tokio::spawn(server.serve(router, stop.clone()));
    (ObliviousClient::new(client, key), stop)
}

fn asking(
    path: &str,
    length: usize,
) -> (
    RequestHead,
    impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) {
    let head = RequestHead {
        path: path.into(),
        ..request(length as u64)
    };
    (head, pieces(noise(length), 70_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_back_as_if_there_were_no_relay() {
    let (client, stop) = far(|_, piece| Ok(piece)).await;
    for length in [0, 1, 100_000, 3_000_000] {
        let (head, body) = asking("/v1/echo", length);
        let answer = client.send(&head, body).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            answer.headers()[header::CONTENT_LENGTH],
            length.to_string().as_str()
        );
        assert_eq!(answer.bytes(length).await.unwrap(), noise(length));
    }
    let (head, body) = asking("/v1/busy", 10);
    let refused = client.send(&head, body).await.unwrap_err();
    assert_eq!(refused.code(), Some("busy"));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(7)));
    let (head, body) = asking("/v1/away", 10);
    let broken = client.send(&head, body).await.unwrap_err();
    assert!(
        matches!(broken, ClientError::Unreachable { .. }),
        "{broken}"
    );
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_altered_or_cut_counts_as_broken() {
    let alters = |at: usize, piece: Bytes| {
        let mut bytes = piece.to_vec();
        if at == 2 {
            bytes[100] ^= 1;
        }
        Ok(bytes.into())
    };
    let cuts = |at: usize, piece: Bytes| match at {
        0..3 => Ok(piece),
        _ => Ok(Bytes::new()),
    };
    let replaces = |_: usize, _: Bytes| Ok(Bytes::from_static(&[7; 1000]));
    let harms: [fn(usize, Bytes) -> io::Result<Bytes>; 3] = [alters, cuts, replaces];
    for harm in harms {
        let (client, stop) = far(harm).await;
        let (head, body) = asking("/v1/echo", 1_000_000);
        let came = match client.send(&head, body).await {
            Ok(answer) => answer.bytes(1_000_000).await,
            Err(error) => Err(error),
        };
        let broken = came.unwrap_err();
        assert!(
            matches!(broken, ClientError::Unreachable { .. }),
            "{broken}"
        );
        stop.cancel();
    }
}
