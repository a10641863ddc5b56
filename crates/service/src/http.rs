//! HTTP between parties: [`Server`] (own accept loop with limits and orderly drain), the [`Peer`] it
//! found at the other end, [`ApiError`] as the one shape of refusal, and [`Client`] that turns what
//! comes back into [`ClientError`].
//!
//! HTTP/1.1 only. Refusals are `{"error":{"code":"...","message":"..."}}`, with `Retry-After` in
//! seconds where trying again makes sense.

mod body;
mod client;
mod error;
mod extract;
mod failure;
mod peer;
mod server;
mod stall;
mod strangers;

pub use body::limit_body;
pub use client::{Client, Request, Response};
pub(crate) use error::code;
pub use error::{ApiError, bounded};
pub use extract::{Json, Raw};
pub use failure::ClientError;
pub use peer::Peer;
pub use server::{Drained, Limits, Server};
pub use strangers::Network;

#[cfg(test)]
mod tests;
