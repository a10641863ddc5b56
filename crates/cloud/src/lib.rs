//! The untrusted provider: slots of fixed size, and oblivious answers over them.
//!
//! Trust writes slots and seals generations (docs/protocol.md 6); whoever shows a pass downloads hints (7.2) and, with a
//! ticket, retrieves (9.2), or streams the whole stack (9.6), without the cloud learning which slots it is for. What the cloud could know of all this is in its
//! event log ([`events`]); the cloud holds no keys but its own TLS identity.
//!
//! [`enrol::enrol`] joins a network, [`serve`](serve()) starts a cloud.

pub mod config;
pub mod enrol;
pub mod events;

mod api;
mod body;
mod cloud;
mod error;
mod figures;
mod gate;
mod proofs;
mod residents;
mod retrieval;
mod scanner;
mod sealing;
mod sending;
mod serve;
mod slots;
mod store;
mod stream;

pub use error::Error;
pub use figures::METRICS;
pub use serve::{Running, StartError, serve};
