//! The linkability laboratory: the cloud provider as an attacker (docs/unlinkability.md).
//!
//! A network of hospitals runs in virtual time over the decisions that the real parties take, and leaves the log that
//! the real cloud writes ([`record`]). Games ask questions about that log whose answers the laboratory knows
//! ([`game`]), attacks answer them from the log alone ([`attacks`]), and the figures say how much better they do than a
//! guess.

pub mod attacks;
mod attacks_knowledge;
mod attacks_signs;
pub mod controls;
pub mod game;
pub mod plan;
pub mod record;
pub mod report;
pub mod run;
pub mod statistics;
pub mod systems;
pub mod traffic;
pub mod world;

pub use report::verdict;
