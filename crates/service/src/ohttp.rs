//! Oblivious HTTP (RFC 9458, chunked), as gateways and cloud speak it through the relay (docs/protocol.md 9.8): keys,
//! the Binary HTTP heads inside, and both ends of the encapsulation as streams. Nothing here holds a body whole.

use std::io;

pub use self::client::ObliviousClient;
pub use self::head::{HEAD_BYTES, RequestHead, ResponseHead};
pub use self::keys::{KeysError, PublicKey, ServerKeys};
pub use self::server::{Inner, Opened, open};
pub use self::stream::Sealer;

mod client;
mod head;
mod keys;
mod server;
mod stream;

#[cfg(test)]
mod tests;

/// What an encapsulated request is.
pub const REQUEST_TYPE: &str = "message/ohttp-chunked-req";
/// What an encapsulated response is.
pub const RESPONSE_TYPE: &str = "message/ohttp-chunked-res";
/// What a list of key configurations is.
pub const KEYS_TYPE: &str = "application/ohttp-keys";

/// The encapsulation could not be opened or made. What exactly failed is nobody's business but the log's.
fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
