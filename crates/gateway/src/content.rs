//! What is inside an instance: its pixels as planes, marked and coded for a bundle, and back again.

pub mod picture;
