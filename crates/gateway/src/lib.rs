//! The hospital's gateway: DICOM and DICOMweb in, sealed bundles out, and back again.
//!
//! See the workspace's ARCHITECTURE.md.

pub mod archive;
pub mod cloud_client;
pub mod config;
pub mod consult;
pub mod content;
pub mod dicom;
pub mod figures;
pub mod hints;
pub mod maintenance;
pub mod notices;
pub mod open;
pub mod outsource;
pub mod party;
pub mod phantom;
pub mod prefetch;
pub mod ready;
pub mod seal;
pub mod serve;
pub mod spool;
pub mod status;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod trust_client;
pub mod users;
pub mod web;
pub mod within;

/// Runs what blocks on disk or processor where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // The work is never aborted: a join error is its panic, which goes on here.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
