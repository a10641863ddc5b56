//! The trusted third party: certification authority, policy decision and enforcement, index authority,
//! upload cache, key release, audit log (`docs/protocol.md`, `docs/threat-model.md`).
//!
//! - [`init`] makes a data folder ([`Folder`]), [`Service`] serves it, [`Operator`] is what its
//!   operator can do, also while it serves.
//! - Everything that must survive is in one SQLite database, except the fragments whose generation is
//!   not sealed. Nothing is acknowledged before it is durable, and what belongs together is
//!   written in one transaction with its audit entry.
//!
//! What passes through here is sealed by the producers; trust holds the content keys wrapped to its own
//! sealing key, unwraps them to check a deposit and to wrap them to a consumer, and never decrypts a
//! fragment.

mod api;
mod attempts;
pub mod audit;
mod cache;
pub mod config;
mod deposit;
mod enrolment;
mod error;
mod figures;
mod folder;
mod init;
mod mixer;
mod operate;
pub mod policy;
mod quota;
mod refusals;
mod relay;
mod release;
mod replacement;
mod ring;
mod rounds;
mod search;
mod serve;
mod stack;
mod store;

pub use config::TrustConfig;
pub use error::TrustError;
pub use figures::METRICS;
pub use folder::Folder;
pub use init::{InitOptions, init};
pub use mixer::CLOSE_AHEAD;
pub use operate::{Erasure, Operator, parse_head};
pub use serve::{Service, serve};
pub use stack::Bounds;
pub use store::parties::Party;

#[cfg(test)]
mod tests;
