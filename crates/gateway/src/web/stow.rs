//! STOW-RS: storing instances (PS3.18 section 10.5).

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use dicom_core::VR;
use harpo_protocol::access::Requester;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::accept::{Media, accepted};
use super::multipart::{Multipart, MultipartError};
use super::{ApiError, Web};
use crate::dicom::scp::status_of;
use crate::dicom::{json, uid};
use crate::spool::{Incoming, Kind, Source, Spool, StoreError, Stored};

/// Instances of one request that are made durable at the same time.
const STORED_AT_ONCE: usize = 8;

/// `POST /studies`.
pub(super) async fn store(
    state: State<Web>,
    who: Extension<Requester>,
    request: Request,
) -> Result<Response, ApiError> {
    receive(&state, &who, None, request).await
}

/// `POST /studies/{study}`.
pub(super) async fn store_in(
    state: State<Web>,
    who: Extension<Requester>,
    Path(study): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    if !uid::is_valid(&study) {
        return Err(ApiError::bad_request("the study in the path is not a UID"));
    }
    receive(&state, &who, Some(study), request).await
}

type Outcome = Result<Stored, Refused>;

/// An object that was not stored, with its SOP class and instance where they could be read.
struct Refused {
    uids: Option<(String, String)>,
    error: StoreError,
}

async fn receive(
    web: &Web,
    who: &Requester,
    study: Option<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let fits = |m: &Media| {
        matches!(
            m.essence.as_str(),
            "*/*" | "application/*" | "application/dicom+json" | "application/json"
        )
    };
    if !accepted(request.headers(), None).iter().any(fits) {
        return Err(ApiError::not_acceptable(
            "results come as application/dicom+json only",
        ));
    }
    let base = super::qido::base_url(request.headers());
    let mut storing = Storing {
        web,
        source: Source::User(who.user.clone()),
        study,
        running: JoinSet::new(),
        outcomes: BTreeMap::new(),
        started: 0,
    };
    match content_type(request.headers())? {
        Content::Single => storing.single(request.into_body()).await?,
        Content::Multipart(boundary) => storing.multipart(request.into_body(), &boundary).await?,
    }
    let study = storing.study.clone();
    let outcomes = storing.finish().await;
    for stored in outcomes.iter().filter_map(|o| o.as_ref().ok()) {
        (web.on_stored)(stored);
    }
    Ok(response(&base, study.as_deref(), &outcomes))
}

enum Content {
    /// One object is the whole body.
    Single,
    Multipart(String),
}

fn content_type(headers: &HeaderMap) -> Result<Content, ApiError> {
    let unsupported = || {
        let message =
            "send multipart/related; type=\"application/dicom\", or one application/dicom object";
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            message,
        )
    };
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let media = value.and_then(Media::parse).ok_or_else(unsupported)?;
    let is_dicom = |t: &str| t.eq_ignore_ascii_case("application/dicom");
    match media.essence.as_str() {
        "application/dicom" => Ok(Content::Single),
        "multipart/related" if media.parameter("type").is_none_or(is_dicom) => {
            let boundary = media.parameter("boundary");
            let missing = || ApiError::bad_request("Content-Type has no boundary");
            boundary
                .map(|b| Content::Multipart(b.to_owned()))
                .ok_or_else(missing)
        }
        _ => Err(unsupported()),
    }
}

struct Storing<'a> {
    web: &'a Web,
    source: Source,
    study: Option<String>,
    running: JoinSet<(usize, Outcome)>,
    /// By place in the request.
    outcomes: BTreeMap<usize, Outcome>,
    started: usize,
}

impl Storing<'_> {
    async fn single(&mut self, body: Body) -> Result<(), ApiError> {
        let mut incoming = Ok(self.begin());
        let mut stream = body.into_data_stream();
        while let Some(bytes) = futures_util::StreamExt::next(&mut stream).await {
            let bytes = bytes.map_err(|e| MultipartError::Receive(e.into_inner()))?;
            incoming = push(incoming, bytes).await;
        }
        self.store(incoming).await;
        Ok(())
    }

    async fn multipart(&mut self, body: Body, boundary: &str) -> Result<(), ApiError> {
        let limits = &self.web.limits;
        let mut parts = Multipart::new(body.into_data_stream(), boundary, limits.request_bytes)?;
        while let Some(head) = parts.next().await? {
            if self.started >= limits.parts {
                let message = format!(
                    "more than {} objects in one request; send fewer at once",
                    limits.parts
                );
                return Err(ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_many_parts",
                    message,
                ));
            }
            let media = head.content_type.as_deref().and_then(Media::parse);
            if media.is_some_and(|m| m.essence != "application/dicom") {
                let message = "every part must be application/dicom; metadata with bulk data is not supported";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Err(ApiError::new(status, "unsupported_media_type", message));
            }
            let mut incoming = Ok(self.begin());
            while let Some(bytes) = parts.chunk().await? {
                incoming = push(incoming, bytes).await;
            }
            self.store(incoming).await;
        }
        Ok(())
    }

    fn begin(&self) -> Incoming {
        let kind = Kind::File {
            study_instance_uid: self.study.clone(),
        };
        self.web.spool.begin(kind, self.web.limits.object_bytes)
    }

    /// Stores in the background, so that syncs of several objects run together.
    async fn store(&mut self, incoming: Result<Incoming, StoreError>) {
        let index = self.started;
        self.started += 1;
        while self.running.len() >= STORED_AT_ONCE {
            self.join().await;
        }
        match incoming {
            Err(error) => drop(
                self.outcomes
                    .insert(index, Err(Refused { uids: None, error })),
            ),
            Ok(incoming) => {
                let (spool, source) = (self.web.spool.clone(), self.source.clone());
                let now_ms = (self.web.now)();
                self.running
                    .spawn_blocking(move || (index, keep(&spool, incoming, &source, now_ms)));
            }
        }
    }

    async fn join(&mut self) {
        match self.running.join_next().await {
            Some(Ok((index, outcome))) => drop(self.outcomes.insert(index, outcome)),
            // Never aborted: the work panicked, and so do we.
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => {}
        }
    }

    async fn finish(mut self) -> Vec<Outcome> {
        while !self.running.is_empty() {
            self.join().await;
        }
        self.outcomes.into_values().collect()
    }
}

fn keep(spool: &Spool, incoming: Incoming, source: &Source, now_ms: u64) -> Outcome {
    let ready = spool
        .inspect(incoming)
        .map_err(|error| Refused { uids: None, error })?;
    let uids = Some((
        ready.header.sop_class_uid.clone(),
        ready.header.sop_instance_uid.clone(),
    ));
    spool
        .commit(ready, source, now_ms)
        .map_err(|error| Refused { uids, error })
}

async fn push(
    incoming: Result<Incoming, StoreError>,
    bytes: Bytes,
) -> Result<Incoming, StoreError> {
    let mut incoming = incoming?;
    if incoming.would_block(bytes.len()) {
        return crate::blocking(move || {
            incoming.push(&bytes)?;
            Ok(incoming)
        })
        .await;
    }
    incoming.push(&bytes)?;
    Ok(incoming)
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        let message = error.to_string();
        match error {
            MultipartError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
            }
            _ => Self::bad_request(message),
        }
    }
}

/// The response payload (PS3.18 section I.2), and the status of PS3.18 table 10.5.3-1.
fn response(base: &str, study: Option<&str>, outcomes: &[Outcome]) -> Response {
    let mut stored = Vec::new();
    let mut failed = Vec::new();
    let mut other = Vec::new();
    let mut studies: Vec<&str> = study.into_iter().collect();
    for outcome in outcomes {
        match outcome {
            Ok(Stored { header, .. }) => {
                studies.push(&header.study_instance_uid);
                stored.push(json!({
                    "00081150": json::text(VR::UI, &header.sop_class_uid),
                    "00081155": json::text(VR::UI, &header.sop_instance_uid),
                    "00081190": json::text(VR::UR, &format!(
                        "{base}/studies/{}/series/{}/instances/{}",
                        header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid,
                    )),
                }));
            }
            // An object that could not be read has no UIDs to be named by.
            Err(refused) if refused.uids.is_none() => other.push(refused.item()),
            Err(refused) => failed.push(refused.item()),
        }
    }
    studies.sort_unstable();
    studies.dedup();
    let status = match (stored.is_empty(), failed.is_empty() && other.is_empty()) {
        _ if outcomes.is_empty() => StatusCode::BAD_REQUEST,
        (false, true) => StatusCode::OK,
        (false, false) => StatusCode::ACCEPTED,
        (true, _)
            if outcomes
                .iter()
                .all(|o| o.as_ref().is_err_and(|r| r.is_full())) =>
        {
            StatusCode::SERVICE_UNAVAILABLE
        }
        (true, _) => StatusCode::CONFLICT,
    };
    let mut body = json::Dataset::new();
    if let [study] = studies[..] {
        body.insert(
            "00081190".into(),
            json::text(VR::UR, &format!("{base}/studies/{study}")),
        );
    }
    for (key, items) in [
        ("00081198", failed),
        ("00081199", stored),
        ("0008119A", other),
    ] {
        if !items.is_empty() {
            body.insert(key.into(), json!({"vr": "SQ", "Value": items}));
        }
    }
    super::qido::dicom_json(status, Value::Object(body).to_string())
}

impl Refused {
    /// One item of Failed SOP Sequence or Other Failures Sequence, with our words in Error Comment.
    fn item(&self) -> Value {
        let mut item = json::Dataset::new();
        if let Some((sop_class_uid, sop_instance_uid)) = &self.uids {
            item.insert("00081150".into(), json::text(VR::UI, sop_class_uid));
            item.insert("00081155".into(), json::text(VR::UI, sop_instance_uid));
        }
        item.insert(
            "00081197".into(),
            json!({"vr": "US", "Value": [status_of(&self.error)]}),
        );
        item.insert(
            "00000902".into(),
            json::text(VR::LO, &self.error.to_string()),
        );
        Value::Object(item)
    }

    fn is_full(&self) -> bool {
        matches!(self.error, StoreError::DiskFull)
    }
}
