//! The service in process, with real TLS between it, gateways, and a cloud that only stores slots.

mod audit;
mod cloud;
mod deposits;
mod enrolment;
mod errands;
mod figures;
mod kills;
mod limits;
mod mixer;
mod network;
mod pacing;
mod relay_key;
mod release;
mod replacement;
mod rounds;
mod running;
mod sealing;
mod search;
