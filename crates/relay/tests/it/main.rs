//! A relay in process, between gateways and a server in the cloud's place.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod carrying;
mod limits;
mod speed;
mod world;
