//! `POST /api/prefetch`: a worklist, or whoever knows what will be read, says so ahead (docs/protocol.md 9.7).

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use harpo_protocol::access::Requester;
use harpo_protocol::time::Timestamp;
use http::StatusCode;
use serde::Deserialize;

use crate::archive::ArchiveError;
use crate::consult::Consult;
use crate::consult::ahead::Planned;
use crate::web::ApiError;

const BODY_BYTES: usize = 4096;
/// Longest identifier, PS3.5, value representation UI.
const UID_BYTES: usize = 64;
/// How far ahead, at most.
const MOST: std::time::Duration = std::time::Duration::from_secs(31 * 24 * 3600);

/// What will be needed, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    study_instance_uid: String,
    /// RFC 3339.
    by: String,
}

/// The route, to be put behind authentication.
pub fn routes(consult: Consult) -> Router {
    Router::new()
        .route("/api/prefetch", post(ask))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(consult)
}

async fn ask(
    State(consult): State<Consult>,
    Extension(who): Extension<Requester>,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Json<Planned>), ApiError> {
    let uid = &wish.study_instance_uid;
    if uid.is_empty() || uid.len() > UID_BYTES {
        let why = "study_instance_uid has 1 to 64 characters";
        return Err(ApiError::bad_request(why));
    }
    let by: Timestamp = wish
        .by
        .parse()
        .map_err(|error| ApiError::bad_request(format!("by: {error}")))?;
    if by > consult.now().after(MOST) {
        return Err(ApiError::bad_request("by is more than 31 days ahead"));
    }
    let planned = consult.ahead(&who, uid, by).await;
    let planned = planned.map_err(ArchiveError::from)?;
    if planned.planned + planned.here == 0 {
        return Err(ArchiveError::NotFound.into());
    }
    Ok((StatusCode::ACCEPTED, Json(planned)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use harpo_protocol::access::Purpose;
    use harpo_protocol::rounds::Rule;
    use http::{Request, header};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::testing::World;

    const RULE: Rule = Rule {
        seconds: 60,
        queries: 8,
    };

    async fn post(consult: &Consult, body: String) -> (StatusCode, String) {
        let who = Requester {
            user: "anna".into(),
            role: "physician".into(),
            purpose: Purpose::Treat,
        };
        let request = Request::post("/api/prefetch")
            .header(header::CONTENT_TYPE, "application/json")
            .extension(who)
            .body(Body::from(body))
            .unwrap();
        let answer = routes(consult.clone()).oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_will_be_needed_is_noted_and_nonsense_is_refused() {
        let (world, stacks) = World::with_stacks(Some(RULE)).await;
        let (consult, _shutdown) = world.consult().await;
        let study = stacks.bundle(0).1.study.clone();
        let days = |days: u64| std::time::Duration::from_secs(days * 24 * 3600);
        let wish =
            |study: &str, by: &str| format!(r#"{{"study_instance_uid":"{study}","by":"{by}"}}"#);
        let soon = consult.now().after(days(1)).to_string();
        let late = consult.now().after(days(32)).to_string();
        for (body, expected) in [
            (wish(&study, &soon), StatusCode::ACCEPTED),
            (wish("", &soon), StatusCode::BAD_REQUEST),
            (wish(&"1".repeat(65), &soon), StatusCode::BAD_REQUEST),
            (wish(&study, "tomorrow"), StatusCode::BAD_REQUEST),
            (wish(&study, &late), StatusCode::BAD_REQUEST),
            (wish("1.2.3", &soon), StatusCode::NOT_FOUND),
            (
                wish(&"1".repeat(BODY_BYTES), &soon),
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
        ] {
            let (status, answer) = post(&consult, body).await;
            assert_eq!(status, expected, "{answer}");
            if status == StatusCode::ACCEPTED {
                assert_eq!(answer, r#"{"planned":1,"here":0}"#);
            }
        }
        assert!(stacks.seen().is_empty());
    }
}
