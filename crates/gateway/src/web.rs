//! DICOMweb (PS3.18): STOW-RS, QIDO-RS and WADO-RS under `/dicom-web`, and one page for people.
//!
//! Plain HTTP: whoever serves the router puts TLS before it. Every request is authenticated.
//! Originals are shown byte for byte; nothing is transcoded, so a transfer syntax that an instance is
//! not stored in is answered with 406. What leaves for taking away is written down, and marked where
//! the permit demands it (docs/protocol.md 10.3).

mod accept;
mod auth;
mod body;
mod error;
mod multipart;
mod page;
mod qido;
mod stow;
#[cfg(test)]
mod tests;
mod wado;
mod zip;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;

use crate::archive::Archive;
use crate::dicom::scp::{Now, OnStored};
use crate::spool::Spool;

pub use auth::{UserConfig, Users, UsersError, hash_password, token_sha256};
pub use error::ApiError;

/// How much a request may ask of us.
#[derive(Debug, Clone)]
pub struct WebLimits {
    /// Largest STOW-RS request, in bytes.
    pub request_bytes: u64,
    /// Largest object in it, in bytes.
    pub object_bytes: u64,
    /// Most objects in one request.
    pub parts: usize,
}

impl Default for WebLimits {
    fn default() -> Self {
        Self {
            request_bytes: 4 << 30,
            object_bytes: 4 << 30,
            parts: 10_000,
        }
    }
}

/// What the web interface works with. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    /// The platform.
    pub archive: Arc<dyn Archive>,
    /// Where stored instances go.
    pub spool: Arc<Spool>,
    /// Who may ask.
    pub users: Arc<Users>,
    /// The present.
    pub now: Now,
    /// Told about each instance that is durable.
    pub on_stored: OnStored,
    /// Whether whole instances (`application/dicom`) are exports, too, as a zip always is, and as those are
    /// whose permit demands tracing marks.
    pub instances_leave: bool,
    /// Limits.
    pub limits: WebLimits,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The routes, and `more` behind the same authentication.
pub fn router(web: Web, more: Router) -> Router {
    let study = "/studies/{study}";
    let series = "/studies/{study}/series/{series}";
    let instance = "/studies/{study}/series/{series}/instances/{instance}";
    let at = |path: &str, rest: &str| format!("{path}{rest}");
    let dicom_web = Router::new()
        .route("/studies", get(qido::studies).post(stow::store))
        .route("/series", get(qido::series))
        .route("/instances", get(qido::instances))
        .route(study, get(wado::study).post(stow::store_in))
        .route(&at(study, "/metadata"), get(wado::study_metadata))
        .route(&at(study, "/series"), get(qido::study_series))
        .route(&at(study, "/instances"), get(qido::study_instances))
        .route(series, get(wado::series))
        .route(&at(series, "/metadata"), get(wado::series_metadata))
        .route(&at(series, "/instances"), get(qido::series_instances))
        .route(instance, get(wado::instance))
        .route(&at(instance, "/metadata"), get(wado::instance_metadata))
        .route(&at(instance, "/frames/{frames}"), get(wado::frames))
        // STOW-RS counts its own bytes while it streams them to the spool.
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/", get(page::show))
        .nest("/dicom-web", dicom_web)
        .fallback(error::no_such_resource)
        .method_not_allowed_fallback(error::no_such_method)
        .with_state(web.clone())
        .merge(more)
        .layer(middleware::from_fn_with_state(web, auth::require))
}
