//! What every daemon shares, and nothing about any party's business: configuration ([`config`]), the
//! TLS identity and the certification authority behind it ([`tls`]), the HTTP server and client
//! ([`http`]), both ends of what goes through the relay ([`ohttp`]), health ([`admin`]), figures ([`metrics`]), logs
//! ([`telemetry`]), orderly exit ([`shutdown`]), time
//! ([`clock`]), retries ([`retry`]), and storage handles that have made durable what they
//! acknowledge ([`db`], [`blobs`], [`files`]).

pub mod admin;
pub mod blobs;
pub mod causes;
pub mod clock;
pub mod config;
pub mod db;
pub mod enrol;
pub mod files;
pub mod http;
pub mod metrics;
pub mod ohttp;
pub mod random;
pub mod retry;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
