//! Errors as clients see them: `{"error": {"code": …, "message": …}}`.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::archive::ArchiveError;
use crate::dicom::InspectError;
use crate::dicom::frames::FrameError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people: the cause and the next step.
    pub message: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(after.as_secs().max(1)),
            );
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let basic = "Basic realm=\"Harpocrates\", charset=\"UTF-8\"";
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(basic));
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        let message = error.to_string();
        match error {
            ArchiveError::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            ArchiveError::Denied { .. } => Self::new(StatusCode::FORBIDDEN, "denied", message),
            ArchiveError::Unavailable { retry_after, cause } => {
                tracing::warn!(cause = %cause, "the platform is not available");
                let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
                Self {
                    retry_after: Some(retry_after),
                    ..error
                }
            }
            ArchiveError::Pending { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "pending", message)
            },
            ArchiveError::Corrupt { .. } => {
                tracing::error!(message, "a fetched study did not verify");
                Self::new(StatusCode::BAD_GATEWAY, "corrupt", message)
            }
            ArchiveError::NoRoom { .. } => {
                tracing::error!(message, "a study could not be fetched");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", message)
            }
            ArchiveError::Untraceable { .. } => {
                Self::new(StatusCode::CONFLICT, "untraceable", message)
            }
            ArchiveError::Internal(cause) => {
                tracing::error!(cause = %cause, "the archive failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }
}

impl From<InspectError> for ApiError {
    fn from(error: InspectError) -> Self {
        tracing::error!(%error, "a stored instance cannot be read");
        let message = format!("a stored instance cannot be read: {error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", message)
    }
}

impl From<FrameError> for ApiError {
    fn from(error: FrameError) -> Self {
        let message = error.to_string();
        match error {
            FrameError::NoSuchFrame { .. } | FrameError::NoPixels => {
                Self::new(StatusCode::NOT_FOUND, "no_such_frame", message)
            }
            FrameError::Inconsistent(_) | FrameError::UnknownBoundaries => {
                Self::new(StatusCode::NOT_ACCEPTABLE, "frames_not_available", message)
            }
            FrameError::Inspect(_) | FrameError::Read(_) => {
                tracing::error!(%error, "frames of a stored instance cannot be read");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", message)
            }
        }
    }
}

pub(super) async fn no_such_resource() -> ApiError {
    let message = "there is no such resource; DICOMweb is under /dicom-web";
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

pub(super) async fn no_such_method() -> ApiError {
    let message = "this resource does not have this method";
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}
