//! k-out-of-N oblivious transfer of large records: the ring engine, and streams of a whole stack.
//!
//! A consumer asks for one slot of a stack without the server learning which; the server works through every
//! slot and returns little more than the slot's own size. The scheme is plain ring learning with errors with
//! public randomness; parameters, formats and the noise analysis are in `docs/oblivious-encoding.md`, whose
//! sections the items below cite.
//!
//! The crate is pure: no files, no network, no clock, no ambient randomness.
//!
//! # One retrieval
//!
//! 1. A generation of slots is described by its public figures ([`GenerationInfo`]), encoded once
//!    ([`Encoded::encode`]) and has one [`Hint`], the same for every consumer ([`Encoded::hint`]).
//! 2. Consumers add the hints of the whole [`Stack`] up, once ([`StackHint::sum`]).
//! 3. [`client::query`] makes a [`Query`] and the [`Secret`] that opens its answer.
//! 4. The server adds what each generation contributes to one [`PartialAnswer`] per query
//!    ([`Encoded::accumulate`]) and rounds it to an [`Answer`] ([`PartialAnswer::finish`]).
//! 5. [`Secret::decode`] returns the bytes of the slot.
//!
//! This hides the choice from the server. It does **not** hide the other slots from the consumer: a consumer
//! that departs from the protocol can learn any linear combination of slots. Slots must therefore be ciphertext
//! under keys that the consumer only gets for what it was granted.
//!
//! Where a stack is small, or much of it is wanted, downloading all of it costs less: [`Engine::choose`] says when;
//! [`Stack::position`] says where a slot lies in what then comes.

mod bits;
pub mod client;
pub mod engine;
mod error;
mod info;
mod params;
mod query;
mod ring;
mod sample;
mod server;
mod stack;
mod wire;

mod answer;
mod hint;

pub use answer::Answer;
pub use client::{Choice, Secret};
pub use engine::{Cost, Engine};
pub use error::{EncodeError, Error};
pub use hint::{Hint, StackHint};
pub use info::{GenerationInfo, QUERIES_PER_HINT, Seed, Shape};
pub use params::{Noise, ParamSetId, Params, Security};
pub use query::{Query, QueryPart};
pub use ring::Kernel;
pub use server::{
    Buffers, Encoded, PartialAnswer, STRIPE_BYTES, Sealed, Sealer, SharedBytes, Stripe, answer,
};
pub use stack::Stack;
