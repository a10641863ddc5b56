//! The relay (docs/protocol.md 9.8): carries gateways' sealed requests to the one cloud that is configured, and the sealed
//! answers back. It knows who asks, and nothing of what; whoever runs it must be neither trust nor cloud.
//!
//! It keeps nothing, decides nothing but who may ask and how much at once, and holds no body whole.

pub mod config;
pub mod enrol;
mod figures;
mod forward;
mod places;
mod serve;

pub use figures::METRICS;
pub use serve::{Running, StartError, serve};
