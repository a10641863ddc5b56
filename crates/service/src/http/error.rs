//! The one shape of refusal.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::causes::in_one_line;

/// A refusal: becomes `{"error":{"code","message"}}` with this status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable, for programs and metrics: one of docs/protocol.md 13.
    pub code: &'static str,
    /// For people: what was wrong, and what to do.
    pub message: String,
    /// When to try again, if that makes sense. Sent in whole seconds, rounded up.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal with this status, code and message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401: the caller must first say who it is.
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 403: the caller may not.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404: there is no such thing, or none that the caller may know of.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 409: not in the present state.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 413 `too_large`: the body is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: Option<usize>) -> Self {
        let message = match limit {
            Some(limit) => format!("the body is larger than the {limit} bytes allowed here"),
            None => "the body is larger than allowed here".to_owned(),
        };
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// 429 `busy`: the caller is over its rate.
    #[must_use]
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "busy",
            "too many requests; try again later",
        )
        .retry_after(retry_after)
    }

    /// 503: not now.
    pub fn unavailable(
        code: &'static str,
        message: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(retry_after)
    }

    /// 507 `storage_full`.
    #[must_use]
    pub fn storage_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "storage_full",
            "the storage is full; nothing was changed; try again when space was made",
        )
        .retry_after(Duration::from_secs(60))
    }

    /// 500 `internal`: logs `cause` with its sources here, and tells the caller nothing of it.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(cause = in_one_line(cause), "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the request failed inside the service; its log says why",
        )
    }

    /// The same refusal, with when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The code for a refusal that says no more than its status.
    pub(super) fn code_of(status: StatusCode) -> &'static str {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "rejected",
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "not_found",
            StatusCode::REQUEST_TIMEOUT => "timeout",
            StatusCode::CONFLICT => "conflict",
            StatusCode::GONE => "gone",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::TOO_MANY_REQUESTS => "busy",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            StatusCode::INSUFFICIENT_STORAGE => "storage_full",
            other if other.is_client_error() => "malformed",
            _ => "internal",
        }
    }
}

/// Longest text that another party chose, in logs and messages.
const QUOTED_BYTES: usize = 200;

/// A text that another party had a hand in, fit for a message or a log: control characters replaced, and cut off
/// after 200 bytes.
#[must_use]
pub fn bounded(text: &str) -> String {
    let mut short = String::new();
    for character in text.chars() {
        let character = if character.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        };
        if short.len() + character.len_utf8() > QUOTED_BYTES {
            // Within the bound, too.
            while short.len() + ELLIPSIS.len_utf8() > QUOTED_BYTES {
                short.pop();
            }
            short.push(ELLIPSIS);
            break;
        }
        short.push(character);
    }
    short
}

const ELLIPSIS: char = '…';

/// In the extensions of a refusal: its code, for whoever counts answers. It does not leave the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusalCode(&'static str);

/// The code of an answer: `ok`, or the refusal's (docs/protocol.md 13).
pub(crate) fn code(answer: &Response) -> &'static str {
    match answer.extensions().get() {
        // Also of a refusal that leaves sealed, as a success.
        Some(RefusalCode(code)) => code,
        None if answer.status().is_success() => "ok",
        None => ApiError::code_of(answer.status()),
    }
}

/// `{"error":{"code","message"}}`.
#[derive(Serialize, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ErrorFields,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ErrorFields {
    pub(super) code: String,
    pub(super) message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = axum::Json(ErrorBody {
            error: ErrorFields {
                code: self.code.to_owned(),
                message: self.message,
            },
        });
        let mut response = (self.status, body).into_response();
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(RefusalCode(self.code));
        response
    }
}

impl From<crate::db::DbError> for ApiError {
    fn from(error: crate::db::DbError) -> Self {
        match error {
            crate::db::DbError::StorageFull { .. } => Self::storage_full(),
            crate::db::DbError::Busy { .. } => Self::unavailable(
                "busy",
                "the database is busy; try again",
                Duration::from_secs(1),
            ),
            other => Self::internal(&other),
        }
    }
}

impl From<crate::blobs::BlobError> for ApiError {
    fn from(error: crate::blobs::BlobError) -> Self {
        match error {
            crate::blobs::BlobError::Full { .. } => Self::storage_full(),
            crate::blobs::BlobError::NotFound { .. } => {
                Self::not_found("not_found", "there is no such object")
            }
            other => Self::internal(&other),
        }
    }
}
