//! The command line, one module a party.

pub(crate) mod cloud;
pub(crate) mod demo;
pub(crate) mod gateway;
pub(crate) mod trust;
