//! Bodies of requests and answers, with refusals in the one shape.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ApiError;
use super::error::bounded;

/// A body in JSON, in requests (`Content-Type: application/json` demanded) and answers.
///
/// Refuses with `malformed`: 415 if it is not said to be JSON, else 400, naming line and field; and as
/// [`Raw`] does.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "malformed",
                "send the body as application/json",
            ));
        }
        let Raw(bytes) = Raw::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            // The parser's message quotes names that the sender chose.
            let error = bounded(&error.to_string());
            ApiError::bad_request("malformed", format!("the body is wrong: {error}"))
        })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => ApiError::internal(&error).into_response(),
        }
    }
}

/// A whole body as bytes, in requests; at most 2 MiB unless [`limit_body`](super::limit_body) says
/// otherwise.
///
/// Refuses with 413 `too_large`, and 408 `timeout` if the body does not come whole.
#[derive(Clone, Debug)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|rejection| {
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    ApiError::too_large(None)
                } else if super::body::is_too_slow(&rejection) {
                    ApiError::new(
                        StatusCode::REQUEST_TIMEOUT,
                        "timeout",
                        "the body stopped coming, or came too slowly; send it again",
                    )
                } else {
                    ApiError::new(
                        StatusCode::REQUEST_TIMEOUT,
                        "timeout",
                        "the body broke off; send it again",
                    )
                }
            })
    }
}
