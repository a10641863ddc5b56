//! The command line, one module a party.

pub(crate) mod cloud;
mod code;
pub(crate) mod demo;
pub(crate) mod gateway;
pub(crate) mod lab;
pub(crate) mod mark;
pub(crate) mod plan;
pub(crate) mod relay;
mod say;
pub(crate) mod trust;
