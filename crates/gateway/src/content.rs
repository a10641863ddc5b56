//! What is inside an instance: its pixels as planes, marked and coded for a bundle, and back again.

pub mod coding;
pub mod export;
pub mod judge;
pub mod leak;
pub mod overlay;
pub mod picture;
pub mod pipeline;
pub mod records;
#[cfg(test)]
pub(crate) mod testing;
