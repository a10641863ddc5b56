//! A whole cloud in this process, over real TLS: trust and gateways are played by the tests.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod crowded;
mod cycle;
mod fair;
mod figures;
mod hostile;
mod proofs;
mod relayed;
mod restart;
mod resume;
mod streams;
mod world;
